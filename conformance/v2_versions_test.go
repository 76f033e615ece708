package conformance

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// version is what the headers of a message that can be changed say.
type version struct {
	Headers struct {
		Action  string  `json:"sockudo_action"`
		Message string  `json:"sockudo_message_serial"`
		Serial  string  `json:"sockudo_version_serial"`
		At      float64 `json:"sockudo_version_timestamp_ms"`
		History uint64  `json:"sockudo_history_serial"`
	} `json:"headers"`
}

func (e envelope) version(s *stage) (v version) {
	s.Helper()
	if len(e.Extras) > 0 {
		unmarshal(s, e.Extras, &v)
	}
	return v
}

// say publishes a message that can be changed, and takes the acknowledgement.
func (s *stage) say(channel, data string) (ack document) {
	s.Helper()
	body := compact(map[string]string{"channel": channel, "name": "said", "data": data, "info": ""})
	unmarshal(s, []byte(s.post("/events", body)), &ack)
	ack, _ = ack["channels"].(map[string]any)[channel].(map[string]any)
	return ack
}

func messagePath(channel, message string) string {
	return "/channels/" + channel + "/messages/" + message
}

// change changes a message, and takes the answer.
func (s *stage) change(channel, message, action, body string) (o document) {
	s.Helper()
	unmarshal(s, []byte(s.post(messagePath(channel, message)+"/"+action, body)), &o)
	return o
}

// Checklist: protocol 144, 196, 197, 198, 199
// Checklist: http-api 127, 132, 139
func TestV2MutableMessages(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat := s.own("chat")
		p, whole, old := s.peer(), s.client(s.dialect, "&append_mode=full"), s.old()
		everybody := []*peer{p, whole}
		for _, q := range []*peer{p, whole, old} {
			q.join(chat)
		}
		start := time.Now().UnixMilli()
		ack := s.say(chat, "Hel")
		message := ack.at("message_serial")
		ack.is(s, "acknowledgement_id", message, "version_serial", message, "history_serial", "1", "delivery_serial", "1")
		for _, q := range everybody {
			e := q.event("said")
			v := e.version(s).Headers
			if e.inner(s) != "Hel" || e.Name != "" || *e.Serial != 1 || v.Action != "message.create" || v.Message != message || v.Serial != message || v.History != 1 ||
				int64(v.At) < start-1000 || int64(v.At) > time.Now().UnixMilli()+1000 {
				s.Errorf("%s", e.text)
			}
		}
		old.expect(`{"event":"said","channel":"chat","data":"Hel"}`)
		last, delivery := message, 1
		for _, c := range []struct{ action, body, part, all string }{
			{"append", `{"data":"lo"}`, `"lo"`, `"Hello"`},
			{"append", `{"data":" Ada","client_id":"u1"}`, `" Ada"`, `"Hello Ada"`},
			{"update", `{"data":"Hello Bob"}`, `"Hello Bob"`, `"Hello Bob"`},
			{"update", `{"extras":{"headers":{"n":1}}}`, `"Hello Bob"`, `"Hello Bob"`},
			{"delete", `{}`, `"Hello Bob"`, `"Hello Bob"`},
			{"delete", `{"clear_fields":["data","extras"]}`, ``, ``},
			{"append", `{"data":"again"}`, `"again"`, `"again"`},
		} {
			delivery++
			done := s.change(chat, message, c.action, c.body)
			done.is(s, "channel", chat, "message_serial", message, "action", c.action, "accepted", "true", "status", "applied", "history_serial", "1", "delivery_serial", strconv.Itoa(delivery))
			serial := done.at("version_serial")
			if serial <= last {
				s.Errorf("%s after %s", serial, last)
			}
			last = serial
			for _, q := range everybody {
				want := c.part
				if q == whole {
					want = c.all
				}
				e := q.event("sockudo:message." + c.action)
				v := e.version(s).Headers
				if string(e.Data) != want || e.Name != "said" || *e.Serial != uint64(delivery) || v.Action != "message."+c.action || v.Message != message || v.Serial != serial || v.History != 1 {
					s.Errorf("%s %s: %s", c.action, c.body, e.text)
				}
				if user := map[bool]string{true: "u1"}[strings.Contains(c.body, "u1")]; e.UserID != user && user != "" {
					s.Errorf("not by %s: %s", user, e.text)
				}
			}
		}
		s.say(chat, "next").is(s, "history_serial", "2", "delivery_serial", strconv.Itoa(delivery+1))
		old.expect(`{"event":"said","channel":"chat","data":"next"}`)
		for _, q := range everybody {
			if e := q.event("said"); *e.Serial != uint64(delivery+1) || e.version(s).Headers.History != 2 {
				s.Errorf("%s", e.text)
			}
		}
	})
}

