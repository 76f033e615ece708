package rest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// withHistory switches both histories on, in a store of their own.
func withHistory(s *realtime.Settings) {
	s.History.Enabled, s.Members.Enabled = true, true
	s.Drivers.History = memory.NewHistory(0)
}

// today is long enough ago for what tests publish after it, and well within a day.
var today = time.Now().Add(-time.Minute).UnixMilli()

// keep adds rows to the history of a channel as a publish does, all published at one
// moment.
func (n *node) keep(channel string, at int64, data ...string) {
	n.t.Helper()
	var appends []*storage.LogAppend
	for _, d := range data {
		e := &protocol.Envelope{App: appID, Channel: channel, Event: "e", Data: json.RawMessage(strconv.Quote(d)), MessageID: "m-" + d}
		appends = append(appends, &storage.LogAppend{
			Key: history.Key(appID, channel), Fresh: protocol.NewMessageID(), At: at, Row: true, Payload: history.RecordOf(e, at).Append(nil),
		})
	}
	n.append(appends)
}

func (n *node) append(appends []*storage.LogAppend) {
	n.t.Helper()
	n.drivers.History.Append(n.t.Context(), appends)
	for _, a := range appends {
		if a.Err != nil {
			n.t.Error(a.Err) // may run outside the test's goroutine
		}
	}
}

// position is where a history stands, as all answers tell it.
type position struct {
	Stream    *string `json:"stream_id"`
	Oldest    *uint64 `json:"oldest_available_serial"`
	Newest    *uint64 `json:"newest_available_serial"`
	Messages  uint64  `json:"retained_messages"`
	Events    uint64  `json:"retained_events"`
	Bytes     uint64  `json:"retained_bytes"`
	Complete  bool
	Truncated bool `json:"truncated_by_retention"`
}

// historyPage is a page as clients read it.
type historyPage struct {
	Items []struct {
		Stream  string `json:"stream_id"`
		Serial  uint64
		Message struct {
			Data   string
			Serial uint64
		}
	}
	Direction  string
	Limit      int
	More       bool    `json:"has_more"`
	Next       *string `json:"next_cursor"`
	Continuity position
	State      map[string]any `json:"stream_state"`
}

func (p *historyPage) serials() (serials []uint64) {
	for _, item := range p.Items {
		serials = append(serials, item.Serial)
	}
	return serials
}

// read reads an answer of 200.
func read[T any](n *node, a answer) (v T) {
	n.t.Helper()
	if err := json.Unmarshal([]byte(a.body), &v); err != nil || a.status != 200 {
		n.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}
	return v
}

func (n *node) page(channel string, params ...string) historyPage {
	n.t.Helper()
	return read[historyPage](n, n.get("channels/"+channel+"/history", params...))
}

// streamState is the answer about the state.
type streamState struct {
	Channel string
	Stream  struct {
		ID       *string `json:"stream_id"`
		Next     uint64  `json:"next_serial"`
		Retained position
		State    map[string]any
	}
}

func (n *node) state(path string) streamState {
	n.t.Helper()
	return read[streamState](n, n.get(path))
}

// The store outlives the hub, as it outlives a server when it is durable.
// Checklist: http-api 88
func TestHTTP088Serials(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", today, "a", "b")
	first := n.page("orders", "direction", "forward")
	again := startNode(t, "node-2", n.drivers, func(s *realtime.Settings) { s.History.Enabled = true })
	again.keep("orders", today+1, "c")
	second := again.page("orders", "direction", "forward")
	if !slices.Equal(first.serials(), []uint64{1, 2}) || !slices.Equal(second.serials(), []uint64{1, 2, 3}) {
		t.Errorf("serials %v, then %v", first.serials(), second.serials())
	}
	for _, item := range append(first.Items, second.Items...) {
		if item.Stream != *first.Continuity.Stream || item.Message.Serial != item.Serial {
			t.Errorf("%+v of the stream %s", item, *first.Continuity.Stream)
		}
	}
}

