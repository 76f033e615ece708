package rest

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/storage"
)

// resetBody confirms the reset of a channel.
func resetBody(channel string) string {
	return body("confirm_channel", channel, "confirm_operation", "reset", "reason", "store restored", "requested_by", "ops@example")
}

// removal is the answer to a reset or a purge.
type removal struct {
	streamState
	OK        bool
	Operation string
	Mode      *string
	Serial    *uint64 `json:"before_serial"`
	Time      *int64  `json:"before_time_ms"`
	Reason    string
	By        *string `json:"requested_by"`
	Previous  *string `json:"previous_stream_id"`
	New       string  `json:"new_stream_id"`
	Messages  uint64  `json:"purged_messages"`
	Events    uint64  `json:"purged_events"`
	Bytes     uint64  `json:"purged_bytes"`
}

// Checklist: http-api 101
func TestHTTP101Confirmation(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", time.Now().UnixMilli(), "a")
	for _, c := range []struct {
		body   string
		status int
		text   string
	}{
		{body("confirm_channel", "order", "confirm_operation", "OP", "reason", "r", "mode", "all"), 400, "confirm_channel must exactly match the channel path"},
		{body("confirm_channel", "orders ", "confirm_operation", "OP", "reason", "r", "mode", "all"), 400, "confirm_channel must exactly match the channel path"},
		{body("confirm_channel", "orders", "confirm_operation", "yes", "reason", "r", "mode", "all"), 400, "confirm_operation must be 'OP'"},
		{body("confirm_channel", "orders", "confirm_operation", "OP", "reason", "", "mode", "all"), 400, "reason must not be empty"},
		{body("confirm_channel", "orders", "confirm_operation", "OP", "reason", " \t\n", "mode", "all"), 400, "reason must not be empty"},
		{body("confirm_operation", "OP", "reason", "r", "mode", "all"), 422, "confirm_channel is required"},
		{body("confirm_channel", "orders", "confirm_operation", nil, "reason", "r", "mode", "all"), 422, "confirm_operation is required"},
		{body("confirm_channel", "orders", "confirm_operation", "OP", "mode", "all"), 422, "reason is required"},
		{body("confirm_channel", "orders", "confirm_operation", "OP", "reason", 1, "mode", "all"), 422, "reason must be a string"},
		{body("confirm_channel", "orders", "confirm_operation", "OP", "reason", "r", "mode", "all", "requested_by", 1), 422, "requested_by must be a string"},
		{`[]`, 422, "must be a JSON object"},
		{`{`, 400, "not valid JSON"},
		{``, 400, "not valid JSON"},
	} {
		for _, operation := range []string{"reset", "purge"} {
			text := func(s string) string { return strings.ReplaceAll(s, "OP", operation) }
			n.post("channels/orders/history/"+operation, text(c.body)).fails(t, c.status, "invalid_input", text(c.text))
		}
	}
	if page := n.page("orders"); len(page.Items) != 1 {
		t.Errorf("%+v", page)
	}
}

// Checklist: http-api 102
func TestHTTP102Reset(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", time.Now().UnixMilli(), "a", "b", "c")
	before := n.page("orders")
	a := n.post("channels/orders/history/reset", resetBody("orders"))
	got := read[removal](n, a)
	if !got.OK || got.Operation != "reset" || got.Channel != "orders" || got.Reason != "store restored" || *got.By != "ops@example" || *got.Previous != *before.Continuity.Stream ||
		got.New == *got.Previous || got.Messages != 3 || got.Bytes != before.Continuity.Bytes || *got.Stream.ID != got.New || got.Stream.Next != 1 || got.Stream.Retained.Messages != 0 || got.Stream.State["durable_state"] != "healthy" {
		t.Errorf("%s", a.body)
	}
	n.keep("orders", time.Now().UnixMilli(), "d")
	if page := n.page("orders"); !slices.Equal(page.serials(), []uint64{1}) || *page.Continuity.Stream != got.New || page.Continuity.Truncated {
		t.Errorf("%+v", page)
	}
	// What was never used has no stream before, and nobody has asked for it.
	got = read[removal](n, n.post("channels/other/history/reset", body("confirm_channel", "other", "confirm_operation", "reset", "reason", "r")))
	if got.Previous != nil || got.By != nil || got.New == "" || got.Messages != 0 {
		t.Errorf("%+v", got)
	}
}

// Annotations are about messages that are gone (Q24).
func TestResetTakesAnnotations(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.keep("orders", time.Now().UnixMilli(), "a")
	key := history.AnnotationKey(appID, "orders")
	n.append([]*storage.LogAppend{{Key: key, Fresh: "old", Payload: []byte("x")}})
	n.post("channels/orders/history/reset", resetBody("orders")).is200(t)
	if head, err := n.drivers.History.Head(t.Context(), key); err != nil || head.Stream == "old" || head.Serial != 0 {
		t.Errorf("%+v, %v", head, err)
	}
}

