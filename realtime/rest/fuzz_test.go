package rest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/storage"
)

// FuzzSignedRequest sends requests that nobody has signed with the secret. They
// must never panic, never be let in, and always be answered in a known form.
func FuzzSignedRequest(f *testing.F) {
	const known = "auth_key=app-key&auth_timestamp=1700000000&auth_version=1.0"
	for _, v := range vectors {
		f.Add(v.method, v.path, known+"&"+v.query+"&auth_signature="+strings.Repeat("0", 64), v.body)
		f.Add(v.method, v.path, known+"&"+v.query, v.body)
	}
	f.Add("POST", "/apps/app-id/users/u%2F/force_reconnect/", known, "")
	f.Add("GET", "/apps/%61pp-id/channels/%ff", known+"&%zz=&=&&", "")
	f.Add("GET", "//apps/app-id/", "?", "x")
	f.Add("OPTIONS", "/up/%2e%2e", "", "")
	f.Add("HEAD", "/live", "", "")
	n := newNode(f, testApp())
	n.handler.now = func() time.Time { return vectorTime }
	f.Fuzz(func(t *testing.T, method, path, query, text string) {
		u, err := url.Parse("http://host" + path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		for _, v := range vectors {
			if strings.Contains(query, v.signature) {
				return // the fuzzer has been told
			}
		}
		u.RawQuery, u.Fragment = query, ""
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(text))
		r.Method, r.URL, r.RequestURI = method, u, path+"?"+query
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		n.handler.ServeHTTP(w, r, "127.0.0.1")
		checkRefused(t, u, w)
	})
}

func checkRefused(t *testing.T, u *url.URL, w *httptest.ResponseRecorder) {
	t.Helper()
	if strings.HasPrefix(u.EscapedPath(), "/apps/") {
		switch w.Code {
		case 204, 400, 401, 404, 405, 413:
		default:
			t.Fatalf("%s: %d %s", u, w.Code, w.Body)
		}
	}
	if w.Header().Get("Content-Type") == "application/json" && (!json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes())) {
		t.Fatalf("answered %q", w.Body)
	}
}

// FuzzEvents sends signed bodies: whatever they are, the answer is JSON and no
// fault of the server, and what is delivered can be read.
func FuzzEvents(f *testing.F) {
	for _, text := range []string{
		vectorBody, `{"name":"e","channels":["a","b","a"],"info":"user_count,subscription_count","message_id":"m"}`,
		`{"name":"e","channel":"c","data":{"a":[1,"\u0000"]},"socket_id":"1.2","tags":{"a":"b"},"extras":{"headers":{"a":1}}}`,
		`{"batch":[{"name":"e","channel":"c","info":""},{"name":"e","channel":"presence-p","idempotency_key":"k"}]}`,
		`{"name":"\ud800","channel":"#server-to-user-u","data":"\ud800"}`, "{\"name\":\"\xff\"}", `{"batch":[{}]}`, `{"name":"e","channel":"cache-c","idempotency_key":"k"}`,
	} {
		f.Add(false, text)
		f.Add(true, text)
	}
	n := newNode(f, testApp(func(a *storage.App) { a.Limits.MaxEventBatchSize = 3 }))
	for _, channel := range []string{"orders", "a", "c", "cache-c"} {
		n.connect().subscribe(channel) // its frames are read by the harness
	}
	f.Fuzz(func(t *testing.T, batch bool, text string) {
		path := "/apps/app-id/events"
		if batch {
			path = "/apps/app-id/batch_events"
		}
		query := signed("POST", path, nil, text, appKey, appSecret, time.Now())
		r := httptest.NewRequest("POST", path+"?"+query, strings.NewReader(text))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		n.handler.ServeHTTP(w, r, "127.0.0.1")
		switch w.Code {
		case 200, 400, 413, 422:
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) {
			t.Fatalf("answered %q", w.Body)
		}
	})
}
