package rest

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushes is a notifier that keeps what it is told.
type pushes struct {
	mu sync.Mutex
	// asked are the events that rules were asked about.
	asked, published []protocol.PushEvent
	pushed           []protocol.PushEvent
	// wants, rule and push take the place of what is done, unless they are nil.
	wants func(channel, event string) bool
	rule  func()
	push  func(ctx context.Context, e protocol.PushEvent) error
}

func (p *pushes) Wants(app, channel, event string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, protocol.PushEvent{Channel: channel, Name: event})
	return app == appID && p.wants != nil && p.wants(channel, event)
}

func (p *pushes) Published(_ *storage.App, e protocol.PushEvent) {
	p.mu.Lock()
	p.published = append(p.published, e)
	p.mu.Unlock()
	if p.rule != nil {
		p.rule()
	}
}

func (p *pushes) Push(ctx context.Context, _ *storage.App, e protocol.PushEvent) error {
	p.mu.Lock()
	p.pushed = append(p.pushed, e)
	p.mu.Unlock()
	if p.push != nil {
		return p.push(ctx, e)
	}
	return nil
}

// take is what was kept in a list, which is empty afterwards.
func (p *pushes) take(list *[]protocol.PushEvent) []protocol.PushEvent {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := *list
	*list = nil
	return taken
}

// shownPushes is a list without ids.
func shownPushes(list []protocol.PushEvent) string {
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s %s %s %s\n", e.Channel, e.Name, e.Data, e.Payload)
	}
	return b.String()
}

func (p *pushes) use(s *realtime.Settings) { s.Push = p }

func everything(string, string) bool { return true }

// connectV2 opens a V2 socket of the test app.
func (n *node) connectV2() *socket {
	n.t.Helper()
	terms, err := protocol.Negotiate("protocol=2")
	if err != nil {
		n.t.Fatal(err)
	}
	s := &socket{n: n}
	conn, e := n.hub.Connect(context.Background(), s, realtime.Handshake{Key: appKey, ClientIP: "127.0.0.1", Terms: terms})
	if e != nil {
		n.t.Fatal(e)
	}
	s.conn = conn
	n.t.Cleanup(func() { conn.Disconnect(true) })
	return s
}

// refusedError is an error of a notifier that says how to answer.
type refusedError struct {
	status int
	code   string
	after  time.Duration
}

func (r refusedError) Error() string                         { return "payload.title: is too long" }
func (r refusedError) Refusal() (int, string, time.Duration) { return r.status, r.code, r.after }

// Checklist: push 94
func TestExtrasPush(t *testing.T) {
	p := &pushes{}
	n := newNode(t, testApp(), withHistory, p.use)
	v1, v2 := n.connect().subscribe("orders"), n.connectV2()
	v2.conn.Receive([]byte(body("event", "sockudo:subscribe", "data", map[string]string{"channel": "orders"})))
	v2.wait("sockudo_internal:subscription_succeeded")
	const payload = `{"title":"Packed", "templateData":{"order":{"id":"\u0031"}}}`
	p.push = func(context.Context, protocol.PushEvent) error {
		// It is awaited before the event goes out, on any channel.
		if page := n.page("orders"); len(page.Items) != 0 || len(v1.events("packed")) != 0 {
			t.Error("the event came before its notification was accepted")
		}
		return nil
	}
	const extras = `{"push":` + payload + `,"headers":{"n":1}}`
	n.post("events", `{"name":"packed","channels":["orders","stock","orders"],"data":{"id":1},"extras":`+extras+`}`).is(t, 200, `{}`)
	want := fmt.Sprintf("orders packed %[1]s %[2]s\nstock packed %[1]s %[2]s\n", `"{\"id\":1}"`, payload)
	got := p.take(&p.pushed)
	if shownPushes(got) != want || got[0].ID != "" || got[1].ID != "" {
		t.Errorf("pushed\n%s", shownPushes(got))
	}
	if text := v1.wait("packed").text; text != `{"event":"packed","channel":"orders","data":"{\"id\":1}"}` {
		t.Errorf("V1 gets %s", text)
	}
	if text := v2.wait("packed").text; strings.Contains(text, "push") || strings.Contains(text, "Packed") || !strings.Contains(text, `"extras":{"headers":{"n":1}}`) {
		t.Errorf("V2 gets %s", text)
	}
	if page := n.get("channels/orders/history").body; strings.Contains(page, "push") || strings.Contains(page, "Packed") || !strings.Contains(page, "packed") {
		t.Errorf("history is %s", page)
	}

	p.push = nil
	n.post("batch_events", `{"batch":[{"name":"a","channel":"c","data":"","extras":{"push":{"title":"A"}}},{"name":"b","channel":"c","data":""},
		{"name":"d","channel":"c","data":"","extras":{"push":{"title":"B"},"push":{"title":"D"}}},{"name":"e","channel":"c","data":"","extras":{"push":{},"push":null}}]}`).is(t, 200, `{}`)
	if got := shownPushes(p.take(&p.pushed)); got != "c a \"\" {\"title\":\"A\"}\nc d \"\" {\"title\":\"D\"}\n" {
		t.Errorf("of a batch came\n%s", got)
	}
	// What a notifier gets it may keep: no later call changes it.
	for range 20 {
		n.post("events", `{"name":"z","channel":"c","data":"`+strings.Repeat("z", 300)+`"}`).is(t, 200, `{}`)
	}
	if shownPushes(got) != want {
		t.Errorf("it became %s", shownPushes(got))
	}
	if m := gather(t, n.hub); m["push_extras_ignored_total"] != 0 {
		t.Errorf("%v were ignored", m["push_extras_ignored_total"])
	}
}