func TestHistoryPageForm(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.get("channels/orders/history").is(t, 200, `{"items":[],"direction":"newest_first","limit":100,"has_more":false,"next_cursor":null,`+
		`"bounds":{"start_serial":null,"end_serial":null,"start_time_ms":null,"end_time_ms":null},`+
		`"continuity":{"stream_id":null,"oldest_available_serial":null,"newest_available_serial":null,"oldest_available_published_at_ms":null,"newest_available_published_at_ms":null,"retained_messages":0,"retained_bytes":0,"complete":true,"truncated_by_retention":false},`+
		`"stream_state":{"stream_id":null,"durable_state":"healthy","recovery_allowed":true,"reset_required":false,"reason":null,"node_id":null,"last_transition_at_ms":null,"authoritative_source":"in_memory","observed_source":"in_memory"}}`)
	now := time.Now().UnixMilli()
	n.keep("orders", now, "x", `say "42"`)
	page := n.page("orders", "limit", "1")
	text := strings.NewReplacer("STREAM", *page.Continuity.Stream, "CURSOR", *page.Next, "NOW", strconv.FormatInt(now, 10)).Replace(
		`{"items":[{"stream_id":"STREAM","serial":2,"published_at_ms":NOW,"message_id":"m-say \"42\"","event_name":"e","operation_kind":"append","payload_size_bytes":148,` +
			`"message":{"event":"e","channel":"orders","data":"say \"42\"","message_id":"m-say \"42\"","stream_id":"STREAM","serial":2}}],` +
			`"direction":"newest_first","limit":1,"has_more":true,"next_cursor":"CURSOR",` +
			`"bounds":{"start_serial":null,"end_serial":null,"start_time_ms":null,"end_time_ms":null},` +
			`"continuity":{"stream_id":"STREAM","oldest_available_serial":1,"newest_available_serial":2,"oldest_available_published_at_ms":NOW,"newest_available_published_at_ms":NOW,"retained_messages":2,"retained_bytes":BYTES,"complete":false,"truncated_by_retention":false},` +
			`"stream_state":{"stream_id":"STREAM","durable_state":"healthy","recovery_allowed":true,"reset_required":false,"reason":null,"node_id":null,"last_transition_at_ms":null,"authoritative_source":"in_memory","observed_source":"in_memory"}}`)
	rows, err := n.drivers.History.Read(t.Context(), history.Key(appID, "orders"), *page.Continuity.Stream, storage.LogQuery{Limit: 9})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%v, %v", rows, err)
	}
	text = strings.Replace(text, "BYTES", strconv.Itoa(rows[0].Size+rows[1].Size), 1)
	text = strings.Replace(text, `"payload_size_bytes":148`, fmt.Sprintf(`"payload_size_bytes":%d`, len(rows[1].Payload)), 1)
	n.get("channels/orders/history", "limit", "1").is(t, 200, text)
}

// A page has the very messages that V2 sockets got, and joins are recorded as they are
// made, read back by the same endpoints.
func TestHistoryOfPublishes(t *testing.T) {
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.Versions.Enabled = false })
	s := &socket{n: n}
	conn, e := n.hub.Connect(t.Context(), s, realtime.Handshake{Key: appKey, ClientIP: "127.0.0.1", Terms: protocol.Terms{Format: protocol.FormatJSON}})
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(func() { conn.Disconnect(true) })
	conn.Receive([]byte(body("event", "sockudo:subscribe", "data", map[string]string{"channel": lobby, "auth": protocol.SignChannel(appKey, appSecret, conn.ID(), lobby, `{"user_id":"u1"}`), "channel_data": `{"user_id":"u1"}`})))
	s.conn = conn
	s.wait("sockudo_internal:subscription_succeeded")
	n.post("events", body("name", "e", "channel", lobby, "data", `{"a": "ä"}`, "tags", map[string]string{"k": "v"}, "extras", map[string]any{"headers": map[string]int{"x": 1}})).is200(t)
	got := s.wait("e")
	page := read[struct {
		Items []struct{ Message json.RawMessage }
	}](n, n.get("channels/"+lobby+"/history"))
	if len(page.Items) != 1 || string(page.Items[0].Message) != got.text {
		t.Errorf("the page has %s, and the socket got %s", page.Items, got.text)
	}
	conn.Disconnect(true)
	n.connect().subscribe(lobby, "u2")
	deadline := time.Now().Add(5 * time.Second)
	for n.state("channels/"+lobby+"/presence/history/state").Stream.Next < 4 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if s := n.snapshot(); s.ids() != "u2" || s.Replayed != 3 || !s.Continuity.Complete {
		t.Errorf("%+v", s)
	}
}

