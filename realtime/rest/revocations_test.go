package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// notingCache notes what is kept under which key, and for how long. It can fail.
type notingCache struct {
	storage.Cache
	kept map[string]noted
	fail bool
}

type noted struct {
	value string
	ttl   time.Duration
}

func (c *notingCache) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if c.fail {
		return errBackend
	}
	c.kept[key] = noted{string(value), ttl}
	return c.Cache.Set(ctx, key, value, ttl)
}

// revoking is a node whose cache and adapter note what they get.
func revoking(t testing.TB) (*node, *notingCache, *keeper) {
	t.Helper()
	drivers := memoryDrivers(t, testApp())
	cache, adapter := &notingCache{Cache: drivers.Cache, kept: map[string]noted{}}, &keeper{Adapter: drivers.Adapter}
	drivers.Cache, drivers.Adapter = cache, adapter
	return startNode(t, "node-1", drivers), cache, adapter
}

const revocations = "sockudo:capability_revocation:app-id:"

func TestRevocations(t *testing.T) {
	n, cache, adapter := revoking(t)
	for _, c := range []struct {
		body, answer string
		envelope     protocol.Envelope
		kept         map[string]string
	}{
		{
			`{"jti":"tok-1","reason":"logout"}`, `{"revoked_jti":true,"revoked_client_id":false,"closed_connections":0}`,
			protocol.Envelope{Event: "tok-1"},
			map[string]string{"jti:tok-1": "logout"},
		},
		{
			`{"client_id":"user-42","jti":null,"reason":null,"more":{}}`, `{"revoked_jti":false,"revoked_client_id":true,"closed_connections":0}`,
			protocol.Envelope{User: "user-42"},
			map[string]string{"client:user-42": "revoked"},
		},
		{
			`{"jti":"old","jti":"tok:\u00fc","client_id":"user-42"}`, `{"revoked_jti":true,"revoked_client_id":true,"closed_connections":0}`,
			protocol.Envelope{Event: "tok:ü", User: "user-42"},
			map[string]string{"jti:tok:ü": "revoked", "client:user-42": "revoked"},
		},
	} {
		clear(cache.kept)
		adapter.kept = nil
		n.post("revocations", c.body).is(t, 200, c.answer)
		for key, want := range c.kept {
			if got := cache.kept[revocations+key].value; got != want {
				t.Errorf("%s: %s is %q, want %q", c.body, key, got, want)
			}
		}
		if len(cache.kept) != len(c.kept) {
			t.Errorf("%s: kept %v", c.body, cache.kept)
		}
		c.envelope.Kind, c.envelope.App = protocol.KindRevoke, appID
		if len(adapter.kept) != 1 || fmt.Sprint(adapter.kept[0]) != fmt.Sprint(&c.envelope) {
			t.Errorf("%s: published %+v, want %+v", c.body, adapter.kept, c.envelope)
		}
	}
}

// Checklist: http-api 87
func TestHTTP087HowLongARevocationHolds(t *testing.T) {
	n, cache, _ := revoking(t)
	now := time.Now()
	for _, c := range []struct {
		members string
		want    time.Duration
		late    time.Duration // the time that may pass until the server looks at its clock
	}{
		{``, 24*time.Hour + time.Minute, 0},
		{`,"ttl_seconds":3600`, time.Hour, 0},
		{`,"ttl_seconds":0`, time.Second, 0},
		{`,"ttl_seconds":315360000`, 315360000 * time.Second, 0},
		{fmt.Sprintf(`,"ttl_seconds":2,"expires_at":%d`, now.Unix()+3600), 2 * time.Second, 0},
		{fmt.Sprintf(`,"ttl_seconds":null,"expires_at":%d`, now.Unix()+3600), time.Hour + time.Minute, time.Minute},
		{`,"expires_at":7`, time.Second, 0},
		{`,"expires_at":-7`, time.Second, 0},
	} {
		n.post("revocations", `{"jti":"t"`+c.members+`}`).is(t, 200, `{"revoked_jti":true,"revoked_client_id":false,"closed_connections":0}`)
		if got := cache.kept[revocations+"jti:t"].ttl; got > c.want || got < c.want-c.late {
			t.Errorf("%s: kept for %v, want %v", c.members, got, c.want)
		}
	}
}

