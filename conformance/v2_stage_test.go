package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// stage is one scenario in one encoding, on a server that others use too: it has names
// of its own.
type stage struct {
	*testing.T

	server  *server
	app     app
	dialect dialect
	number  int64
	// loads says that configurations are loaded meanwhile. Caddy's listener changes with
	// each, and connections that have not been answered yet may end, whatever they ask for.
	loads bool
}

var stages atomic.Int64

// inEncodings plays a scenario in each encoding, all at once. The server has what V2
// offers switched on.
func inEncodings(t *testing.T, play func(*stage)) {
	s := needV2(t)
	for _, d := range []dialect{inJSON, messagePack, protobuf} {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			play(&stage{T: t, server: s, app: nativeApp, dialect: d, number: stages.Add(1)})
		})
	}
}

// inDialect plays a scenario for which the encoding makes no difference.
func inDialect(t *testing.T, s *server, d dialect) *stage {
	t.Helper()
	return &stage{T: t, server: s, app: nativeApp, dialect: d, number: stages.Add(1)}
}

// own makes a name one of this stage alone; plain takes that out again.
func (s *stage) own(name string) string { return fmt.Sprintf("%s=%d", name, s.number) }

// publish sends an event of the HTTP API, given as the text of its body.
func (s *stage) publish(body string) {
	s.Helper()
	s.post("/events", body)
}

// tell publishes an event whose data is a string.
func (s *stage) tell(channel, name, data string) {
	s.Helper()
	s.publish(compact(map[string]string{"channel": channel, "name": name, "data": data}))
}

func (s *stage) post(path, body string) (answer string) {
	s.Helper()
	status, answer, err := newPublisher(s.server).post(s.app, path, []byte(body))
	if err != nil || status != http.StatusOK {
		s.Fatalf("%s %s: %d %s %v", path, body, status, answer, err)
	}
	return answer
}

// wish is the data of a subscribe event for a channel, signed if that needs it. more
// are further members as JSON, of which channel_data is signed too.
func (p *peer) wish(channel, member, more string) map[string]any {
	data := map[string]any{"channel": channel, "auth": ""}
	signed := p.id + ":" + strings.TrimPrefix(channel, "[meta]")
	if member != "" {
		data["channel_data"] = member
		signed += ":" + member
	}
	if c := strings.TrimPrefix(channel, "[meta]"); strings.HasPrefix(c, "private-") || strings.HasPrefix(c, "presence-") {
		data["auth"] = p.stage.app.Key + ":" + sign(p.stage.app.Secret, signed)
	}
	var others map[string]json.RawMessage
	unmarshal(p.stage, json.RawMessage("{"+more+"}"), &others)
	for name, value := range others {
		data[name] = value
	}
	return data
}

// join subscribes and takes the answer.
func (p *peer) join(channel string) envelope { p.stage.Helper(); return p.joinWith(channel, "", "") }

// joinAs subscribes to a presence channel as a member.
func (p *peer) joinAs(channel, member string) envelope {
	p.stage.Helper()
	return p.joinWith(channel, member, "")
}

func (p *peer) joinWith(channel, member, more string) envelope {
	p.stage.Helper()
	p.send(p.prefix+":subscribe", "", p.wish(channel, member, more))
	e := p.event(p.prefix + "_internal:subscription_succeeded")
	if e.Channel != channel {
		p.stage.Fatalf("answer for another channel: %s", e.text)
	}
	return e
}

func (p *peer) leave(channel string) {
	p.stage.Helper()
	p.send(p.prefix+":unsubscribe", "", map[string]any{"channel": channel})
}

// refused takes an error, and what a channel is told of one, if it is about a channel.
func (p *peer) refused(code int, channel string, words ...string) {
	p.stage.Helper()
	e := p.event(p.prefix + ":error")
	var data struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	unmarshal(p.stage, e.Data, &data)
	if data.Code != code {
		p.stage.Fatalf("%s: want code %d: %s", p.name, code, e.text)
	}
	for _, word := range words {
		if !strings.Contains(data.Message, word) {
			p.stage.Fatalf("%s: want %q: %s", p.name, word, e.text)
		}
	}
	if channel == "" {
		return
	}
	if e := p.event(p.prefix + ":subscription_error"); e.Channel != channel {
		p.stage.Fatalf("%s: error for another channel: %s", p.name, e.text)
	}
}

// quiet proves that nothing has come: the next message is one that is published now.
// What was published before reaches a connection before, whatever the channel.
func (p *peer) quiet(channel string) {
	p.stage.Helper()
	p.stage.tell(channel, "mark", "{}")
	if e := p.next(); e.Event != "mark" || e.Channel != channel {
		p.stage.Fatalf("%s: got\n\t%s\nwant nothing", p.name, e.text)
	}
}

func unmarshal(s *stage, raw json.RawMessage, into any) {
	s.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		s.Fatalf("%v: %s", err, raw)
	}
}