// Without a notifier extras.push is taken out all the same, and counted.
func TestExtrasPushIgnored(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connectV2()
	s.conn.Receive([]byte(body("event", "sockudo:subscribe", "data", map[string]string{"channel": "c"})))
	s.wait("sockudo_internal:subscription_succeeded")
	n.post("events", `{"name":"e","channels":["c","d"],"data":"","extras":{"push":{"title":"T"}}}`).is(t, 200, `{}`)
	n.post("events", `{"name":"f","channel":"c","data":"","extras":{"push":null}}`).is(t, 200, `{}`)
	n.post("events", `{"name":"g","channel":"c","data":"","extras":{"push":"T"}}`).fails(t, 422, "invalid_input", "extras.push must be an object")
	if text := s.wait("e").text; strings.Contains(text, "extras") {
		t.Error(text)
	}
	if got := gather(t, n.hub)["push_extras_ignored_total"]; got != 1 {
		t.Errorf("%v events were counted", got)
	}
}

// An error of the notifier refuses the event on all its channels.
func TestExtrasPushRefused(t *testing.T) {
	p := &pushes{}
	n := newNode(t, testApp(), p.use)
	s := n.connect().subscribe("a").subscribe("b")
	post := func(err error) answer {
		p.push = func(_ context.Context, e protocol.PushEvent) error {
			if e.Channel == "b" {
				return err
			}
			return nil
		}
		return n.post("events", `{"name":"e","channels":["a","b","c"],"data":"","extras":{"push":{}}}`)
	}
	const text = "payload.title: is too long"
	post(refusedError{400, "invalid_input", 0}).fails(t, 400, "invalid_input", text)
	post(fmt.Errorf("on its way: %w", refusedError{503, "service_unavailable", 0})).fails(t, 503, "service_unavailable", text)
	busy := post(refusedError{429, "rate_limited", 1500 * time.Millisecond})
	busy.fails(t, 429, "rate_limited", text)
	if got := busy.header.Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After is %q", got)
	}
	for _, err := range []error{errBackend, refusedError{500, "internal_error", 0}, refusedError{200, "fine", 0}, refusedError{400, `bad"code`, 0}, refusedError{400, "", 0}, context.DeadlineExceeded} {
		got := post(err)
		got.fails(t, 500, "internal_error", "Internal server error")
		if strings.Contains(got.body, "title") || strings.Contains(got.body, "backend") {
			t.Errorf("%v is told as %s", err, got.body)
		}
	}
	if got := p.take(&p.pushed); len(got) != 2*9 {
		t.Errorf("%d notifications were asked for: %s", len(got), shownPushes(got))
	}
	if len(s.settle("a").settle("b").events("e")) != 0 {
		t.Errorf("delivered %v", s.texts())
	}

	// What is refused anyway notifies nobody.
	n.post("events", `{"channel":"a","data":"","extras":{"push":{}}}`).fails(t, 400, "invalid_input", "name")
	n.post("events", `{"name":"e","channels":[],"data":"","extras":{"push":{}}}`).fails(t, 400, "missing_channel_info", "")
	n.post("events", `{"name":"e","channel":"a","data":"","extras":{"push":{},"headers":{"sockudo_x":1}}}`).fails(t, 400, "invalid_input", "sockudo_")
	n.post("events", `{"name":"e","channels":["a","not good"],"data":"","extras":{"push":{}}}`).fails(t, 400, "invalid_input", "")
	if got := shownPushes(p.take(&p.pushed)); got != "a e \"\" {}\n" {
		t.Errorf("notified\n%s", got)
	}
}

