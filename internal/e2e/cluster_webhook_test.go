//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// receiver is the endpoint of webhooks.
type receiver struct {
	*httptest.Server

	mu     sync.Mutex
	events map[string]int // what came, by text without its id
	ids    map[string]int
	faults []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{events: map[string]int{}, ids: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		var call struct {
			Events []map[string]any `json:"events"`
		}
		switch {
		case err != nil, json.Unmarshal(body, &call) != nil:
			r.faults = append(r.faults, fmt.Sprintf("%v: %s", err, body))
		case req.Header.Get("X-Pusher-Signature") != protocol.Sign("app-secret", string(body)):
			r.faults = append(r.faults, "a wrong signature")
		}
		for _, e := range call.Events {
			r.ids[fmt.Sprint(e["event_id"])]++
			r.events[fmt.Sprint(e["name"], " ", e["channel"], " ", e["user_id"])]++
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// expect waits until exactly these events came, each so often.
func (r *receiver) expect(t *testing.T, what string, want map[string]int) {
	t.Helper()
	until(t, "webhooks: "+what, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for text, n := range want {
			if r.events[text] < n {
				return fmt.Errorf("%s came %d times, want %d", text, r.events[text], n)
			}
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for text, n := range r.events {
		if n != want[text] {
			t.Errorf("%s: %s came %d times, want %d", what, text, n, want[text])
		}
	}
	for id, n := range r.ids {
		if n != 1 {
			t.Errorf("%s: the event %s came %d times", what, id, n)
		}
	}
	if len(r.faults) > 0 {
		t.Errorf("%s: %q", what, slices.Compact(r.faults))
	}
}

// What happens on three nodes is told once, by whichever node: who comes and goes,
// who goes with a node that is killed, and who goes with one that ends.
//
// Checklist: configuration 55
func TestClusterWebhooks(t *testing.T) {
	onEngines(t, single, func(t *testing.T, e *engine) {
		r := newReceiver(t)
		c := startCluster(t, e.everywhere, quick+"queue redis {\naddress STORE\n}\nwebhooks {\nallow_private on\nflush_interval 50ms\ndebounce 500ms\n}\n"+
			inApp+"\nwebhook "+r.URL+" {\nevents channel_occupied channel_vacated member_added member_removed\n}\n")
		want := map[string]int{"channel_occupied " + room + " <nil>": 1, "member_added " + room + " shared": 1}
		sockets := map[*node][]*conn{}
		for i, n := range c.nodes {
			for j := range 21 {
				user := fmt.Sprintf("user-%d-%d", i, j)
				if j == 20 {
					user = "shared"
				}
				k := n.dial("http")
				k.join(room, user)
				sockets[n] = append(sockets[n], k)
				want["member_added "+room+" "+user] = 1
			}
		}
		r.expect(t, "all have come", want)

		c.nodes[2].kill()
		for j := range 20 {
			want[fmt.Sprintf("member_removed %s user-2-%d", room, j)] = 1
		}
		r.expect(t, "a node is killed", want)

		c.nodes[1].signal(syscall.SIGTERM)
		<-c.nodes[1].exited
		for j := range 20 {
			want[fmt.Sprintf("member_removed %s user-1-%d", room, j)] = 1
		}
		r.expect(t, "a node ends", want)

		for _, k := range sockets[c.nodes[0]] {
			_ = k.w.rw.Close()
		}
		for j := range 20 {
			want[fmt.Sprintf("member_removed %s user-0-%d", room, j)] = 1
		}
		want["member_removed "+room+" shared"] = 1
		want["channel_vacated "+room+" <nil>"] = 1
		r.expect(t, "all have gone", want)
		t.Logf("FIGURE %s: %d events of three nodes, of which one was killed and one ended: each told once", t.Name(), len(want))
	})
}
