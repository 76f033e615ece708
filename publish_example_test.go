package sockudo

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// The example does what it says: an order that the shop accepts and a comment are
// heard, an order that it refuses is not.
func TestEventsExample(t *testing.T) {
	source, err := os.ReadFile("examples/events.caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("APP_SECRET", "s3cr3t-canary")
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Refuse") != "" {
			w.WriteHeader(http.StatusConflict)
			return
		}
		w.Header().Set("Location", "/orders/1")
		w.WriteHeader(http.StatusCreated)
	}))
	defer shop.Close()
	s, port := newServer(t), freePort(t)
	s.mustLoad("auto_https off", strings.NewReplacer("realtime.example.com", "http://127.0.0.1:"+port, "localhost:8080", strings.TrimPrefix(shop.URL, "http://")).Replace(string(source)))
	k := dial(t, "127.0.0.1:"+port, "/app/app-key")
	k.subscribe("orders")
	k.subscribe("comments")
	base := "http://127.0.0.1:" + port
	post(t, base+"/orders", "{}", http.Header{"X-Refuse": {"1"}})
	post(t, base+"/orders", "{}", http.Header{"X-Socket-Id": {k.id}})
	post(t, base+"/orders", "{}", nil)
	contains(t, k.expect(`"event":`), `"event":"order-created"`, `\"at\":\"/orders/1\"`)
	post(t, base+"/comments", "well done", nil)
	contains(t, k.expect(`"event":`), `"event":"comment-added"`, `"data":"well done"`)
}