// Checklist: http-api 87
func TestHTTP087RevocationsThatAreRefused(t *testing.T) {
	n, cache, adapter := revoking(t)
	for _, c := range []struct {
		body, says string
		status     int
	}{
		{`{}`, "revocation requires jti or client_id", 400},
		{`{"jti":null,"reason":"x","ttl_seconds":7}`, "revocation requires jti or client_id", 400},
		{`{"jti":""}`, "jti has 0 bytes", 400},
		{`{"jti":"t","client_id":""}`, "client_id has 0 bytes", 400},
		{`{"client_id":"` + strings.Repeat("ü", 65) + `"}`, "client_id has 130 bytes, and must have 1 to 128", 400},
		{`{"jti":"t","reason":"` + strings.Repeat("x", 513) + `"}`, "reason has 513 bytes", 400},
		{`{"jti":"t","ttl_seconds":-1}`, "ttl_seconds is -1, and must be from 0 to 315360000", 400},
		{`{"jti":"t","ttl_seconds":315360001}`, "ttl_seconds is 315360001", 400},
		{`{"jti":"t","expires_at":1710003600000}`, "expires_at is 1710003600000", 400},
		{`{"jti":"t","ttl_seconds":9223372036854775808}`, "ttl_seconds must be a whole number", 422},
		{`{"jti":"t","ttl_seconds":1e3}`, "ttl_seconds must be a whole number", 422},
		{`{"jti":"t","ttl_seconds":60.0}`, "ttl_seconds must be a whole number", 422},
		{`{"jti":"t","expires_at":"soon"}`, "expires_at must be a whole number", 422},
		{`{"jti":7}`, "jti must be a string", 422},
		{`{"jti":"t","client_id":["a"]}`, "client_id must be a string", 422},
		{`{"jti":"t","reason":{}}`, "reason must be a string", 422},
		{`[]`, "must be a JSON object", 422},
		{`{"jti":"t"}x`, "not valid JSON", 400},
		{``, "not valid JSON", 400},
	} {
		n.post("revocations", c.body).fails(t, c.status, "invalid_input", c.says)
	}
	if len(cache.kept) != 0 || len(adapter.kept) != 0 {
		t.Errorf("kept %v, published %v", cache.kept, adapter.kept)
	}
}

func TestRevocationNeedsASignature(t *testing.T) {
	n, cache, _ := revoking(t)
	n.do(request{method: "POST", path: "/apps/app-id/revocations", body: `{"jti":"t"}`, key: appKey, secret: "another"}).fails(t, 401, "auth_failed", "Invalid API signature")
	if got := n.get("revocations"); got.status != 405 || got.header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET: %d, Allow is %q", got.status, got.header.Get("Allow"))
	}
	if len(cache.kept) != 0 {
		t.Errorf("kept %v", cache.kept)
	}
}

func TestRevocationThatCannotBeKept(t *testing.T) {
	drivers := memoryDrivers(t, testApp())
	cache, adapter := &notingCache{Cache: drivers.Cache, kept: map[string]noted{}, fail: true}, &gate{Adapter: drivers.Adapter}
	drivers.Cache, drivers.Adapter = cache, adapter
	n := startNode(t, "node-1", drivers)
	check := func(what string) {
		t.Helper()
		got := n.post("revocations", `{"jti":"t"}`)
		got.fails(t, 503, "service_unavailable", "repeat it")
		if got.header.Get("Retry-After") == "" || strings.Contains(got.body, errBackend.Error()) {
			t.Errorf("%s: Retry-After is %q, and the answer is %s", what, got.header.Get("Retry-After"), got.body)
		}
	}
	check("the cache is down")
	if adapter.count.Load() != 0 {
		t.Error("what was not kept was passed on")
	}
	cache.fail = false
	adapter.fail.Store(true)
	check("the adapter is down")
	adapter.fail.Store(false)
	n.post("revocations", `{"jti":"t"}`).is(t, 200, `{"revoked_jti":true,"revoked_client_id":false,"closed_connections":0}`)
}

// FuzzRevocations sends signed bodies: whatever they are, the answer is JSON and no
// fault of the server, and nothing is kept for ever or under a key that is too long.
func FuzzRevocations(f *testing.F) {
	for _, text := range []string{
		`{"jti":"tok-1","client_id":"user-42","ttl_seconds":3600,"expires_at":1710003600,"reason":"logout"}`,
		`{"jti":"\ud800","ttl_seconds":-0}`, `{"client_id":"a","expires_at":-9223372036854775808}`, `{"jti":null}`, "{\"jti\":\"\xff\"}", `{"jti":"\u0000","reason":""}`,
	} {
		f.Add(text)
	}
	n, cache, _ := revoking(f)
	f.Fuzz(func(t *testing.T, text string) {
		const path = "/apps/app-id/revocations"
		clear(cache.kept)
		query := signed("POST", path, nil, text, appKey, appSecret, time.Now())
		r := httptest.NewRequest("POST", path+"?"+query, strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		n.handler.ServeHTTP(w, r, "127.0.0.1")
		if !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("answered %q", w.Body)
		}
		switch w.Code {
		case 200:
			if len(cache.kept) == 0 {
				t.Fatalf("%q: kept nothing", text)
			}
		case 400, 413, 422:
			if len(cache.kept) != 0 {
				t.Fatalf("%q: refused, and kept %v", text, cache.kept)
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		for key, entry := range cache.kept {
			if len(key) > maxCacheKey || len(entry.value) > maxReason || entry.ttl < time.Second || entry.ttl > 11*365*24*time.Hour {
				t.Fatalf("%q: kept %q, %+v", text, key, entry)
			}
		}
	})
}
