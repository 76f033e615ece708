package realtime_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

func (f *fixture) revoke(r realtime.Revocation) (realtime.RevocationResult, error) {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	return live.Revoke(context.Background(), f.app(), r)
}

func (f *fixture) mustRevoke(r realtime.Revocation, want realtime.RevocationResult) {
	f.t.Helper()
	if got, err := f.revoke(r); err != nil || got != want {
		f.t.Errorf("revoking %+v: %+v, %v, want %+v", r, got, err, want)
	}
}

func (f *fixture) revoked(id, client string) (bool, error) {
	f.t.Helper()
	live, err := f.hub.Live()
	if err != nil {
		f.t.Fatal(err)
	}
	defer live.Release()
	return live.Revoked(context.Background(), "app-id", &protocol.Token{ID: id, ClientID: client})
}

// dialWith is a connection that has shown a token.
func (f *fixture) dialWith(id, client string) *peer {
	f.t.Helper()
	p := f.dial()
	realtime.FileToken(p.conn, &protocol.Token{ID: id, ClientID: client})
	return p
}

func TestRevocationHolds(t *testing.T) {
	f := newFixture(t, nil)
	f.mustRevoke(realtime.Revocation{ID: "t1"}, realtime.RevocationResult{ID: true})
	f.mustRevoke(realtime.Revocation{ClientID: "ada"}, realtime.RevocationResult{Client: true})
	f.mustRevoke(realtime.Revocation{ID: "t2", ClientID: "eve", Reason: "logout"}, realtime.RevocationResult{ID: true, Client: true})
	for names, want := range map[[2]string]bool{
		{"t1", "bob"}: true, {"t9", "ada"}: true, {"t2", "bob"}: true, {"t9", "eve"}: true,
		{"t9", "bob"}: false, {"ada", "t1"}: false,
	} {
		if got, err := f.revoked(names[0], names[1]); err != nil || got != want {
			t.Errorf("%q: %v, %v", names, got, err)
		}
	}
	cache := f.settings.Drivers.Cache
	for key, want := range map[string]string{"jti:t1": "revoked", "jti:t2": "logout", "client:eve": "logout"} {
		key = "sockudo:capability_revocation:app-id:" + key
		if got, err := cache.Get(t.Context(), key); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", key, got, err)
		}
	}
}

func TestRevocationClosesSockets(t *testing.T) {
	f := newFixture(t, nil)
	a, b, c, other := f.dialWith("t1", "ada"), f.dialWith("t1", "bob"), f.dialWith("t2", "ada"), f.dialWith("t3", "eve")
	plain := f.dial()
	f.mustRevoke(realtime.Revocation{ID: "t9", ClientID: "nobody"}, realtime.RevocationResult{ID: true, Client: true})
	f.mustRevoke(realtime.Revocation{ID: "t1", ClientID: "ada"}, realtime.RevocationResult{ID: true, Client: true, Closed: 3})
	for _, p := range []*peer{a, b, c} {
		p.expectClosed(&protocol.Error{Code: 4009, Message: "capability token revoked"})
	}
	f.mustRevoke(realtime.Revocation{ID: "t1", ClientID: "ada"}, realtime.RevocationResult{ID: true, Client: true})
	other.quiet()
	plain.quiet()
}

// faultyCache cannot be read, or not be written where a key has a part.
type faultyCache struct {
	storage.Cache
	reads bool
	part  string
}

var errCacheDown = errors.New("cache is down")

func (c *faultyCache) Get(ctx context.Context, key string) ([]byte, error) {
	if c.reads {
		return nil, errCacheDown
	}
	return c.Cache.Get(ctx, key)
}

func (c *faultyCache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if c.part != "" && strings.Contains(key, c.part) {
		return errCacheDown
	}
	return c.Cache.Set(ctx, key, value, ttl)
}

// mute is an adapter that publishes nothing.
type mute struct{ storage.Adapter }

func (mute) Publish(context.Context, *protocol.Envelope) error { return errors.New("broker is down") }

func TestRevokedWhenTheCacheCannotTell(t *testing.T) {
	var cache *faultyCache
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) {
		cache = &faultyCache{Cache: s.Drivers.Cache, reads: true}
		s.Drivers.Cache = cache
	})
	if revoked, err := f.revoked("t1", "ada"); !revoked || !errors.Is(err, errCacheDown) {
		t.Errorf("%v, %v", revoked, err)
	}
}

// TestRevocationThatFails wants an error for what is not done, and nothing closed that
// could come back.
func TestRevocationThatFails(t *testing.T) {
	var cache *faultyCache
	f := newFixture(t, func(_ *storage.App, s *realtime.Settings) {
		cache = &faultyCache{Cache: s.Drivers.Cache}
		s.Drivers.Cache = cache
	})
	p := f.dialWith("t1", "ada")
	for _, cache.part = range []string{":jti:", ":client:"} {
		if result, err := f.revoke(realtime.Revocation{ID: "t1", ClientID: "ada"}); !errors.Is(err, errCacheDown) || result.Closed != 0 {
			t.Errorf("without %s: %+v, %v", cache.part, result, err)
		}
	}
	p.quiet()
	if revoked, err := f.revoked("t9", "ada"); revoked || err != nil {
		t.Errorf("the client is revoked: %v", err)
	}
	cache.part = ""
	f.settings.Drivers.Adapter = mute{f.settings.Drivers.Adapter}
	f.load(f.newSettings(nil))
	if result, err := f.revoke(realtime.Revocation{ID: "t1", ClientID: "ada"}); err == nil {
		t.Errorf("others did not hear of it: %+v", result)
	}
	p.expectClosed(protocol.ErrTokenRevoked)
}

// TestRevocationOnOtherNodes revokes on one node what was shown on others, which ask
// for no channel at all and get everything twice.
func TestRevocationOnOtherNodes(t *testing.T) {
	nodes := newCluster(t, 3, nil)
	for _, node := range nodes {
		node.bus.mu.Lock()
		node.bus.twice.Store(true)
		node.bus.mu.Unlock()
	}
	here, there, other := nodes[0].dialWith("t1", "ada"), nodes[1].dialWith("t1", "ada"), nodes[2].dialWith("t2", "ada")
	stranger := nodes[1].dialWith("t3", "bob")
	nodes[0].mustRevoke(realtime.Revocation{ID: "t1"}, realtime.RevocationResult{ID: true, Closed: 1})
	here.expectClosed(protocol.ErrTokenRevoked)
	there.expectClosed(protocol.ErrTokenRevoked)
	other.quiet()
	nodes[1].mustRevoke(realtime.Revocation{ClientID: "ada"}, realtime.RevocationResult{Client: true})
	other.expectClosed(protocol.ErrTokenRevoked)
	stranger.quiet()
	for i, node := range nodes {
		for _, id := range []string{"t1", "t9"} {
			if revoked, err := node.revoked(id, "ada"); !revoked || err != nil {
				t.Errorf("node %d takes %s: %v", i, id, err)
			}
		}
	}
}