// A call waits for a notifier for no longer than its client does.
func TestExtrasPushIsBounded(t *testing.T) {
	p := &pushes{}
	n := newNode(t, testApp(), p.use)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	p.push = func(ctx context.Context, _ protocol.PushEvent) error {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > runTimeout {
			t.Error("a notifier may take for ever")
		}
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	const text = `{"name":"e","channel":"c","data":"","extras":{"push":{}}}`
	r := httptest.NewRequest("POST", "/apps/app-id/events?"+signed("POST", "/apps/app-id/events", nil, text, appKey, appSecret, time.Now()), strings.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r.WithContext(ctx), "127.0.0.1")
	answer{w.Code, w.Header(), w.Body.String()}.fails(t, 500, "internal_error", "Internal server error")
}

// Matching events are told once for each of their channels, after they were published.
// Checklist: push 91
func TestPushRules(t *testing.T) {
	p := &pushes{wants: func(channel, event string) bool { return channel != "other" && event == "packed" }}
	drivers := memoryDrivers(t, testApp())
	adapter := &gate{Adapter: drivers.Adapter}
	drivers.Adapter = adapter
	n := startNode(t, "node-1", drivers, p.use)
	told := func(want string) {
		t.Helper()
		got := p.take(&p.published)
		if shownPushes(got) != want {
			t.Errorf("told\n%s", shownPushes(got))
		}
		for _, e := range got {
			if e.ID != "" {
				t.Errorf("an event without a key has the id %s", e.ID)
			}
		}
	}
	n.post("events", `{"name":"packed","channels":["orders","other","stock","orders"],"data":{"title":"T"}}`).is(t, 200, `{}`)
	told("orders packed \"{\\\"title\\\":\\\"T\\\"}\" \nstock packed \"{\\\"title\\\":\\\"T\\\"}\" \n")
	n.post("events", `{"name":"other","channel":"orders","data":"d"}`).is(t, 200, `{}`)
	told("")
	n.post("batch_events", `{"batch":[{"name":"packed","channel":"a","data":"1"},{"name":"other","channel":"a","data":"2"},{"name":"packed","channel":"b","data":"3"}]}`).is(t, 200, `{}`)
	told("a packed \"1\" \nb packed \"3\" \n")
	n.post("events", `{"name":"packed","channels":["not good","fine"],"data":"d"}`).fails(t, 400, "invalid_input", "")
	told("fine packed \"d\" \n")
	adapter.fail.Store(true)
	n.post("events", `{"name":"packed","channel":"orders","data":"d"}`).fails(t, 500, "internal_error", "")
	told("")
}

// Whatever happens to a notifier, the event is published.
// Checklist: push 93
func TestPushRulesFail(t *testing.T) {
	p := &pushes{}
	n := newNode(t, testApp(), p.use)
	s := n.connect().subscribe("c")
	p.wants = func(string, string) bool { panic("wants") }
	n.post("events", `{"name":"first","channel":"c","data":""}`).is(t, 200, `{}`)
	p.wants, p.rule = everything, func() { panic("rule") }
	n.post("events", `{"name":"second","channel":"c","data":"","message_id":"m"}`).is(t, 200, `{"channels":{"c":{"acknowledgement_id":"m"}}}`)
	n.post("batch_events", `{"batch":[{"name":"third","channel":"c","data":""},{"name":"fourth","channel":"c","data":""}]}`).is(t, 200, `{}`)
	for _, event := range []string{"first", "second", "third", "fourth"} {
		s.wait(event)
	}
	if got := p.take(&p.published); len(got) != 3 {
		t.Errorf("told\n%s", shownPushes(got))
	}
}

// Checklist: push 95
func TestPushRulesOfClients(t *testing.T) {
	p := &pushes{wants: everything}
	n := newNode(t, testApp(func(a *storage.App) { a.Features.ClientMessages = true }), p.use)
	sender, other := n.connect().subscribe("private-room"), n.connect().subscribe("private-room")
	sender.conn.Receive([]byte(`{"event":"client-x","channel":"private-room","data":{"title":"T","body":"B"},"extras":{"push":{"title":"T"}}}`))
	if text := other.wait("client-x").text; strings.Contains(text, "push") {
		t.Error(text)
	}
	v2 := n.connectV2()
	v2.conn.Receive([]byte(body("event", "sockudo:subscribe", "data", map[string]string{
		"channel": "private-room", "auth": protocol.SignChannel(appKey, appSecret, v2.conn.ID(), "private-room", ""),
	})))
	v2.wait("sockudo_internal:subscription_succeeded")
	v2.conn.Receive([]byte(`{"event":"client-y","channel":"private-room","data":{"title":"T","body":"B"},"extras":{"push":{"title":"T"}}}`))
	if text := other.wait("client-y").text; strings.Contains(text, "push") {
		t.Error(text)
	}
	// What the server says by itself is no event of a backend either.
	ada := n.connect().subscribe("presence-room", "ada")
	n.connect().subscribe("presence-room", "bob")
	ada.wait("pusher_internal:member_added")
	if asked, published, pushed := p.take(&p.asked), p.take(&p.published), p.take(&p.pushed); len(asked)+len(published)+len(pushed) != 0 {
		t.Errorf("asked about\n%stold\n%snotified\n%s", shownPushes(asked), shownPushes(published), shownPushes(pushed))
	}
	n.post("events", `{"name":"e","channel":"private-room","data":""}`).is(t, 200, `{}`)
	if len(p.take(&p.asked)) != 1 || len(p.take(&p.published)) != 1 {
		t.Error("an event of a backend does not come") // the rules were switched on
	}
}