// Checklist: http-api 7, 89
func TestHTTP089Disabled(t *testing.T) {
	off := false
	confirmed := func(operation string) string {
		return body("confirm_channel", "orders", "confirm_operation", operation, "reason", "r", "mode", "all")
	}
	hub := newNode(t, testApp(), func(s *realtime.Settings) { withHistory(s); s.History.Enabled = false })
	app := newNode(t, testApp(func(a *storage.App) { a.History.Enabled = &off }), withHistory)
	for _, n := range []*node{hub, app} {
		const text = "Durable history is disabled by policy for channel 'orders'"
		n.get("channels/orders/history").fails(t, 422, "feature_disabled", text)
		n.get("channels/orders/history/state").fails(t, 422, "feature_disabled", text)
		n.post("channels/orders/history/reset", confirmed("reset")).fails(t, 422, "feature_disabled", text)
		n.post("channels/orders/history/purge", confirmed("purge")).fails(t, 422, "feature_disabled", text)
		n.get("channels/a%20b/history").fails(t, 400, "invalid_input", "invalid characters")
		n.get("channels/orders/history//").fails404(t)
		n.get("channels/orders/history/none").fails404(t)
	}
	// An app that keeps history in a hub without a store.
	on := true
	none := newNode(t, testApp(func(a *storage.App) { a.History.Enabled = &on }))
	none.get("channels/orders/history").fails(t, 500, "internal_error", "Internal server error")
	none.get("channels/orders/history/state").fails(t, 500, "internal_error", "Internal server error")
}

// Methods are those of the routes, and nobody reads without a signature.
func TestHistoryRoutes(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	for path, method := range map[string]string{
		"history": "GET", "history/state": "GET", "history/reset": "POST", "history/purge": "POST",
		"presence/history": "GET", "presence/history/state": "GET", "presence/history/reset": "POST", "presence/history/snapshot": "GET",
	} {
		other := map[string]string{"GET": "POST", "POST": "GET"}[method]
		path = "/apps/" + appID + "/channels/presence-x/" + path
		if got := n.do(request{method: other, path: path}); got.status != 405 || !strings.HasPrefix(got.header.Get("Allow"), method) {
			t.Errorf("%s %s: %d, %s", other, path, got.status, got.header.Get("Allow"))
		}
		n.do(request{method: method, path: path, key: appKey, secret: "wrong"}).fails(t, 401, "auth_failed", "")
	}
	n.keep("presence-x", today, "a")
	if got := n.do(request{method: "HEAD", path: "/apps/" + appID + "/channels/presence-x/history"}); got.status != 200 || got.body != "" {
		t.Errorf("HEAD: %d %q", got.status, got.body)
	}
}

func (a answer) fails404(t *testing.T) {
	t.Helper()
	if a.status != 404 {
		t.Errorf("got %d %s, want 404", a.status, a.body)
	}
}