// Checklist: http-api 103
func TestHTTP103Purge(t *testing.T) {
	base := time.Now().UnixMilli() - 1000
	for _, c := range []struct {
		mode, bound string
		value       any
		left        []uint64
	}{
		{"all", "", nil, nil},
		{"before_serial", "before_serial", 3, []uint64{3, 4, 5}},
		{"before_serial", "before_serial", 0, []uint64{1, 2, 3, 4, 5}},
		{"before_serial", "before_serial", 100, nil},
		{"before_time_ms", "before_time_ms", base + 3, []uint64{4, 5}},
		{"before_time_ms", "before_time_ms", -1, []uint64{1, 2, 3, 4, 5}},
	} {
		n := newNode(t, testApp(), withHistory)
		for i := range 5 {
			n.keep("orders", base+int64(i), strconv.Itoa(i))
		}
		before := n.page("orders").Continuity
		a := n.post("channels/orders/history/purge", body("confirm_channel", "orders", "confirm_operation", "purge", "reason", "r", "mode", c.mode, cmp.Or(c.bound, "unused"), c.value))
		got, after := read[removal](n, a), n.page("orders", "direction", "forward")
		if !slices.Equal(after.serials(), c.left) || *after.Continuity.Stream != *before.Stream {
			t.Errorf("%s %v: %+v", c.mode, c.value, after)
		}
		if !got.OK || got.Operation != "purge" || *got.Mode != c.mode || got.Messages != uint64(5-len(c.left)) || got.Bytes != before.Bytes-after.Continuity.Bytes ||
			got.Stream.Next != 6 || *got.Stream.ID != *before.Stream || got.Stream.Retained.Messages != uint64(len(c.left)) || (got.Serial != nil) != (c.mode == "before_serial") || (got.Time != nil) != (c.mode == "before_time_ms") {
			t.Errorf("%s %v: %s", c.mode, c.value, a.body)
		}
		n.keep("orders", base+9, "x")
		if page := n.page("orders"); page.Items[0].Serial != 6 {
			t.Errorf("%+v", page)
		}
	}
}

// Checklist: http-api 104
func TestHTTP104PurgeBounds(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	purge := func(members ...any) answer {
		return n.post("channels/orders/history/purge", body(append(members, "confirm_channel", "orders", "confirm_operation", "purge", "reason", "r")...))
	}
	const all, serial, at = "Purge mode 'all' does not accept bounds", "Purge mode 'before_serial' requires before_serial only", "Purge mode 'before_time_ms' requires before_time_ms only"
	purge("mode", "all", "before_serial", 1).fails(t, 400, "invalid_input", all)
	purge("mode", "all", "before_time_ms", 1).fails(t, 400, "invalid_input", all)
	purge("mode", "before_serial").fails(t, 400, "invalid_input", serial)
	purge("mode", "before_serial", "before_serial", 1, "before_time_ms", 1).fails(t, 400, "invalid_input", serial)
	purge("mode", "before_serial", "before_time_ms", 1).fails(t, 400, "invalid_input", serial)
	purge("mode", "before_time_ms").fails(t, 400, "invalid_input", at)
	purge("mode", "before_time_ms", "before_serial", 1).fails(t, 400, "invalid_input", at)
	purge("mode", "before_time_ms", "before_serial", 1, "before_time_ms", 1).fails(t, 400, "invalid_input", at)
	purge().fails(t, 422, "invalid_input", "mode is required")
	purge("mode", "some").fails(t, 422, "invalid_input", "mode is 'some'")
	purge("mode", "").fails(t, 422, "invalid_input", "mode is ''")
	purge("mode", "before_serial", "before_serial", -1).fails(t, 422, "invalid_input", "before_serial must be a whole number")
	purge("mode", "before_serial", "before_serial", "1").fails(t, 422, "invalid_input", "before_serial must be a whole number")
	purge("mode", "before_time_ms", "before_time_ms", 1.5).fails(t, 422, "invalid_input", "before_time_ms must be a whole number")
	purge("mode", "all", "before_serial", nil, "before_time_ms", nil).is200(t)
}

// That such a channel is not resumed is tried where clients resume.
// Checklist: http-api 105
func TestHTTP105Degraded(t *testing.T) {
	for _, state := range []string{history.StateDegraded, history.StateResetRequired} {
		n := newNode(t, testApp(), withHistory)
		n.keep("orders", time.Now().UnixMilli(), "a")
		stream := *n.page("orders").Continuity.Stream
		if err := n.drivers.History.Mark(t.Context(), history.Key(appID, "orders"), stream, storage.LogState{Name: state, Reason: "durable_history_write_failed", Node: "node-1", Since: 1700000000500}); err != nil {
			t.Fatal(err)
		}
		n.get("channels/orders/history").fails(t, 500, "internal_error", "Internal server error")
		got := n.state("channels/orders/history/state").Stream
		if s := got.State; s["durable_state"] != state || s["recovery_allowed"] != false || s["reset_required"] != (state == "reset_required") || s["reason"] != "durable_history_write_failed" || s["node_id"] != "node-1" || s["last_transition_at_ms"] != 1700000000500.0 || got.Retained.Messages != 1 {
			t.Errorf("%+v", got)
		}
		// A purge keeps the state.
		n.post("channels/orders/history/purge", body("confirm_channel", "orders", "confirm_operation", "purge", "reason", "r", "mode", "all")).is200(t)
		n.get("channels/orders/history").fails(t, 500, "internal_error", "Internal server error")
		n.post("channels/orders/history/reset", resetBody("orders")).is200(t)
		if page := n.page("orders"); page.State["durable_state"] != "healthy" || page.State["last_transition_at_ms"] != nil {
			t.Errorf("%+v", page)
		}
	}
}