// Checklist: protocol 200
// Checklist: http-api 106
func TestV2RewindOfVersions(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat := s.own("chat")
		first, second, third := s.say(chat, "Hel"), s.say(chat, "x"), s.say(chat, "y")
		s.change(chat, first.at("message_serial"), "append", `{"data":"lo"}`)
		appended := s.change(chat, first.at("message_serial"), "append", `{"data":"!"}`)
		s.change(chat, second.at("message_serial"), "delete", `{"clear_fields":["data"]}`)
		for _, query := range []string{"", "&append_mode=full"} {
			p := s.client(s.dialect, query)
			p.resumes = true // messages come in their order, with the serials of their newest versions
			past, done := p.rewound(chat, "9", "")
			if len(past) != 3 {
				s.Fatalf("%v", past)
			}
			done.is(s, "historical_count", "3", "complete", "true")
			update, gone, created := past[0], past[1], past[2]
			if update.Event != "sockudo:message.update" || update.inner(s) != "Hello!" || update.Name != "said" || *update.Serial != 5 ||
				update.version(s).Headers.Serial != appended.at("version_serial") || update.version(s).Headers.Action != "message.update" {
				s.Errorf("%s", update.text)
			}
			if gone.Event != "sockudo:message.delete" || gone.Data != nil || gone.version(s).Headers.History != 2 {
				s.Errorf("%s", gone.text)
			}
			if created.Event != "said" || created.inner(s) != "y" || created.version(s).Headers.Message != third.at("message_serial") {
				s.Errorf("%s", created.text)
			}
		}
		o := s.get("/channels/" + chat + "/history")
		if got := o.all("items", "serial"); !slices.Equal(got, []string{"3", "2", "1"}) {
			s.Errorf("%v", got)
		}
		o.is(s, "items.2.event_name", "sockudo:message.append", "items.2.operation_kind", "message.append", "items.2.message.data", "Hello!", "items.2.message.name", "said",
			"items.2.message.delivery_serial", "5", "items.2.message.serial", "5", "items.2.message.history_serial", "1", "items.2.message.action", "append",
			"items.2.message.version.serial", appended.at("version_serial"), "items.2.message.stream_id", "null", "items.1.event_name", "sockudo:message.delete",
			"items.1.message.data", "null", "items.0.event_name", "sockudo:message.create")
		p := s.peer()
		p.join(chat)
		o = p.pages(map[string]any{"channel": chat, "end": 1})
		o.is(s, "items.0.serial", "1", "items.0.message.data", "Hello!", "items.0.message.event", "sockudo:message.append", "items.0.message.stream_id", o.at("continuity.stream_id"))
	})
}

// What was missed of messages and their changes comes from the history as it came live,
// in either form of appends.
//
// Checklist: protocol 152
// Checklist: http-api 111, 116
func TestV2ResumeOfVersions(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat := s.own("chat")
		for _, query := range []string{"", "&append_mode=full"} {
			witness, p := s.client(s.dialect, query), s.client(s.dialect, query)
			witness.join(chat)
			start := p.join(chat).at()
			p.drop()
			message := s.say(chat, "a").at("message_serial")
			s.change(chat, message, "append", `{"data":"b"}`)
			s.change(chat, message, "append", `{"data":"c"}`)
			s.change(chat, message, "update", `{"name":"told"}`)
			s.change(chat, message, "delete", `{"clear_fields":["data"],"client_id":"u1"}`)
			var live, again []string
			for range 5 {
				live = append(live, witness.next().text)
			}
			forgotten()
			p = s.client(s.dialect, query)
			p.join(chat)
			p.resume(map[string]position{chat: start})
			for range 5 {
				again = append(again, p.next().text)
			}
			if !slices.Equal(again, live) {
				s.Errorf("resumed\n%s\nlive\n%s", strings.Join(again, "\n"), strings.Join(live, "\n"))
			}
			if a := p.answered(); len(a.Recovered) != 1 || a.Recovered[0].Source != "cold" || a.Recovered[0].Replayed != 5 {
				s.Errorf("%+v", a)
			}
		}
	})
}

