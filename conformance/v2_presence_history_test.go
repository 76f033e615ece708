package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// told waits until the presence history of a channel has so many events, because it is
// written beside what clients hear. Each is a text of its event, cause and user.
func (s *stage) told(channel string, n int) (o document, events []string) {
	s.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		o = s.get("/channels/"+channel+"/presence/history", "direction", "oldest_first")
		if len(o.all("items", "event")) >= n || time.Now().After(end) {
			break
		}
	}
	for i, event := range o.all("items", "event") {
		events = append(events, event+" "+o.all("items", "cause")[i]+" "+o.all("items", "user_id")[i])
	}
	return o, events
}

// Checklist: http-api 119, 120, 121, 123, 124
func TestV2PresenceHistory(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		lobby := s.own("presence-lobby")
		path := "/channels/" + lobby + "/presence/history"
		p, twin, old, lost := s.peer(), s.peer(), s.old(), s.peer()
		var want []string
		check := func(more ...string) document {
			s.Helper()
			want = append(want, more...)
			o, got := s.told(lobby, len(want))
			if !slices.Equal(got, want) {
				s.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			return o
		}
		p.joinAs(lobby, `{"user_id":"u1","user_info":{"n":0}}`)
		check("member_added join u1").is(s, "items.0.connection_id", p.id, "items.0.serial", "1", "items.0.presence_event.user_info.n", "0", "items.0.dead_node_id", "null",
			"continuity.retained_events", "1", "continuity.complete", "true", "stream_state.continuity_proven", "true")
		twin.joinAs(lobby, `{"user_id":"u1"}`)
		old.joinAs(lobby, `{"user_id":"u2"}`)
		check("member_added join u2")
		for range 2 {
			p.send("sockudo:presence_update", lobby, map[string]any{"n": 1})
		}
		check("member_updated join u1", "member_updated join u1").is(s, "items.3.presence_event.user_info.n", "1")
		s.get(path+"/snapshot").is(s, "member_count", "2", "members.0.user_id", "u1", "members.0.last_event", "member_updated", "members.1.user_id", "u2",
			"events_replayed", "4", "snapshot_serial", "4", "continuity.complete", "true")
		p.leave(lobby)
		twin.leave(lobby)
		check("member_removed disconnect u1")
		s.get(path+"/snapshot").is(s, "member_count", "1", "members.0.user_id", "u2")
		twin.send("sockudo:subscribe", "", twin.wish(lobby, `{"user_id":"u1"}`, ""))
		check("member_added join u1").is(s, "items.5.connection_id", twin.id)
		lost.joinAs(lobby, `{"user_id":"u3"}`)
		check("member_added join u3")
		lost.drop()
		old.close()
		check("member_removed disconnect u2", "member_removed timeout u3").is(s, "items.8.serial", "9", "items.8.presence_event.cause", "timeout")
		s.get(path+"/snapshot").is(s, "member_count", "1", "members.0.user_id", "u1")
		o := s.get(path+"/snapshot", "at_serial", "7")
		o.is(s, "member_count", "3", "members.0.user_id", "u1", "members.1.user_id", "u2", "members.2.user_id", "u3", "snapshot_serial", "7")
		s.get(path+"/snapshot", "at_time_ms", o.at("snapshot_time_ms"), "at_serial", "7").is(s, "member_count", "3")
		s.get(path+"/snapshot", "at", "1").is(s, "member_count", "0", "snapshot_serial", "null")
	})
}

// Checklist: http-api 122, 126
func TestV2PresenceHistoryCalls(t *testing.T) {
	s := versioned.alone(t)
	lobby, bare := s.own("presence-lobby"), "presence-bare:"+s.own("x")
	s.peer().joinAs(lobby, `{"user_id":"u1"}`)
	o, _ := s.told(lobby, 1)
	stream := o.at("items.0.stream_id")
	for _, c := range [][2]string{{http.MethodGet, ""}, {http.MethodGet, "/state"}, {http.MethodGet, "/snapshot"}, {http.MethodPost, "/reset"}} {
		s.fails(400, "Only presence channels support this endpoint", c[0], "/channels/"+s.own("orders")+"/presence/history"+c[1], map[bool]string{true: "{}"}[c[0] == http.MethodPost])
		s.fails(422, "feature_disabled", c[0], "/channels/"+bare+"/presence/history"+c[1], map[bool]string{true: "{}"}[c[0] == http.MethodPost])
	}
	var reset document
	unmarshal(s, []byte(s.post("/channels/"+lobby+"/presence/history/reset", `{"confirm_channel":"`+lobby+`","confirm_operation":"reset","reason":"test"}`)), &reset)
	reset.is(s, "previous_stream_id", stream, "purged_events", "1", "stream.next_serial", "1", "stream.retained.retained_events", "0")
	s.get("/channels/"+lobby+"/presence/history").is(s, "items.0", "absent")
	if reset.at("new_stream_id") == stream {
		s.Errorf("%s", compact(reset))
	}
}

// Versions, annotations and members are told to a receiver of webhooks.
func TestV2WebhooksOfWhatIsKept(t *testing.T) {
	s := versioned.alone(t)
	s.app = toldApp
	received := receiveHooks(t, s.server)
	var events []document
	next := func(name string, pairs ...string) {
		s.Helper()
		late := time.After(2 * patience)
		for {
			for i, e := range events {
				if e.at("name") == name {
					events = slices.Delete(events, i, i+1)
					e.is(s, pairs...)
					return
				}
			}
			select {
			case one := <-received:
				if want := sign(s.app.Secret, one.RawBody); one.Headers["x-pusher-signature"] != want {
					s.Errorf("signed %s, want %s", one.Headers["x-pusher-signature"], want)
				}
				var body struct{ Events []document }
				unmarshal(s, []byte(one.RawBody), &body)
				events = append(events, body.Events...)
			case <-late:
				s.Fatalf("no %s: %s", name, compact(events))
			}
		}
	}
	chat, lobby := s.own("chat"), s.own("presence-lobby")
	message := s.say(chat, "a").at("message_serial")
	next("message_version_created", "channel", chat, "message_serial", message, "version_serial", message, "action", "message.create")
	changed := s.change(chat, message, "append", `{"data":"b"}`)
	next("message_version_created", "channel", chat, "message_serial", message, "version_serial", changed.at("version_serial"), "action", "message.append")
	one := s.annotate(chat, message, `{"type":"r:total.v1"}`)
	next("annotation_created", "channel", chat, "message_serial", message, "annotation_serial", one, "annotation_type", "r:total.v1", "deleted_annotation_serial", "null")
	gone := s.unannotate(chat, message, one)
	next("annotation_deleted", "message_serial", message, "annotation_serial", gone, "annotation_type", "r:total.v1", "deleted_annotation_serial", one)
	p := s.peer()
	p.joinAs(lobby, `{"user_id":"u1"}`)
	p.send("sockudo:presence_update", lobby, map[string]any{"n": 1})
	next("member_updated", "channel", lobby, "user_id", "u1", "user_info.n", "1")
	if len(events) > 0 {
		s.Errorf("more than was asked for: %s", compact(events))
	}
}