// Checklist: http-api 90
func TestHTTP090Directions(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", today, "a", "b", "c")
	newest, oldest := []uint64{3, 2, 1}, []uint64{1, 2, 3}
	if page := n.page("orders"); !slices.Equal(page.serials(), newest) || page.Direction != "newest_first" {
		t.Errorf("%+v", page)
	}
	for word, want := range map[string][]uint64{
		"newest_first": newest, "Backwards": newest, "REVERSE": newest, "Oldest_First": oldest, "forwards": oldest, "fORWARD": oldest,
	} {
		page := n.page("orders", "direction", word)
		if !slices.Equal(page.serials(), want) || page.Direction != map[bool]string{true: "newest_first", false: "oldest_first"}[want[0] == 3] {
			t.Errorf("%s: %+v", word, page)
		}
	}
	for _, word := range []string{"up", "newest first"} {
		n.get("channels/orders/history", "direction", word).fails(t, 400, "invalid_input", "Invalid direction '"+word+"'. Accepted values: newest_first, oldest_first, backwards, forwards")
	}
}

// Checklist: http-api 91
func TestHTTP091Limit(t *testing.T) {
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.History.PageSize = 3 })
	n.keep("orders", today, "a", "b", "c", "d")
	for limit, want := range map[string]int{"1": 1, "3": 3, "4": 3, "18446744073709551615": 3} {
		if page := n.page("orders", "limit", limit); page.Limit != want || len(page.Items) != want || !page.More {
			t.Errorf("%s: %+v", limit, page)
		}
	}
	if page := n.page("orders"); page.Limit != 3 || len(page.Items) != 3 {
		t.Errorf("%+v", page)
	}
	n.get("channels/orders/history", "limit", "0").fails(t, 400, "invalid_input", "History limit must be greater than 0")
	for _, limit := range []string{"abc", "-1", "", "1.5", "18446744073709551616"} {
		n.get("channels/orders/history", "limit", limit).fails(t, 400, "invalid_input", "limit must be a whole number")
	}
}

// Checklist: http-api 92
func TestHTTP092Paging(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	for i := range 40 {
		n.keep("orders", today+int64(i), strconv.Itoa(i+1))
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 40; i < 2000; i++ {
			select {
			case <-stop:
				return
			default:
				n.keep("orders", today+int64(i), strconv.Itoa(i+1))
			}
		}
	}()
	for _, direction := range []string{"newest_first", "oldest_first"} {
		params, seen, turn := []string{"direction", direction, "limit", "7"}, []uint64(nil), 0
		for more := true; more; turn++ {
			page := n.page("orders", params...)
			seen = append(seen, page.serials()...)
			for _, item := range page.Items {
				if item.Message.Data != strconv.FormatUint(item.Serial, 10) {
					t.Errorf("row %d has %q", item.Serial, item.Message.Data)
				}
			}
			if more = page.More; more {
				params = []string{"direction", direction, "limit", strconv.Itoa(40 + turn%5), "cursor", *page.Next}
			} else if page.Next != nil {
				t.Errorf("the last page has a cursor")
			}
		}
		if direction == "newest_first" {
			slices.Reverse(seen)
		}
		if len(seen) < 40 {
			t.Errorf("%s: %d rows", direction, len(seen))
		}
		for i, serial := range seen {
			if serial != uint64(i+1) {
				t.Fatalf("%s: row %d at place %d", direction, serial, i+1)
			}
		}
	}
	close(stop)
	<-ended
}