// Checklist: http-api 133
func TestV2ConcurrentAppends(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat := s.own("chat")
		p := s.peer()
		p.join(chat)
		message := s.say(chat, "").at("message_serial")
		p.event("said")
		const appends = 100
		var each sync.WaitGroup
		answers := make([]document, appends)
		for i := range appends {
			each.Go(func() {
				answers[i] = s.change(chat, message, "append", `{"data":"`+strconv.Itoa(i)+`;"}`)
			})
		}
		each.Wait()
		order := make([]string, appends)
		for i, a := range answers {
			n, err := strconv.Atoi(a.at("delivery_serial"))
			if err != nil || n < 2 || n > appends+1 || order[n-2] != "" || a.at("status") != "applied" {
				s.Fatalf("%s", compact(a))
			}
			order[n-2] = strconv.Itoa(i) + ";"
		}
		for i := range appends {
			if e := p.event("sockudo:message.append"); e.inner(s) != order[i] || *e.Serial != uint64(i+2) {
				s.Fatalf("%s, want %s", e.text, order[i])
			}
		}
		s.get(messagePath(chat, message)).is(s, "item.data", strings.Join(order, ""))
	})
}

// Checklist: http-api 128, 129, 130, 131, 134, 136
func TestV2ChangesOverHTTP(t *testing.T) {
	s := versioned.alone(t)
	chat := s.own("chat")
	p := s.peer()
	p.join(chat)
	s.publish(`{"name":"said","channel":"` + chat + `","data":"{\"a\":1}","extras":{"headers":{"x":1,"y":2}}}`)
	message := p.event("said").version(s).Headers.Message
	path := messagePath(chat, message)
	latest := func(pairs ...string) {
		s.Helper()
		o := s.get(path)
		o.is(s, "channel", chat, "item.message_serial", message, "item.history_serial", "1")
		o.is(s, pairs...)
	}
	latest("item.action", "create", "item.event", "sockudo:message.create", "item.name", "said", "item.data", `{"a":1}`, "item.extras.headers.x", "1")
	s.change(chat, message, "update", `{"data":{"b":2},"client_id":"u1","description":"typo","metadata":{"ip":"x"}}`)
	latest("item.action", "update", "item.name", "said", "item.data.b", "2", "item.data.a", "null", "item.extras.headers.x", "1", "item.extras.headers.sockudo_action", "message.update",
		"item.version.client_id", "u1", "item.version.description", "typo", "item.version.metadata.ip", "x")
	s.change(chat, message, "update", `{"extras":{"headers":{"z":3}},"data":null}`)
	latest("item.data.b", "2", "item.extras.headers.z", "3", "item.extras.headers.x", "null", "item.version.client_id", "null")
	s.change(chat, message, "update", `{"name":"told","clear_fields":["extras"]}`)
	latest("item.name", "told", "item.extras.headers.z", "null", "item.data.b", "2")
	s.change(chat, message, "delete", `{}`)
	latest("item.action", "delete", "item.data.b", "2")
	s.fails(400, "string", http.MethodPost, path+"/append", `{"data":"x"}`)
	s.change(chat, message, "delete", `{"clear_fields":["data"]}`)
	latest("item.action", "delete", "item.data", "null")
	s.change(chat, message, "append", `{"data":"x"}`)
	s.change(chat, message, "append", `{"data":"y"}`)
	latest("item.action", "append", "item.data", "xy", "item.delivery_serial", "8")
	for body, action := range map[string]string{
		`{}`: "update", `{"socket_id":"1.2"}`: "update", `{"name":"x","clear_fields":["name"]}`: "update", `{"clear_fields":["data","data"]}`: "delete",
		`{"data":""}`: "append", `{"data":"x","op_id":""}`: "append", `{"data":"x","op_id":"` + strings.Repeat("o", 65) + `"}`: "append",
	} {
		s.fails(400, "invalid_input", http.MethodPost, path+"/"+action, body)
	}
	s.change(chat, message, "append", `{"data":"","extras":{"ai":{"transport":{"status":"complete"}}}}`)
	done := s.change(chat, message, "append", `{"data":"z","op_id":"one"}`)
	again := s.change(chat, message, "append", `{"data":"z","op_id":"one"}`)
	again.is(s, "status", "duplicate", "version_serial", done.at("version_serial"), "delivery_serial", done.at("delivery_serial"), "history_serial", "1")
	s.fails(400, "op_id", http.MethodPost, path+"/append", `{"data":"other","op_id":"one"}`)
	s.change(chat, message, "update", `{"description":"x","op_id":"one"}`).is(s, "status", "applied")
	latest("item.data", "xyz", "item.delivery_serial", "11")
	for range 10 {
		if e := p.next(); !strings.HasPrefix(e.Event, "sockudo:message.") {
			s.Errorf("%s", e.text)
		}
	}
	s.fails(404, "Message 'none' was not found in channel '"+chat+"'", http.MethodPost, messagePath(chat, "none")+"/update", `{"data":"x"}`)
	s.fails(404, "not_found", http.MethodGet, messagePath(chat, "none"), "")
	s.fails(404, "not_found", http.MethodGet, messagePath(chat, "none")+"/versions", "")
	p.quiet(chat)

	s.app = oblivionApp
	s.fails(422, "feature_disabled", http.MethodPost, path+"/update", `{"data":"x"}`)
	s.fails(422, "feature_disabled", http.MethodGet, path, "")
	s = recorded.alone(t)
	s.fails(422, "feature_disabled", http.MethodPost, path+"/update", `{"data":"x"}`)
	s.fails(422, "feature_disabled", http.MethodGet, path+"/versions", "")
}

