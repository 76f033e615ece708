package console

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// newConsole is one that is on, of a hub without settings.
func newConsole(t *testing.T, s Settings, routes ...Route) *Console {
	t.Helper()
	hub := realtime.NewHub("main")
	t.Cleanup(func() { hub.Close(context.Background()) })
	c := New(hub, routes)
	c.Set(&s)
	return c
}

func get(c *Console, path, token string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	c.ServeHTTP(w, r, nil)
	return w
}

func TestTokens(t *testing.T) {
	c := newConsole(t, Settings{Path: "/c", MaxSessions: 1})
	l, err := c.Link("app", false, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	who, err := c.verify(l.Token, time.Now())
	if err != nil || who.App != "app" || who.Publish || who.Hub != "main" || who.ID == "" || who.expires() != l.Expires {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := c.verify(l.Token, l.Expires.Add(-time.Second)); err != nil {
		t.Error("a second before its end:", err)
	}
	if _, err := c.verify(l.Token, l.Expires); err != errExpired { //nolint:errorlint // identity
		t.Error("at its end:", err)
	}
	// Every other character makes it another one.
	for i := range l.Token {
		other := []byte(l.Token)
		if other[i] = 'A'; l.Token[i] == 'A' {
			other[i] = 'B'
		}
		if who, err := c.verify(string(other), time.Now()); err == nil && string(other[:len(other)-1]) != l.Token[:len(l.Token)-1] {
			t.Fatalf("with another character at %d: %+v", i, who)
		}
	}
	claims, signature, _ := strings.Cut(l.Token, ".")
	for _, forged := range []string{"", ".", claims, claims + ".", "." + signature, claims + "." + signature + "." + signature, strings.Repeat("A", maxToken) + "." + signature} {
		if _, err := c.verify(forged, time.Now()); err != errForged { //nolint:errorlint // identity
			t.Errorf("%.40s: %v", forged, err)
		}
	}
	other := newConsole(t, Settings{Path: "/c", MaxSessions: 1})
	if _, err := other.verify(l.Token, time.Now()); err == nil {
		t.Error("another process takes the link")
	}
	other.key = c.key
	other.hub = realtime.NewHub("second")
	if _, err := other.verify(l.Token, time.Now()); err == nil {
		t.Error("another hub takes the link")
	}
	c.Revoke()
	if _, err := c.verify(l.Token, time.Now()); err == nil {
		t.Error("a link that was revoked is good")
	}
}

func TestLinksWithinBounds(t *testing.T) {
	c := newConsole(t, Settings{Path: "/c", MaxSessions: 1})
	for _, ttl := range []time.Duration{-1, time.Millisecond, MaxTTL + 1} {
		if _, err := c.Link("", false, ttl); err == nil {
			t.Errorf("a ttl of %v is good", ttl)
		}
	}
	if _, err := c.Link(strings.Repeat("a", maxToken), false, 0); err == nil {
		t.Error("a link that nobody could use is made")
	}
	if _, err := c.Link("", true, 0); err != ErrNoPublish { //nolint:errorlint // identity
		t.Error(err)
	}
	l, err := c.Link("", false, 0)
	if left := time.Until(l.Expires); err != nil || left > DefaultTTL || left < DefaultTTL-10*time.Second {
		t.Error(l, err)
	}
	c.Set(nil)
	if _, err := c.Link("", false, 0); err != ErrOff { //nolint:errorlint // identity
		t.Error(err)
	}
}

// Every answer has the headers that keep others out, and files have what a cache asks for.
func TestPage(t *testing.T) {
	c := newConsole(t, Settings{Path: "/c", MaxSessions: 1})
	total := 0
	for name, f := range files {
		w := get(c, "/c/"+name, "")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != f.kind || f.kind == "" || w.Body.Len() != len(f.body) {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		total += len(f.body)
		r := httptest.NewRequest(http.MethodGet, "/c/"+name, nil)
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		if c.ServeHTTP(again, r, nil); again.Code != http.StatusNotModified {
			t.Errorf("%s that has not changed: %d", name, again.Code)
		}
		for _, far := range []string{"http://", "https://", "innerHTML", "eval(", "<script>", " style="} {
			text := strings.ReplaceAll(string(f.body), "'http://www.w3.org/2000/svg'", "")
			if strings.Contains(text, far) {
				t.Errorf("%s has %q in it", name, far)
			}
		}
	}
	if total > 60<<10 || total < 10<<10 {
		t.Errorf("the page has %d bytes, more than 60 KiB", total)
	}
	for _, path := range []string{"/c", "/c/", "/c/index.html", "/c/nothing", "/c/api/session", "/c/api/nothing"} {
		h := get(c, path, "").Header()
		if !strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self';") || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(h.Get("Cache-Control"), "no-") {
			t.Errorf("%s: %v", path, h)
		}
	}
	if w := get(c, "/c", ""); w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != "c/" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w := httptest.NewRecorder()
	if c.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/c/", nil), nil); w.Code != http.StatusMethodNotAllowed {
		t.Error(w.Code)
	}
	for path, owned := range map[string]bool{"/c": true, "/c/": true, "/c/x": true, "/cx": false, "/": false, "/x/c": false} {
		if c.Owns(path) != owned {
			t.Errorf("%s is owned: %v", path, !owned)
		}
	}
}

func TestRoutesAskForRights(t *testing.T) {
	served := func(w http.ResponseWriter, _ *http.Request, who Claims) { Answer(w, http.StatusOK, who) }
	c := newConsole(t, Settings{Path: "/c", Publish: true, MaxSessions: 1},
		Route{Pattern: "GET /act/{name}", Acts: true, Serve: served}, Route{Pattern: "GET /whole", Whole: true, Serve: served}, Route{Pattern: "GET /any", Serve: served})
	token := func(app string, publish bool) string {
		l, err := c.Link(app, publish, 0)
		if err != nil {
			t.Fatal(err)
		}
		return l.Token
	}
	for _, test := range []struct {
		path, app string
		publish   bool
		want      int
	}{
		{"/c/api/any", "a", false, 200},
		{"/c/api/whole", "", false, 200},
		{"/c/api/whole", "a", true, 403},
		{"/c/api/act/x%2Fy", "a", true, 200},
		{"/c/api/act/x", "", false, 403},
	} {
		if w := get(c, test.path, token(test.app, test.publish)); w.Code != test.want {
			t.Errorf("%+v: %d %s", test, w.Code, w.Body)
		}
	}
	may := token("", true)
	c.Set(&Settings{Path: "/c", MaxSessions: 1}) // nobody may publish any more
	if w := get(c, "/c/api/act/x", may); w.Code != http.StatusForbidden {
		t.Error(w.Code)
	}
}

// A stream ends with the hub, and with the server that serves it; its filter and its page are
// checked.
func TestStreams(t *testing.T) {
	c := newConsole(t, Settings{Path: "/c", MaxSessions: 3})
	until := make(chan struct{})
	serve := func(until <-chan struct{}) *httptest.Server {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.ServeHTTP(w, r, until) }))
		t.Cleanup(server.Close)
		return server
	}
	server, next := serve(until), serve(nil)
	l, err := c.Link("", false, 0)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"": 400, "page=" + strings.Repeat("a", 65): 400, "page=1&kind=nothing": 400, "page=1&channel=a*b": 400} {
		if w := get(c, "/c/api/stream?"+query, l.Token); w.Code != want {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	open := func(server *httptest.Server, page string) *json.Decoder {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/c/api/stream?page="+page, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+l.Token)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		lines := json.NewDecoder(resp.Body)
		var first Line
		if err := lines.Decode(&first); err != nil || first.Pulse == nil {
			t.Fatalf("%+v, %v", first, err)
		}
		return lines
	}
	ends := func(lines *json.Decoder, want string) {
		t.Helper()
		for {
			var l Line
			if err := lines.Decode(&l); err != nil {
				t.Fatalf("%v before %s", err, want)
			}
			if l.End != "" {
				if err := lines.Decode(&l); l.End != want || err != io.EOF {
					t.Errorf("ended with %s and %v, want %s", l.End, err, want)
				}
				return
			}
		}
	}
	one, two := open(server, "1"), open(server, "2")
	if c.Sessions() != 2 {
		t.Error(c.Sessions())
	}
	close(until)
	ends(one, "reload")
	ends(two, "reload")
	three := open(next, "3")
	c.hub.Close(t.Context())
	ends(three, "closed")
}
