//go:build unix

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/outage"
)

// behindProxy is a server whose history is in PostgreSQL, behind a proxy.
func behindProxy(t *testing.T, words string) (*node, *outage.Proxy) {
	t.Helper()
	const target = "127.0.0.1:5432"
	if dsn := historyServers["postgres"].dsn; !strings.Contains(dsn, target) {
		t.Fatalf("%s is not at %s", dsn, target)
	}
	proxy := outage.NewProxy(t, target)
	store := historyIn(t, "postgres", func(dsn string) string { return strings.Replace(dsn, target, proxy.Addr(), 1) })
	return keeping(t, func(c *caddy) string { return store.block(c.dir, words+"\nwrite_timeout 1s") }), proxy
}

// publishes sends an event, and checks the answer.
func (n *node) publishes(data string, status int) {
	n.t.Helper()
	if got, text, err := n.keyed("orders", "numbered", data, "id-"+data); err != nil || got != status {
		n.t.Fatalf("publishing %s: %d %s, %v; want %d", data, got, text, err, status)
	}
}

// eventually publishes an event, again and again until it is accepted.
func (n *node) eventually(data string) {
	n.t.Helper()
	n.until("publishing "+data, func() error {
		status, text, err := n.keyed("orders", "numbered", data, "id-"+data)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, text)
		}
		return err
	})
}

// got are the data and serials of the events that came to a socket.
func (k *conn) got() string {
	var all []string
	for _, f := range k.received("numbered") {
		all = append(all, fmt.Sprintf("%v@%d", f.Data, f.Serial))
	}
	return strings.Join(all, " ")
}

// While the store is away nothing is published, and everything goes on when it is back:
// nobody has got what was refused.
//
// Checklist: configuration 97
func TestHistoryStoreDown(t *testing.T) {
	t.Run("refuse", func(t *testing.T) {
		t.Parallel()
		n, proxy := behindProxy(t, "")
		v2, v1 := n.dialV2(), n.dial("http")
		v2.joinV2("orders", "")
		v1.join("orders", "")
		n.publishes("a", http.StatusOK)
		n.publishes("b", http.StatusOK)
		for _, begin := range []func(){proxy.Cut, proxy.Stall} {
			begin()
			n.publishes("x", http.StatusInternalServerError)
			n.away()
			if _, status, err := n.page("orders", "", 10); err != nil || status < 500 {
				t.Errorf("a page while the store is away: %d, %v", status, err)
			}
			if k, want := v2.got(), "a@1 b@2"; !strings.HasPrefix(k, want) || strings.Contains(k, "x") {
				t.Errorf("the client has got %s", k)
			}
			proxy.Mend()
			n.up()
		}
		n.eventually("c")
		v2.await(`"c"`)
		v1.await(`"c"`)
		if told := v2.received("sockudo:resume_failed"); len(told) > 0 {
			t.Errorf("the client is told %+v", told)
		}
		rows := n.rows("orders")
		if got := strings.Join(datas(rows), " "); got != "a b c" && got != "a b x c" {
			t.Errorf("the history has %s", got)
		}
		t.Logf("FIGURE %s: publishes refused while the store was cut off and while it did not answer, /up 503; the client has %s, and the history %q", t.Name(), v2.got(), datas(rows))
	})
	t.Run("deliver", func(t *testing.T) { t.Parallel(); deliverDown(t) })
}

func deliverDown(t *testing.T) {
	n, proxy := behindProxy(t, "on_failure deliver")
	v2, v1 := n.dialV2(), n.dial("http")
	v2.joinV2("orders", "")
	v1.join("orders", "")
	n.publishes("a", http.StatusOK)
	n.publishes("b", http.StatusOK)
	v2.await(`"b"`)
	proxy.Cut()
	n.publishes("c", http.StatusOK)
	v1.await(`"c"`)
	v2.await(`"c"`)
	v2.await("sockudo:resume_failed", "persistence_unavailable")
	if !strings.Contains(n.log.String(), "an event is delivered and not kept") {
		t.Error("the log does not say that an event was not kept")
	}
	if status, err := n.status("/up"); err != nil || status != http.StatusOK {
		t.Errorf("/up: %d, %v", status, err)
	}
	proxy.Mend()
	state := func() string {
		_, text, _ := n.call("GET", "/apps/app-id/channels/orders/history/state", "", "")
		return text
	}
	n.until("degraded state", func() error {
		if text := state(); !strings.Contains(text, `"durable_state":"degraded"`) || !strings.Contains(text, `"reason":"durable_history_write_failed"`) {
			return fmt.Errorf("it is %s", text)
		}
		return nil
	})
	if _, status, err := n.page("orders", "", 10); err != nil || status < 500 {
		t.Errorf("a page of a degraded history: %d, %v", status, err)
	}
	n.publishes("d", http.StatusOK)
	late := n.dialV2()
	stream := v2.received("numbered")[0].StreamID
	late.send(`{"event":"sockudo:resume","data":{"channel_positions":{"orders":{"stream_id":"` + stream + `","serial":1}}}}`)
	late.joinV2("orders", "")
	late.await("sockudo:resume_failed", "persistence_unavailable", "history_stream_degraded")
	v2.await(`"d"`)
	if got := v2.got(); got != "a@1 b@2 c@0 d@3" {
		t.Errorf("the client has got %s", got)
	}
	status, text, err := n.call("POST", "/apps/app-id/channels/orders/history/reset", "", `{"confirm_channel":"orders","confirm_operation":"reset","reason":"the store is back"}`)
	if err != nil || status != http.StatusOK {
		t.Fatal(status, text, err)
	}
	for _, k := range []*conn{v2, late} {
		k.await("sockudo:resume_failed", "stream_reset")
	}
	n.publishes("e", http.StatusOK)
	v2.await(`"e"`)
	if got := v2.got(); got != "a@1 b@2 c@0 d@3 e@1" {
		t.Errorf("after the reset the client has got %s", got)
	}
	if text := state(); !strings.Contains(text, `"durable_state":"healthy"`) {
		t.Errorf("after the reset the state is %s", text)
	}
	if got := strings.Join(datas(n.rows("orders")), " "); got != "e" {
		t.Errorf("after the reset the history has %s", got)
	}
	t.Logf("FIGURE %s: an event that was not kept came without a number, and clients were told; the history was degraded and healed by a reset, which clients were told; the client has %s", t.Name(), v2.got())
}