// Checklist: http-api 93
func TestHTTP093CursorOfAnother(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", today, "a", "b", "c", "d")
	n.keep("other", today, "a", "b", "c", "d")
	cursor := *n.page("orders", "limit", "1", "start_serial", "2").Next
	if page := n.page("orders", "limit", "2", "start_serial", "2", "cursor", cursor); !slices.Equal(page.serials(), []uint64{3, 2}) {
		t.Errorf("%+v", page)
	}
	path := "channels/orders/history"
	n.get("channels/other/history", "start_serial", "2", "cursor", cursor).fails(t, 400, "invalid_input", "History cursor channel does not match the request")
	n.get(path, "start_serial", "2", "direction", "forward", "cursor", cursor).fails(t, 400, "invalid_input", "History cursor direction does not match the request")
	n.get(path, "cursor", cursor).fails(t, 400, "invalid_input", "History cursor bounds do not match the request")
	n.get(path, "start_serial", "2", "end_time_ms", "9", "cursor", cursor).fails(t, 400, "invalid_input", "History cursor bounds do not match the request")
	n.get(path, "cursor", "x y").fails(t, 400, "invalid_input", "Invalid history cursor: ")
	n.get(path, "cursor", strings.Repeat("A", 16<<10+1)).fails(t, 400, "invalid_input", "History cursor exceeds 16 KiB")
}

// Checklist: http-api 94
func TestHTTP094CursorAfterReset(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", today, "a", "b", "c")
	cursor := *n.page("orders", "limit", "1").Next
	n.post("channels/orders/history/reset", resetBody("orders"))
	n.keep("orders", today, "a", "b", "c")
	n.get("channels/orders/history", "cursor", cursor).fails(t, 400, "invalid_input", "Expired history cursor: channel stream changed")
}

// Checklist: http-api 95
func TestHTTP095CursorBelowFloor(t *testing.T) {
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.History.MaxItems = 3 })
	n.keep("orders", time.Now().UnixMilli(), "a", "b", "c")
	cursor := *n.page("orders", "limit", "2").Next // the row 2
	n.keep("orders", time.Now().UnixMilli(), "d")
	if page := n.page("orders", "cursor", cursor); len(page.Items) > 0 || !page.Continuity.Truncated {
		t.Errorf("%+v", page)
	}
	n.keep("orders", time.Now().UnixMilli(), "e")
	n.get("channels/orders/history", "cursor", cursor).fails(t, 400, "invalid_input", "Expired history cursor: cursor points before retained history")
}

// Checklist: http-api 96
func TestHTTP096Bounds(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	base := time.Now().UnixMilli() - 1000
	for i := range 5 {
		n.keep("orders", base+int64(i), strconv.Itoa(i+1))
	}
	at := func(n int) string { return strconv.FormatInt(base+int64(n), 10) }
	for _, c := range []struct {
		params []string
		want   []uint64
	}{
		{[]string{"start_serial", "2", "end_serial", "4"}, []uint64{2, 3, 4}},
		{[]string{"start_serial", "3", "end_serial", "3"}, []uint64{3}},
		{[]string{"start_time_ms", at(1), "end_time_ms", at(3)}, []uint64{2, 3, 4}},
		{[]string{"start", at(1), "end", at(1)}, []uint64{2}},
		{[]string{"start", at(2)}, []uint64{3, 4, 5}},
		{[]string{"end", "3"}, nil}, // a time, and no serial
		{[]string{"start_serial", "2", "end", at(2)}, []uint64{2, 3}},
		{[]string{"end_serial", "0"}, nil},
	} {
		if page := n.page("orders", append(c.params, "direction", "forward")...); !slices.Equal(page.serials(), c.want) {
			t.Errorf("%v: %v", c.params, page.serials())
		}
	}
	path := "channels/orders/history"
	n.get(path, "start_serial", "2", "end_serial", "1").fails(t, 400, "invalid_input", "start_serial must be less than or equal to end_serial")
	n.get(path, "start", "2", "end_time_ms", "1").fails(t, 400, "invalid_input", "start_time_ms must be less than or equal to end_time_ms")
	n.get(path, "start_serial", "x").fails(t, 400, "invalid_input", "start_serial must be a whole number")
	n.get(path, "end_serial", "-1").fails(t, 400, "invalid_input", "end_serial must be a whole number")
	n.get(path, "start", "1.0").fails(t, 400, "invalid_input", "start must be a whole number of milliseconds")
	n.get(path, "start", "1", "start_time_ms", "1").fails(t, 400, "invalid_input", "are the same parameter")
}
