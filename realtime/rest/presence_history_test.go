package rest

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
)

const lobby = "presence-lobby"

// member records what became of users, written as "+u" for a join, "*u" for an update
// and "-u" for a removal, one millisecond after the other from at on.
func (n *node) member(at int64, events ...string) {
	n.t.Helper()
	log := history.Log{Store: n.drivers.History, Key: history.PresenceKey(appID, lobby), Now: at}
	kinds := map[byte][2]string{'+': {history.MemberAdded, history.CauseJoin}, '*': {history.MemberUpdated, history.CauseJoin}, '-': {history.MemberRemoved, history.CauseDisconnect}}
	for i, e := range events {
		kind := kinds[e[0]]
		ok, err := history.RecordPresence(n.t.Context(), log, &history.PresenceEvent{Event: kind[0], Cause: kind[1], UserID: e[1:], ConnectionID: "1.2"}, at+int64(i), time.Hour)
		if err != nil || !ok {
			n.t.Fatalf("%s: %v, %v", e, ok, err)
		}
	}
}

// snapshot is who was there.
type snapshot struct {
	Channel string
	Members []struct {
		ID     string `json:"user_id"`
		Event  string `json:"last_event"`
		Serial uint64 `json:"last_event_serial"`
		At     int64  `json:"last_event_at_ms"`
	}
	Count      int     `json:"member_count"`
	Replayed   uint64  `json:"events_replayed"`
	Serial     *uint64 `json:"snapshot_serial"`
	At         *int64  `json:"snapshot_time_ms"`
	Continuity position
}

func (s *snapshot) ids() (ids string) {
	for _, m := range s.Members {
		ids += m.ID + " "
	}
	return strings.TrimSpace(ids)
}

func (n *node) snapshot(params ...string) snapshot {
	n.t.Helper()
	return read[snapshot](n, n.get("channels/"+lobby+"/presence/history/snapshot", params...))
}

func TestPresenceHistoryForm(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	now := time.Now().UnixMilli()
	n.member(now, "+u1", "-u1")
	state := n.state("channels/" + lobby + "/presence/history/state").Stream
	fill := strings.NewReplacer("STREAM", *state.ID, "FIRST", strconv.FormatInt(now, 10), "LAST", strconv.FormatInt(now+1, 10), "BYTES", strconv.FormatUint(state.Retained.Bytes, 10))
	const health = `{"stream_id":"STREAM","durable_state":"healthy","continuity_proven":true,"reset_required":false,"reason":null,"node_id":null,"last_transition_at_ms":null,"authoritative_source":"in_memory","observed_source":"in_memory"}`
	const ends = `"oldest_available_serial":1,"newest_available_serial":2,"oldest_available_published_at_ms":FIRST,"newest_available_published_at_ms":LAST`
	path := "channels/" + lobby + "/presence/history"
	n.get(path, "start_serial", "2").is(t, 200, fill.Replace(`{"items":[{"stream_id":"STREAM","serial":2,"published_at_ms":LAST,"event":"member_removed","cause":"disconnect","user_id":"u1","connection_id":"1.2","dead_node_id":null,"payload_size_bytes":121,`+
		`"presence_event":{"stream_id":"STREAM","serial":2,"published_at_ms":LAST,"event":"member_removed","cause":"disconnect","user_id":"u1","connection_id":"1.2","user_info":null,"dead_node_id":null}}],`+
		`"direction":"newest_first","limit":100,"has_more":false,"next_cursor":null,"bounds":{"start_serial":2,"end_serial":null,"start_time_ms":null,"end_time_ms":null},`+
		`"continuity":{"stream_id":"STREAM",`+ends+`,"retained_events":2,"retained_bytes":BYTES,"degraded":false,"complete":true,"truncated_by_retention":false},"stream_state":`+health+`}`))
	n.get(path+"/state").is(t, 200, fill.Replace(`{"channel":"presence-lobby","stream":{"stream_id":"STREAM","next_serial":3,"retained":{"stream_id":"STREAM","retained_events":2,"retained_bytes":BYTES,`+ends+`},"state":`+health+`}}`))
	n.get(path+"/snapshot", "at_serial", "1").is(t, 200, fill.Replace(`{"channel":"presence-lobby","members":[{"user_id":"u1","last_event":"member_added","last_event_serial":1,"last_event_at_ms":FIRST}],"member_count":1,"events_replayed":1,"snapshot_serial":1,"snapshot_time_ms":FIRST,`+
		`"continuity":{"stream_id":"STREAM",`+ends+`,"retained_events":2,"retained_bytes":BYTES,"complete":true,"truncated_by_retention":false}}`))
}

