package conformance

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// annotate annotates a message, and returns the serial of the annotation.
func (s *stage) annotate(channel, message, body string) string {
	s.Helper()
	var o document
	unmarshal(s, []byte(s.post(messagePath(channel, message)+"/annotations", body)), &o)
	return o.at("annotationSerial")
}

// unannotate takes an annotation back, and returns the serial of that.
func (s *stage) unannotate(channel, message, serial string) string {
	s.Helper()
	status, answer := s.call(http.MethodDelete, messagePath(channel, message)+"/annotations/"+serial, "")
	var o document
	unmarshal(s, []byte(answer), &o)
	if status != http.StatusOK || o.at("deletedAnnotationSerial") != serial {
		s.Fatalf("%d %s", status, answer)
	}
	return o.at("annotationSerial")
}

// summary takes a summary of annotations of a type on a message.
func (p *peer) summary(channel, message, kind, want string) {
	p.stage.Helper()
	e := p.event("sockudo_internal:message")
	if got := string(e.Data); e.Channel != channel || e.Serial != nil || string(e.Extras) != `{"ephemeral":true}` ||
		got != `{"action":"message.summary","serial":"`+message+`","annotations":{"summary":{"`+kind+`":`+want+`}}}` {
		p.stage.Fatalf("%s: %s, want %s", p.name, e.text, want)
	}
}

// Checklist: protocol 202, 205
// Checklist: http-api 145, 147, 148
func TestV2Annotations(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat, user := s.own("chat"), s.own("u")
		message, other := s.say(chat, "a").at("message_serial"), s.say(chat, "b").at("message_serial")
		p, old := s.peer(), s.old()
		all := s.bearer(s.token(user, s.own("j"), time.Hour, map[string][]string{"*": {"subscribe", "annotation-subscribe"}}))
		p.join(chat)
		old.join(chat)
		all.joinWith(chat, "", `"modes":["OTHER","ANNOTATION_SUBSCRIBE"]`)
		const kind = "r:distinct.v1"
		raw := func(action, serial string, pairs ...string) {
			s.Helper()
			e := all.event("sockudo_internal:annotation")
			var o document
			unmarshal(s, e.Data, &o)
			o.is(s, "action", action, "serial", serial, "messageSerial", message, "type", kind)
			o.is(s, pairs...)
			if e.Channel != chat || e.Serial != nil || string(e.Extras) != `{"ephemeral":true}` {
				s.Errorf("%s", e.text)
			}
		}
		both := func(want string) {
			s.Helper()
			p.summary(chat, message, kind, want)
			all.summary(chat, message, kind, want)
		}
		first := s.annotate(chat, message, `{"type":"`+kind+`","name":"like","clientId":"u1","data":{"any":1},"encoding":"json"}`)
		both(`{"like":{"total":1,"clientIds":["u1"],"clipped":false}}`)
		raw("annotation.create", first, "name", "like", "clientId", "u1", "data.any", "1", "encoding", "json")
		second := s.annotate(chat, message, `{"type":"`+kind+`","name":"like","client_id":"u2"}`)
		both(`{"like":{"total":2,"clientIds":["u1","u2"],"clipped":false}}`)
		raw("annotation.create", second, "clientId", "u2")
		gone := s.unannotate(chat, message, first)
		both(`{"like":{"total":1,"clientIds":["u2"],"clipped":false}}`)
		raw("annotation.delete", gone, "clientId", "u1", "id", "null")
		if again := s.unannotate(chat, message, first); again != first {
			s.Errorf("deleted again as %s", again)
		}
		path := messagePath(chat, message) + "/annotations"
		s.fails(400, "Only annotation.create events can be deleted", http.MethodDelete, path+"/"+gone, "")
		s.fails(404, "does not target message", http.MethodDelete, messagePath(chat, other)+"/annotations/"+second, "")
		s.fails(404, "not_found", http.MethodDelete, path+"/ann:00000000000000009999", "")
		o := s.get(path)
		if got := strings.Join(o.all("items", "serial"), " "); got != first+" "+second+" "+gone {
			s.Errorf("%s", got)
		}
		p.quiet(chat)
		all.event("mark")
		old.expect(`{"event":"mark","channel":"chat","data":"{}"}`)
		s.get("/channels/"+chat+"/history").is(s, "items.0.event_name", "sockudo:message.create", "items.0.message.name", "mark", "items.0.message.delivery_serial", "3", "items.3", "absent")
	})
}

