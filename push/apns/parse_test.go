package apns

import (
	"encoding/asn1"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func FuzzAnswer(f *testing.F) {
	f.Add(410, `{"reason":"Unregistered","timestamp":1790000000000}`, "7", "id")
	f.Add(400, `{"reason":7,"timestamp":"x"}`, "Wed, 21 Oct 2026 07:28:00 GMT", "")
	f.Add(503, `{"reason":"Shutdown"`, "-1", "\r\n")
	f.Add(200, `{"reason":"BadDeviceToken","timestamp":-9223372036854775808}`, "99999999999", "")
	now := time.Unix(1_790_000_000, 0)
	f.Fuzz(func(t *testing.T, status int, body, after, id string) {
		a := parseAnswer(status, http.Header{"Retry-After": {after}, "Apns-Id": {id}}, []byte(body), now)
		r := a.result("")
		if r.Outcome == "" || (r.Outcome == push.Accepted) != (status == http.StatusOK) || (r.Class == "") != (status == http.StatusOK) {
			t.Fatalf("%d %s: %+v", status, body, r)
		}
		if r.RetryAfter < 0 || len(r.MessageID) > 64 || len(r.Reason) > 100 || strings.ContainsAny(r.MessageID+r.Reason, "\r\n<>\"") {
			t.Fatalf("%d %s: %+v", status, body, r)
		}
		if _, err := json.Marshal(r.InvalidSince); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
	})
}

func FuzzPlain(f *testing.F) {
	for _, seed := range []string{`<`, `\u003c`, "\u2028", `\\u003c`, `\`, `"\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		long, err := json.Marshal(map[string]string{"k": text})
		if err != nil {
			t.Fatal(err)
		}
		short := plain(long)
		var a, b map[string]string
		if json.Unmarshal(long, &a) != nil || json.Unmarshal(short, &b) != nil || a["k"] != b["k"] || len(short) > len(long) {
			t.Fatalf("%s is %s", long, short)
		}
	})
}

func FuzzCredentials(f *testing.F) {
	f.Add([]byte(`{"p12":"MIIB","p12Password":"x"}`))
	f.Add([]byte(`{"teamId":"T","keyId":"K","privateKey":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}`))
	f.Add([]byte(`{"pem":"-----BEGIN CERTIFICATE-----"}`))
	f.Add([]byte(`{"providerToken":"a.b.c","bundleId":"d"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseCredentials(text)
		if err == nil && c.certificate == nil && c.key == nil && c.token == "" {
			t.Fatalf("%q has no secret", text)
		}
	})
}

func FuzzRounds(f *testing.F) {
	for _, name := range []string{"testdata/older.p12", "testdata/newer.p12"} {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(_ *testing.T, der []byte) { boundedRounds(der) })
}

func TestRoundsOfAPasswordAreBounded(t *testing.T) {
	type rounds struct {
		Salt []byte
		N    int64
	}
	type wrapped struct{ Inner []byte }
	for n, bounded := range map[int64]bool{1: true, 2048: true, maxRounds: true, maxRounds + 1: false, 1 << 31: false, 1 << 62: false} {
		inner, err := asn1.Marshal(rounds{[]byte("salt"), n})
		if err != nil {
			t.Fatal(err)
		}
		outer, err := asn1.Marshal(wrapped{inner})
		if err != nil {
			t.Fatal(err)
		}
		if boundedRounds(outer) != bounded {
			t.Errorf("%d rounds", n)
		}
	}
	for _, name := range []string{"testdata/older.p12", "testdata/newer.p12"} {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !boundedRounds(body) {
			t.Errorf("%s is refused", name)
		}
	}
}

func TestHostsAreApples(t *testing.T) {
	s, err := newSender(&credentials{environment: sandbox}, push.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if p, d := s.clients[production].Host, s.clients[sandbox].Host; p != "https://api.push.apple.com" || d != "https://api.sandbox.push.apple.com" {
		t.Errorf("%s and %s", p, d)
	}
	for _, endpoint := range []string{"http://a", "https://", "a:443", "https://a/path", "https://u@a", "https://a?b", "::"} {
		if _, err := newSender(&credentials{}, push.ConnectOptions{Endpoint: endpoint}); err == nil {
			t.Errorf("%s is an endpoint", endpoint)
		}
	}
	s, err = newSender(&credentials{}, push.ConnectOptions{Endpoint: "https://[::1]:2197/"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.clients[sandbox] != s.clients[production] || s.clients[production].Host != "https://[::1]:2197" {
		t.Errorf("%+v", s.clients)
	}
}