func TestPresenceHistoryPages(t *testing.T) {
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.Members.PageSize = 2 })
	n.member(time.Now().UnixMilli(), "+a", "+b", "+c")
	path := "channels/" + lobby + "/presence/history"
	page := read[historyPage](n, n.get(path, "limit", "50"))
	if page.Limit != 2 || len(page.Items) != 2 || page.Next == nil {
		t.Fatalf("%+v", page)
	}
	if rest := read[historyPage](n, n.get(path, "cursor", *page.Next)); len(rest.Items) != 1 || rest.Items[0].Serial != 1 || rest.More {
		t.Errorf("%+v", rest)
	}
	n.get(path, "limit", "0").fails(t, 400, "invalid_input", "Presence history limit must be greater than 0")
	n.get(path, "direction", "forward", "cursor", *page.Next).fails(t, 400, "invalid_input", "Presence history cursor direction does not match the request")
	n.get("channels/"+lobby+"/history", "cursor", *page.Next).fails(t, 400, "invalid_input", "Expired history cursor: channel stream changed")
}

// Checklist: http-api 122
func TestHTTP122PresenceHistoryOnly(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	off := newNode(t, testApp(), func(s *realtime.Settings) { withHistory(s); s.Members.Enabled = false })
	none := newNode(t, testApp(), func(s *realtime.Settings) { s.Members.Enabled = true })
	each := func(n *node, channel string, check func(a answer)) {
		path := "channels/" + channel + "/presence/history"
		check(n.get(path))
		check(n.get(path + "/state"))
		check(n.get(path + "/snapshot"))
		check(n.post(path+"/reset", resetBody(channel)))
	}
	each(n, "private-x", func(a answer) {
		a.fails(t, 400, "invalid_input", "Only presence channels support this endpoint")
	})
	each(off, "private-x", func(a answer) {
		a.fails(t, 400, "invalid_input", "Only presence channels support this endpoint")
	})
	each(n, "presence-a%20b", func(a answer) { a.fails(t, 400, "invalid_input", "invalid characters") })
	each(off, lobby, func(a answer) {
		a.fails(t, 422, "feature_disabled", "Presence history is disabled by policy for channel 'presence-lobby'")
	})
	each(none, lobby, func(a answer) { a.fails(t, 500, "internal_error", "Internal server error") })
	each(n, "presence-unused", func(a answer) { a.is200(t) })
}

// Checklist: http-api 123
func TestHTTP123Snapshot(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	if s := n.snapshot(); s.Count != 0 || s.Members == nil || s.Serial != nil || s.At != nil || !s.Continuity.Complete || s.Channel != lobby {
		t.Errorf("%+v", s)
	}
	now := time.Now().UnixMilli()
	n.member(now, "+u2", "+u1", "+u3", "*u1", "-u2", "-u3", "+u3")
	s := n.snapshot()
	if s.ids() != "u1 u3" || s.Count != 2 || s.Replayed != 7 || *s.Serial != 7 || *s.At != now+6 || !s.Continuity.Complete || s.Continuity.Truncated || s.Continuity.Events != 7 {
		t.Errorf("%+v", s)
	}
	if m := s.Members[0]; m.Event != "member_updated" || m.Serial != 4 || m.At != now+3 {
		t.Errorf("%+v", m)
	}
}

