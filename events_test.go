package sockudo

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

func init() { caddy.RegisterModule(new(eventNote)) }

// eventNote is a handler of events that writes them down. Its configuration gives it a
// name, and one that was cleaned up must not be called any more.
type eventNote struct {
	Name string `json:"name,omitempty"`

	ended bool
}

// notes are what all of them have heard.
var notes struct {
	sync.Mutex
	lines []string
	late  []string
	hold  chan struct{} // if it is not nil, handlers wait for it
}

func (*eventNote) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.sockudo_note", New: func() caddy.Module { return new(eventNote) }}
}

func (n *eventNote) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	d.Args(&n.Name)
	return nil
}

func (n *eventNote) Handle(_ context.Context, e caddy.Event) error {
	notes.Lock()
	hold := notes.hold
	notes.Unlock()
	if hold != nil {
		<-hold
	}
	notes.Lock()
	defer notes.Unlock()
	line := fmt.Sprintf("%s %s %v %v %v", n.Name, e.Name(), e.Data["channel"], e.Data["event"], e.Data["data"])
	notes.lines = append(notes.lines, strings.ReplaceAll(line, " <nil>", ""))
	if n.ended {
		notes.late = append(notes.late, line)
	}
	return nil
}

func (n *eventNote) Cleanup() error {
	notes.Lock()
	defer notes.Unlock()
	n.ended = true
	return nil
}

// noted waits for a line, and takes all up to it.
func noted(t *testing.T, last string) []string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; {
		notes.Lock()
		for i, line := range notes.lines {
			if strings.Contains(line, last) {
				found := notes.lines[:i+1]
				notes.lines = notes.lines[i+1:]
				notes.Unlock()
				return found
			}
		}
		lines := strings.Join(notes.lines, "\n")
		notes.Unlock()
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s; there are\n%s", last, lines)
		}
		wait.For(t.Context(), time.Millisecond)
	}
}

func eventSite(port string) string {
	return site(port, "sockudo {\nrate_limiter {\nenabled off\n}\n"+appBlock+"}\nsockudo_publish /publish {\nchannel room\nevent e\ndata {query.n}\n}\nrespond /publish ok")
}

// on subscribes a note to events.
func on(name string, events ...string) string {
	text := "events {\n"
	for _, e := range events {
		text += "on " + e + " sockudo_note " + name + "\n"
	}
	return text + "}"
}

// What is subscribed to is heard, in order, and nothing else is; nobody listens when
// nobody subscribes.
func TestEvents(t *testing.T) {
	s, port := newServer(t), freePort(t)
	notes.lines, notes.late, notes.hold = nil, nil, nil
	s.mustLoad(on("a", "sockudo.connected", "sockudo.channel_occupied", "sockudo.published", "sockudo.channel_vacated", "sockudo.disconnected"), eventSite(port))
	k := listen(t, port, "room")
	request(t, "GET", "http://127.0.0.1:"+port+"/publish?n=1", nil)
	_ = k.Close()
	got := noted(t, "disconnected")
	want := "a sockudo.connected\na sockudo.channel_occupied room\na sockudo.published room e \"1\"\na sockudo.channel_vacated room\na sockudo.disconnected"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	s.mustLoad("", eventSite(port))
	h := findHub(defaultHub)
	if h.events.tap != nil || h.events.current != nil {
		t.Error("nobody subscribes, and the hub is tapped all the same")
	}
	// Modules that subscribe by themselves name what they want.
	s.mustLoad("", strings.Replace(eventSite(port), "sockudo {", "sockudo {\nevents sockudo.published", 1))
	if h.events.tap == nil || len(h.events.current.kinds) != 1 {
		t.Error("the hub's own word is not heard")
	}
}

