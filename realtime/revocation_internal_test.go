package realtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// TestTokensModel files, replaces, removes and takes connections at random, beside a
// plain list of who has which token.
func TestTokensModel(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		var index tokens
		conns := make([]*Conn, 12)
		for i := range conns {
			conns[i] = new(Conn)
		}
		held := map[*Conn]*protocol.Token{}
		name := func(kind string, n int) string { return fmt.Sprint(kind, random.IntN(n)) }
		for range 2000 {
			c := conns[random.IntN(len(conns))]
			switch random.IntN(4) {
			case 0, 1:
				token := &protocol.Token{ID: name("t", 5), ClientID: name("c", 3)}
				index.replace(c, held[c], token)
				held[c] = token
			case 2:
				index.replace(c, held[c], nil)
				delete(held, c)
			default:
				checkTake(t, &index, held, name("t", 6), name("c", 4), random.IntN(3))
			}
		}
		checkTake(t, &index, held, "t0", "c0", 2)
		for c, token := range held {
			index.replace(c, token, nil)
		}
		if len(index.byID)+len(index.byClient) != 0 {
			t.Fatalf("seed %d: left are %v and %v", seed, index.byID, index.byClient)
		}
	}
}

// checkTake takes by id, by client, or by both.
func checkTake(t *testing.T, index *tokens, held map[*Conn]*protocol.Token, id, client string, by int) {
	t.Helper()
	switch by {
	case 0:
		client = ""
	case 1:
		id = ""
	}
	want := map[*Conn]bool{}
	for c, token := range held {
		if token.ID == id || token.ClientID == client {
			want[c] = true
		}
	}
	for _, c := range index.take(id, client) {
		if !want[c] {
			t.Fatalf("took one too many, or twice, by %q and %q", id, client)
		}
		delete(want, c)
		delete(held, c)
	}
	if len(want) > 0 {
		t.Fatalf("%d were not taken by %q and %q", len(want), id, client)
	}
}

// Checklist: http-api 87
func TestHowLongARevocationIsKept(t *testing.T) {
	now := time.Unix(1700000000, 0)
	const both = 2 * protocol.TokenLeeway
	for _, c := range []struct {
		name string
		r    Revocation
		want time.Duration
	}{
		{"default", Revocation{}, 24*time.Hour + both},
		{"ttl", Revocation{TTL: time.Hour}, time.Hour},
		{"ttl wins", Revocation{TTL: time.Minute, ExpiresAt: now.Add(time.Hour)}, time.Minute},
		{"short ttl", Revocation{TTL: time.Millisecond}, time.Second},
		{"terrible ttl", Revocation{TTL: math.MaxInt64}, MaxRevocation},
		{"expiry", Revocation{ExpiresAt: now.Add(time.Hour)}, time.Hour + both},
		{"just expired, and still good elsewhere", Revocation{ExpiresAt: now.Add(-10 * time.Second)}, 50 * time.Second},
		{"long expired", Revocation{ExpiresAt: now.Add(-time.Hour)}, time.Second},
		{"far expiry", Revocation{ExpiresAt: time.Unix(math.MaxInt64/2, 0)}, MaxRevocation + both},
		{"terrible expiry", Revocation{ExpiresAt: time.Unix(math.MinInt64/2, 0)}, time.Second},
	} {
		if got := c.r.keep(now); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRevocationKeys(t *testing.T) {
	if got := tokenKey("app-id", "tok:1"); got != "sockudo:capability_revocation:app-id:jti:tok:1" {
		t.Error(got)
	}
	if got := clientKey("app-id", "user-42"); got != "sockudo:capability_revocation:app-id:client:user-42" {
		t.Error(got)
	}
	long := strings.Repeat("x", 1<<10)
	seen := map[string]string{}
	for _, names := range [][2]string{{"a", "b:jti:x"}, {"a:jti:b", "x"}, {"a:jti", "b:jti:x"}, {"a", "x"}, {"a", long}, {"a", long + "x"}, {long, "x"}, {"sha256", "x"}} {
		for _, key := range []string{tokenKey(names[0], names[1]), clientKey(names[0], names[1])} {
			if len(key) > maxCacheKey {
				t.Errorf("a key of %d bytes", len(key))
			}
			if other, twice := seen[key]; twice {
				t.Errorf("%.30q and %s have one key", names, other)
			}
			seen[key] = fmt.Sprintf("%.30q", names)
		}
	}
}
