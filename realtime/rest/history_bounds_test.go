package rest

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: http-api 97
func TestHTTP097Eviction(t *testing.T) {
	size := func(data string) int64 {
		e := &protocol.Envelope{Event: "e", Channel: "orders", Data: json.RawMessage(strconv.Quote(data)), MessageID: "m-" + data}
		return int64(len(history.RecordOf(e, time.Now().UnixMilli()).Append(nil)))
	}
	now := time.Now().UnixMilli()
	for name, change := range map[string]func(s *realtime.Settings){
		"count": func(s *realtime.Settings) { s.History.MaxItems = 2 },
		"bytes": func(s *realtime.Settings) { s.History.MaxBytes = size("c") + size("d") },
		"age":   func(s *realtime.Settings) { s.History.Retention = time.Hour },
	} {
		n := newNode(t, testApp(), withHistory, change)
		n.keep("orders", now-2*time.Hour.Milliseconds(), "a", "b")
		n.keep("orders", now, "c", "d")
		page := n.page("orders", "direction", "forward")
		if !slices.Equal(page.serials(), []uint64{3, 4}) || *page.Continuity.Oldest != 3 || page.Continuity.Messages != 2 || int64(page.Continuity.Bytes) != size("c")+size("d") {
			t.Errorf("%s: %+v", name, page)
		}
		n.keep("orders", now, "e")
		if page := n.page("orders"); page.Items[0].Serial != 5 {
			t.Errorf("%s: %+v", name, page)
		}
	}
}

// Checklist: http-api 98
func TestHTTP098Truncated(t *testing.T) {
	base := time.Now().UnixMilli() - 1000
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.History.MaxItems = 3 })
	whole := newNode(t, testApp(), withHistory)
	for i := range 5 {
		for _, n := range []*node{n, whole} {
			n.keep("orders", base+int64(i), strconv.Itoa(i))
		}
	}
	at := func(n int) string { return strconv.FormatInt(base+int64(n), 10) }
	for _, c := range []struct {
		n                   *node
		params              []string
		truncated, complete bool
	}{
		{n, []string{"start_serial", "2"}, true, false},
		{n, []string{"start_serial", "3"}, false, true},
		{n, []string{"start_time_ms", at(1)}, true, false},
		{n, []string{"start_time_ms", at(2)}, false, true},
		{n, nil, true, false},
		{n, []string{"start_serial", "3", "limit", "2"}, false, false}, // there is more
		{whole, nil, false, true},
		{whole, []string{"limit", "2"}, false, false},
		{whole, []string{"start_serial", "1"}, false, true},
		{whole, []string{"start", at(0)}, false, true},
	} {
		if got := c.n.page("orders", c.params...).Continuity; got.Truncated != c.truncated || got.Complete != c.complete {
			t.Errorf("%v: truncated %v, complete %v", c.params, got.Truncated, got.Complete)
		}
	}
	// Of a history in which nothing is left, nobody knows what it was (Q21).
	n.post("channels/orders/history/purge", body("confirm_channel", "orders", "confirm_operation", "purge", "reason", "r", "mode", "all"))
	if page := n.page("orders"); !page.Continuity.Truncated || page.Continuity.Complete || page.Continuity.Oldest != nil || page.Continuity.Messages != 0 {
		t.Errorf("%+v", page)
	}
}

// Checklist: http-api 99
func TestHTTP099Limits(t *testing.T) {
	on, off := true, false
	n := newNode(t, testApp(func(a *storage.App) {
		a.History = storage.AppHistory{Enabled: &on, MaxItems: 3}
		a.PresenceHistory = storage.AppHistory{MaxItems: 3}
		a.Namespaces = map[string]*storage.Namespace{
			"ns":    {Name: "ns", History: storage.AppHistory{Enabled: &off, MaxItems: 1}, PresenceHistory: storage.AppHistory{Enabled: &on, MaxItems: 1}},
			"plain": {Name: "plain"},
		}
	}), withHistory, func(s *realtime.Settings) { s.History.Enabled, s.History.MaxItems, s.Members.Enabled = false, 4, false })
	global := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.History.MaxItems = 4 })
	now := time.Now().UnixMilli()
	for _, c := range []struct {
		n       *node
		channel string
		want    int
	}{{global, "orders", 4}, {n, "orders", 3}, {n, "plain:orders", 3}, {n, "ns:orders", 1}, {n, "private-ns:orders", 1}} {
		c.n.keep(c.channel, now, "a", "b", "c", "d", "e")
		if page := c.n.page(c.channel); len(page.Items) != c.want || page.Items[0].Serial != 5 {
			t.Errorf("%s: %v", c.channel, page.serials())
		}
	}
	n.get("channels/presence-plain:x/presence/history").fails(t, 422, "feature_disabled", "")
	n.get("channels/presence-ns:x/presence/history/state").is200(t)
}

func (a answer) is200(t *testing.T) {
	t.Helper()
	if a.status != 200 {
		t.Errorf("got %d %s, want 200", a.status, a.body)
	}
}

// Checklist: http-api 100
func TestHTTP100StateOfUnused(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.get("channels/orders/history/state").is(t, 200, `{"channel":"orders","stream":{"stream_id":null,"next_serial":1,`+
		`"retained":{"stream_id":null,"retained_messages":0,"retained_bytes":0,"oldest_available_serial":null,"newest_available_serial":null,"oldest_available_published_at_ms":null,"newest_available_published_at_ms":null},`+
		`"state":{"stream_id":null,"durable_state":"healthy","recovery_allowed":true,"reset_required":false,"reason":null,"node_id":null,"last_transition_at_ms":null,"authoritative_source":"in_memory","observed_source":"in_memory"}}}`)
	n.keep("orders", time.Now().UnixMilli(), "a", "b")
	if s := n.state("channels/orders/history/state"); s.Channel != "orders" || s.Stream.Next != 3 || *s.Stream.Retained.Newest != 2 || s.Stream.Retained.Messages != 2 || *s.Stream.ID != *s.Stream.Retained.Stream || s.Stream.State["stream_id"] != *s.Stream.ID {
		t.Errorf("%+v", s)
	}
}