// Reloads lose no event, repeat none, and use no events app of a configuration that is
// gone.
func TestEventsReload(t *testing.T) {
	s, port := newServer(t), freePort(t)
	notes.lines, notes.late, notes.hold = nil, nil, nil
	s.mustLoad(on("0", "sockudo.client_event"), clientSite(port))
	k := listenPrivate(t, port)
	const reloads, each = 8, 25
	var sender sync.WaitGroup
	sender.Go(func() {
		for n := range reloads * each {
			k.send(fmt.Sprintf(`{"event":"client-n","channel":"private-room","data":"%d."}`, n))
			wait.For(t.Context(), time.Millisecond)
		}
	})
	for i := range reloads {
		s.mustLoad(on(fmt.Sprint(i+1), "sockudo.client_event", "sockudo.disconnected"), clientSite(port))
	}
	sender.Wait()
	got := noted(t, fmt.Sprintf("%d.", reloads*each-1))
	for n, line := range got {
		if !strings.Contains(line, fmt.Sprintf(`"%d."`, n)) {
			t.Fatalf("event %d is %s", n, line)
		}
	}
	if len(got) != reloads*each {
		t.Errorf("%d events", len(got))
	}
	notes.Lock()
	defer notes.Unlock()
	if len(notes.late) > 0 {
		t.Errorf("after the end of their configuration: %q", notes.late)
	}
}

// clientSite is a site whose clients may send events.
func clientSite(port string) string {
	return strings.Replace(eventSite(port), "secret ", "enable_client_messages on\nsecret ", 1)
}

func listenPrivate(t *testing.T, port string) *socket {
	t.Helper()
	t.Setenv(secretVariable, "s3cr3t-canary")
	k := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	a := runJSON[SocketAuth](t, signCommand(), "", "--key", "demo-key", "--channel", "private-room", "--socket", k.id)
	k.send(`{"event":"pusher:subscribe","data":{"channel":"private-room","auth":"` + a.Auth + `"}}`)
	k.expect("subscription_succeeded")
	return k
}

// A handler that hangs holds up neither clients nor a reload, and what is missed is said.
func TestEventsSlowHandler(t *testing.T) {
	s, port := newServer(t), freePort(t)
	hold := make(chan struct{})
	notes.lines, notes.late, notes.hold = nil, nil, hold
	s.mustLoad(on("slow", "sockudo.published"), eventSite(port))
	k := listen(t, port, "room")
	for n := range 3 {
		request(t, "GET", fmt.Sprintf("http://127.0.0.1:%s/publish?n=%d", port, n), nil)
		k.expect(fmt.Sprintf(`"data":"%d"`, n))
	}
	s.mustLoad("", eventSite(port))
	contains(t, s.logged(), "a handler of events is slow")
	request(t, "GET", "http://127.0.0.1:"+port+"/publish?n=last", nil)
	k.expect("last")
	close(hold)
	notes.Lock()
	notes.hold = nil
	notes.Unlock()
}

// A configuration that waits for what never comes is refused.
func TestEventsRefusals(t *testing.T) {
	s, port := newServer(t), freePort(t)
	for want, global := range map[string]string{
		`"sockudo.chanel_vacated" is no event of sockudo (did you mean sockudo.channel_vacated?); there are sockudo.connected`: on("x", "sockudo.chanel_vacated"),
		`"Sockudo.Connected" is no event of sockudo`: on("x", "Sockudo.Connected"),
		`"sockudo_connected" is no event of sockudo`: on("x", "sockudo_connected"),
	} {
		if err := s.load(global, eventSite(port)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	err := s.load("", strings.Replace(eventSite(port), "sockudo {", "sockudo {\nevents connected", 1))
	if err == nil || !strings.Contains(err.Error(), `events: "connected" is no event of sockudo`) {
		t.Error(err)
	}
	s.mustLoad(on("x", "*"), eventSite(port))
	if e := findHub(defaultHub).events.current; e == nil || len(e.kinds) < 10 {
		t.Error("a subscription to everything does not hear us")
	}
}