// Checklist: http-api 124
func TestHTTP124SnapshotBounds(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	now := time.Now().UnixMilli()
	n.member(now, "+b", "+c", "+a", "-b")
	at := func(n int) string { return strconv.FormatInt(now+int64(n), 10) }
	for _, c := range []struct {
		params []string
		want   string
	}{
		{nil, "a c"},
		{[]string{"at_serial", "3"}, "a b c"},
		{[]string{"at_serial", "2"}, "b c"},
		{[]string{"at_serial", "0"}, ""},
		{[]string{"at_serial", "99"}, "a c"},
		{[]string{"at_time_ms", at(2)}, "a b c"},
		{[]string{"at", at(1)}, "b c"},
		{[]string{"at", at(-1)}, ""},
		{[]string{"at_serial", "1", "at", at(3)}, "b"},
		{[]string{"at_serial", "4", "at", at(0)}, "b"},
	} {
		if s := n.snapshot(c.params...); s.ids() != c.want {
			t.Errorf("%v: %s", c.params, s.ids())
		}
	}
	path := "channels/" + lobby + "/presence/history/snapshot"
	n.get(path, "at_serial", "x").fails(t, 400, "invalid_input", "at_serial must be a whole number")
	n.get(path, "at", "x").fails(t, 400, "invalid_input", "at must be a whole number of milliseconds")
	n.get(path, "at", "1", "at_time_ms", "1").fails(t, 400, "invalid_input", "are the same parameter")
}

// Checklist: http-api 125
func TestHTTP125TruncatedPresence(t *testing.T) {
	n := newNode(t, testApp(), withHistory, func(s *realtime.Settings) { s.Members.MaxItems = 3 })
	n.member(time.Now().UnixMilli(), "+a", "+b", "+c", "*b", "-a")
	// The join of b and a is not kept, and what is kept says enough about them.
	s := n.snapshot()
	if s.ids() != "b c" || s.Continuity.Complete || !s.Continuity.Truncated || s.Replayed != 3 || *s.Continuity.Oldest != 3 {
		t.Errorf("%+v", s)
	}
	page := read[historyPage](n, n.get("channels/"+lobby+"/presence/history"))
	if page.Continuity.Complete || !page.Continuity.Truncated || len(page.Items) != 3 {
		t.Errorf("%+v", page)
	}
}

// Checklist: http-api 126
func TestHTTP126PresenceReset(t *testing.T) {
	n := newNode(t, testApp(), withHistory)
	n.member(time.Now().UnixMilli(), "+a", "-a")
	n.keep(lobby, time.Now().UnixMilli(), "x")
	path := "channels/" + lobby + "/presence/history"
	before := n.state(path + "/state").Stream
	n.post(path+"/reset", body("confirm_channel", lobby, "confirm_operation", "purge", "reason", "r")).fails(t, 400, "invalid_input", "confirm_operation must be 'reset'")
	a := n.post(path+"/reset", resetBody(lobby))
	got := read[removal](n, a)
	if !got.OK || got.Operation != "reset" || *got.Previous != *before.ID || got.New == *before.ID || *got.Stream.ID != got.New || got.Events != 2 || got.Bytes != before.Retained.Bytes || got.Stream.Next != 1 || !strings.Contains(a.body, `"purged_events":2,`) {
		t.Errorf("%s", a.body)
	}
	if s := n.snapshot(); s.Count != 0 || s.Replayed != 0 || *s.Continuity.Stream != got.New || !s.Continuity.Complete {
		t.Errorf("%+v", s)
	}
	n.member(time.Now().UnixMilli(), "+b")
	if s := n.snapshot(); *s.Serial != 1 {
		t.Errorf("%+v", s)
	}
	// The events of the channel are another history.
	if page := n.page(lobby); len(page.Items) != 1 {
		t.Errorf("%+v", page)
	}
}
