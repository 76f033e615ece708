package rest

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func recordKey(table, name string) storage.PushKey {
	return storage.PushKey{App: appID, Table: table, Name: name}
}

// write puts a value into the store.
func (s *site) write(key storage.PushKey, value string) {
	s.t.Helper()
	c := storage.PushChange{Op: storage.PushPut, Key: key, Version: storage.NewPushVersion(), Value: []byte(value)}
	if err := s.store.Apply(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
}

// path is one of a route, with something for its parameters.
func (rt *route) example() string {
	return strings.NewReplacer("{provider}", "fcm", "{id}", "x", "{publishId}", "x", "{deadLetterId}", strings.Repeat("a", 64), "{jobId}", "x").Replace(rt.path)
}

// TestRoutesAreDescribed wants every route in a line of the table of docs/push.md.
func TestRoutesAreDescribed(t *testing.T) {
	text, err := os.ReadFile("../../docs/push.md")
	if err != nil {
		t.Fatal(err)
	}
	described := func(rt *route) bool {
		path := strings.NewReplacer("{deadLetterId}", "{id}", "{jobId}", "{publishId}").Replace(rt.path)
		for line := range strings.Lines(string(text)) {
			_, calls, ok := strings.Cut(line, "| `")
			calls, rights, _ := strings.Cut(calls, " | ")
			if !ok || !strings.HasPrefix(rights, "yes |") && !strings.HasPrefix(rights, "no |") || strings.HasPrefix(rights, "yes") != rt.device {
				continue
			}
			if strings.Contains(calls, rt.method) && (strings.Contains(calls, " "+path+"`") || strings.Contains(calls, " "+path+"?")) {
				return true
			}
		}
		return false
	}
	for _, rt := range routes {
		if !described(rt) {
			t.Errorf("%s %s is not described", rt.method, rt.path)
		}
	}
}

// No code of push notifications runs for a call that is not signed, or is of another app.
// Checklist: push 1, 2
func TestRoutesWantSignatures(t *testing.T) {
	s := newSite(t)
	s.store.fail.Store(true) // and so anything that asks the store
	for _, rt := range routes {
		s.send(rt.method, rt.example(), "{}", nil, appKey, "wrong").fails(t, 401, "auth_failed", "signature")
		s.send(rt.method, rt.example(), "{}", nil, "key-2", "secret-2").fails(t, 403, "forbidden", "does not match")
		s.send(rt.method, rt.example(), "{}", nil, "nobody", "x").fails(t, 401, "auth_failed", "key")
	}
}

// Checklist: push 3
func TestCapabilities(t *testing.T) {
	s := newSite(t)
	s.store.fail.Store(true)
	for _, rt := range routes {
		name, path := rt.method+" "+rt.path, rt.example()
		for _, unknown := range []string{"admin", "PUSH-ADMIN", "", "push-admin,push-subscribe"} {
			s.do(rt.method, path, "{}", headerCapability, unknown).fails(t, 403, "forbidden", "unknown push capability requested")
		}
		s.do(rt.method, path, "{}", headerCapability, capabilityAdmin, headerCapability, capabilitySubscribe).fails(t, 403, "forbidden", "unknown")
		got := s.do(rt.method, path, "{}", headerCapability, capabilitySubscribe)
		if !rt.device {
			got.fails(t, 403, "forbidden", "push-admin")
		} else if strings.Contains(got.body, "push-admin") || got.status < 400 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		// Without the header, and with it, an admin gets further.
		for _, headers := range [][]string{nil, {headerCapability, capabilityAdmin}} {
			if got := s.do(rt.method, path, "{}", headers...); got.status == 403 || got.status == 401 {
				t.Errorf("%s by an admin: %d %s", name, got.status, got.body)
			}
		}
	}
}

func TestRouting(t *testing.T) {
	s := newSite(t)
	for _, path := range []string{"nothing", "publish/x", "publish/x/nothing", "templates//", "credentials/realtime", "credentials/pigeon", "channelSubscriptions/x", "batch", "a/b/c/d"} {
		method := "GET"
		if strings.HasPrefix(path, "credentials") {
			method = "POST"
		}
		s.do(method, path, "{}").fails(t, 404, "not_found", "no such path")
	}
	for path, allow := range map[string]string{
		"publish": "POST, OPTIONS", "templates": "GET, HEAD, POST, OPTIONS", "templates/x": "DELETE, GET, HEAD, OPTIONS",
		"deviceRegistrations": "DELETE, GET, HEAD, POST, OPTIONS", "scheduled/x": "DELETE, OPTIONS",
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if strings.Contains(allow, method) {
				continue
			}
			got := s.do(method, path, "{}")
			got.fails(t, 405, "method_not_allowed", "")
			if got.header.Get("Allow") != allow {
				t.Errorf("%s: Allow is %q", path, got.header.Get("Allow"))
			}
		}
	}
	if got := s.do("HEAD", "templates", ""); got.status != 200 || got.body != "" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("HEAD: %d %v", got.status, got.header)
	}
	if got := s.do("HEAD", "publish", ""); got.status != 405 {
		t.Errorf("HEAD: %d", got.status)
	}
	// One slash at the end changes nothing, and an escaped one is part of a name.
	if got := s.do("GET", "templates/", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	s.device("a/b")
	if got := s.do("GET", "deviceRegistrations/a%2Fb", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// What fails in the store is not told, but logged.
// Checklist: push 7
func TestStoreFailures(t *testing.T) {
	s := newSite(t)
	bodies := map[string]string{
		"credentials/{provider}": `{"serviceAccountJson":{}}`, "templates": templateBody("x"), "deviceRegistrations": deviceBody("x", "t"),
		"channelSubscriptions": `{"channel":"c","deviceId":"x"}`, "publish": publishBody("", `{"type":"channel","channel":"c"}`),
		"batch/publish": "[" + publishBody("", `{"type":"device","device_id":"d"}`) + "]", "deliveryStatus": reportBody("p", "e"),
	}
	queries := map[string]string{"DELETE deviceRegistrations": "?clientId=x", "DELETE channelSubscriptions": "?channel=c"}
	s.store.fail.Store(true)
	for _, rt := range routes {
		s.log.TakeAll()
		got := s.do(rt.method, rt.example()+queries[rt.method+" "+rt.path], bodies[rt.path])
		got.is(t, 500, `{"error":"Internal server error","code":"internal_error","status":500}`)
		logged := false
		for _, e := range s.log.All() {
			text, _ := e.ContextMap()["error"].(string)
			logged = logged || strings.Contains(text, errBackend.Error())
		}
		if !logged {
			t.Errorf("%s %s: the cause is not logged", rt.method, rt.path)
		}
	}
	s.store.fail.Store(false)
	if got := s.do(http.MethodGet, "templates", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}