// Checklist: http-api 140
func TestV2VersionsList(t *testing.T) {
	s := versioned.alone(t)
	chat := s.own("chat")
	message := s.say(chat, "1").at("message_serial")
	for _, text := range []string{"2", "3", "4", "5"} {
		s.change(chat, message, "append", `{"data":"`+text+`"}`)
	}
	path := messagePath(chat, message) + "/versions"
	for direction, want := range map[string]string{"oldest_first": "1 2 3 4 5", "newest_first": "5 4 3 2 1"} {
		var all []string
		query := []string{"direction", direction, "limit", "2"}
		for more := true; more; {
			o := s.get(path, query...)
			o.is(s, "direction", direction, "limit", "2", "channel", chat)
			all = append(all, o.all("items", "data")...)
			more = o.at("has_more") == "true"
			if _, there := o["next_cursor"]; there != more {
				s.Errorf("%s", compact(o))
			}
			query = append(query[:4], "cursor", o.at("next_cursor"))
		}
		if got := strings.Join(all, " "); got != want {
			s.Errorf("%s: %s", direction, got)
		}
	}
	s.fails(400, "direction", http.MethodGet, path, "", "direction", "backwards")
	s.fails(400, "versions limit must be greater than 0", http.MethodGet, path, "", "limit", "0")
}

// In the name of a client a message can be changed by whom its rights let.
//
// Checklist: http-api 137, 138
func TestV2ChangesInTheNameOfAClient(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		room, ada, bob := s.own("private-room"), s.own("ada"), s.own("bob")
		rights := func(more ...string) map[string][]string {
			return map[string][]string{"*": append([]string{"subscribe", "publish"}, more...)}
		}
		holds := func(client, id string, more ...string) *peer {
			s.Helper()
			return s.bearer(s.token(client, s.own(id), time.Hour, rights(more...)))
		}
		owner := holds(ada, "j1", "message-update-own", "message_append_own")
		other := holds(bob, "j2", "message-update-own")
		editor := holds(bob, "j3", "message-update-any")
		none := holds(ada, "j4")
		mute := s.bearer(s.token(ada, s.own("j5"), time.Hour, map[string][]string{"*": {"subscribe", "message-update-any"}}))
		plain, old := s.peer(), s.old()
		owner.join(room)
		owner.send("client-said", room, "text")
		message := owner.event("client-said").version(s).Headers.Message
		path := messagePath(room, message)
		body := func(p *peer, more string) string { return `{"data":"x","socket_id":"` + p.id + `"` + more + `}` }
		s.change(room, message, "update", body(owner, "")).is(s, "status", "applied")
		s.get(path).is(s, "item.version.client_id", ada)
		s.change(room, message, "append", body(owner, `,"client_id":"`+ada+`"`))
		s.change(room, message, "update", body(editor, ""))
		s.get(path).is(s, "item.version.client_id", bob)
		for _, c := range []struct {
			p      *peer
			action string
		}{{other, "update"}, {none, "update"}, {mute, "update"}, {plain, "update"}, {owner, "delete"}, {editor, "append"}} {
			s.fails(403, `"code":"mutable_not_permitted"`, http.MethodPost, path+"/"+c.action, body(c.p, ""))
			s.fails(403, "93002", http.MethodPost, path+"/"+c.action, body(c.p, ""))
		}
		s.fails(401, "auth_failed", http.MethodPost, path+"/update", body(old, ""))
		s.fails(401, "auth_failed", http.MethodPost, path+"/update", `{"data":"x","socket_id":"1.2"}`)
		s.fails(401, "auth_failed", http.MethodPost, path+"/update", body(owner, `,"client_id":"`+bob+`"`))
		s.fails(400, "invalid_input", http.MethodPost, path+"/update", `{"data":"x","socket_id":"here"}`)
		// A backend that publishes for a socket publishes for its client, and what nobody in
		// particular has said is nobody's own.
		s.publish(`{"name":"said","channel":"` + room + `","data":"mine","socket_id":"` + owner.id + `","info":""}`)
		nobodys := s.say(room, "whose").at("message_serial")
		for range 3 {
			owner.next()
		}
		s.fails(403, "mutable_not_permitted", http.MethodPost, messagePath(room, nobodys)+"/update", body(owner, ""))
		s.change(room, nobodys, "update", body(editor, ""))
	})
}