// Checklist: protocol 203
// Checklist: http-api 146
func TestV2SummariesForSubscribers(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat := s.own("chat")
		message, other := s.say(chat, "a").at("message_serial"), s.say(chat, "b").at("message_serial")
		s.annotate(chat, message, `{"type":"r:total.v1"}`)
		s.annotate(chat, message, `{"type":"r:total.v1"}`)
		s.annotate(chat, message, `{"type":"r:unique.v1","name":"up","clientId":"u1"}`)
		s.annotate(chat, other, `{"type":"r:multiple.v1","name":"vote","clientId":"u1","count":3}`)
		p, old := s.peer(), s.old()
		p.join(chat)
		old.join(chat)
		got := map[string]bool{}
		for range 3 {
			got[string(p.event("sockudo_internal:message").Data)] = true
		}
		for kind, sum := range map[string][2]string{
			"r:total.v1": {message, `{"total":2}`}, "r:unique.v1": {message, `{"up":{"total":1,"clientIds":["u1"],"clipped":false}}`},
			"r:multiple.v1": {other, `{"vote":{"total":3,"clientCounts":{"u1":3},"totalUnidentified":0,"clipped":false,"totalClientIds":1}}`},
		} {
			if want := `{"action":"message.summary","serial":"` + sum[0] + `","annotations":{"summary":{"` + kind + `":` + sum[1] + `}}}`; !got[want] {
				s.Errorf("%s is missing: %v", want, got)
			}
		}
		p.quiet(chat)
		old.expect(`{"event":"mark","channel":"chat","data":"{}"}`)
	})
}

// Checklist: protocol 204
func TestV2AnnotationRights(t *testing.T) {
	versioned.inEncodings(t, func(s *stage) {
		chat, ada := s.own("private-chat"), s.own("ada")
		bare := "bare:" + chat
		holds := func(id string, rights ...string) *peer {
			s.Helper()
			return s.bearer(s.token(ada, s.own(id), time.Hour, map[string][]string{"*": append([]string{"subscribe"}, rights...)}))
		}
		may, none, writer := holds("j1", "annotation-subscribe"), holds("j2"), holds("j3", "publish", "annotation-publish", "annotation-delete-own")
		plain, signed := s.peer(), s.peer()
		const modes = `"modes":["ANNOTATION_SUBSCRIBE"]`
		for _, p := range []*peer{none, plain} {
			p.send("sockudo:subscribe", "", p.wish(chat, "", modes))
			p.refused(4009, chat)
		}
		signed.signin(s.own("signed"), `"capabilities":{"annotation-subscribe":["*"]}`)
		signed.joinWith(chat, "", modes)
		may.joinWith(chat, "", modes)
		for _, p := range []*peer{may, plain} {
			p.send("sockudo:subscribe", "", p.wish(bare, "", modes))
			p.refused(4300, bare)
		}
		message := s.say(chat, "a").at("message_serial")
		path := messagePath(chat, message) + "/annotations"
		body := func(p *peer, client string) string {
			return `{"type":"r:flag.v1","clientId":"` + client + `","socketId":"` + p.id + `"}`
		}
		s.fails(403, "annotation-publish", http.MethodPost, path, body(none, ada))
		s.fails(401, "auth_failed", http.MethodPost, path, body(writer, "somebody"))
		s.fails(401, "auth_failed", http.MethodPost, path, `{"type":"r:flag.v1","socketId":"1.2"}`)
		s.fails(401, "auth_failed", http.MethodPost, path, body(s.old(), ada))
		own := s.annotate(chat, message, body(writer, ada))
		foreign := s.annotate(chat, message, `{"type":"r:flag.v1","clientId":"bob"}`)
		s.fails(403, "forbidden", http.MethodDelete, path+"/"+foreign, "", "socket_id", writer.id)
		s.fails(403, "forbidden", http.MethodDelete, path+"/"+own, "", "socket_id", none.id)
		s.fails(403, "forbidden", http.MethodGet, path, "", "socket_id", none.id)
		s.get(path, "socket_id", may.id).is(s, "items.0.clientId", ada)
		if status, answer := s.call(http.MethodDelete, path+"/"+own, "", "socket_id", writer.id); status != http.StatusOK {
			s.Errorf("%d %s", status, answer)
		}
		s.app = oblivionApp
		p := s.peer()
		p.send("sockudo:subscribe", "", p.wish(chat, "", modes))
		p.refused(4300, chat)
	})
}

// Checklist: http-api 142, 143
func TestV2AnnotationGates(t *testing.T) {
	s := versioned.alone(t)
	chat := s.own("chat")
	message := s.say(chat, "a").at("message_serial")
	path := messagePath(chat, message) + "/annotations"
	for body, word := range map[string]string{
		`{"type":"x"}`: "namespace:summarizer", `{"type":"r:other.v1"}`: "summarizer", `{"type":"r:total.v2"}`: "version", `{"type":"r:total.v1","count":0}`: "Annotation count must be greater than 0",
		`{"type":"r:unique.v1","clientId":"u"}`: "annotation name is required", `{"type":"r:flag.v1"}`: "annotation client_id is required",
	} {
		s.fails(400, word, http.MethodPost, path, body)
	}
	s.fails(404, "not_found", http.MethodPost, messagePath(chat, "none")+"/annotations", `{"type":"r:total.v1"}`)
	bare := s.say("bare:"+chat, "a").at("message_serial")
	s.fails(403, "forbidden", http.MethodPost, messagePath("bare:"+chat, bare)+"/annotations", `{"type":"r:total.v1"}`)
	s.app = oblivionApp
	s.fails(403, "forbidden", http.MethodPost, path, `{"type":"r:total.v1"}`)
	s = recorded.alone(t)
	s.fails(422, "feature_disabled", http.MethodPost, path, `{"type":"r:total.v1"}`)
	s.fails(422, "feature_disabled", http.MethodGet, path, "")
}
