package conformance

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// comebacks is how often a client loses its connection while messages flow.
const comebacks = 12

// wanderer is a client that loses its connection again and again, and goes on from
// where it was. It keeps the numbers of what it heard by channel.
type wanderer struct {
	*stage
	*peer
	nodes     []*server // which it visits in turn
	trips     int
	channels  []string
	positions map[string]position
	heard     map[string][]int
	// seen are the ids of messages. Where subscriptions are ahead of the resume, one may
	// come again, live from a node that was behind: clients drop it by its id.
	seen     map[string]bool
	resuming bool
	// early resumes before it subscribes.
	early bool
	// replayed counts what came after a resume.
	replayed int
}

// travel connects again, and returns when what was missed has come. Nothing that came
// live may be ahead of what was missed, unless subscriptions were ahead of the resume.
func (w *wanderer) travel() {
	w.stage.Helper()
	w.visit()
	w.peer.resumes = !w.early
	if w.early {
		w.resume(w.positions)
		w.answered()
	}
	for _, channel := range w.channels {
		w.send("sockudo:subscribe", "", w.wish(channel, "", ""))
	}
	answers := 1
	if w.early {
		answers = len(w.channels)
	} else {
		w.resume(w.positions)
	}
	w.resuming = !w.early
	defer func() { w.resuming = false }()
	for answers > 0 {
		w.hear()
		if e := w.last(); e.Event == "sockudo:resume_success" {
			var a resumed
			unmarshal(w.stage, []byte(e.inner(w.stage)), &a)
			for _, r := range a.Recovered {
				w.replayed += r.Replayed
			}
			answers--
		}
	}
}

// visit connects to the next node.
func (w *wanderer) visit() {
	w.stage.Helper()
	s := *w.stage
	s.server = w.nodes[w.trips%len(w.nodes)]
	w.trips++
	w.peer = s.peer()
}

func (w *wanderer) last() envelope {
	w.peer.mu.Lock()
	defer w.peer.mu.Unlock()
	return w.peer.heard[w.taken-1]
}

// hear takes the next message.
func (w *wanderer) hear() {
	w.stage.Helper()
	e := w.next()
	switch {
	case e.Event == "sockudo:resume_failed" || e.Event == "sockudo:error":
		w.stage.Fatal(e.text)
	case !strings.HasSuffix(e.Event, "n"):
		return
	}
	var data struct{ N int }
	text := []byte(e.Data)
	if text[0] == '"' {
		text = []byte(e.inner(w.stage))
	}
	unmarshal(w.stage, text, &data)
	if w.seen[e.MessageID] && w.resuming && len(w.nodes) > 1 {
		return
	}
	w.seen[e.MessageID] = true
	w.heard[e.Channel] = append(w.heard[e.Channel], data.N)
	if e.Serial == nil {
		w.stage.Fatalf("no serial: %s", e.text)
	}
	if p := e.at(); p.Serial > w.positions[e.Channel].Serial {
		w.positions[e.Channel] = p
	}
}

// A client that loses its connection at any moment, and one that the server keeps
// through reloads, get every message once, published over HTTP or by other clients.
// V1 clients beside them notice nothing.
//
// Checklist: protocol 143, 145, 148, 155
func TestV2ResumeInAStreamOfMessages(t *testing.T) {
	inEncodings(t, func(s *stage) {
		s.loads = true
		if s.dialect.name == "json" {
			s.Cleanup(func() { reload(s, 0) })
		}
		playStream(s, func(i int) {
			if i%4 == 1 && s.dialect.name == "json" {
				reload(s, i)
			}
		}, s.server)
	})
}

// playStream lets clients lose their connections and go on, on one node or on several,
// while messages are published on the first node and sent by a client on the last.
func playStream(s *stage, between func(int), nodes ...*server) {
	s.Helper()
	s.app = patientApp
	names := reloadNames{HTTP: s.own("orders"), Client: s.own("private-room")}
	clients := []*wanderer{s.wanderer(names, true, nodes...), s.wanderer(names, false, nodes...)}
	steady, old := s.wanderer(names, true, nodes...), s.old()
	old.join(names.HTTP)
	last := *s
	last.server = nodes[len(nodes)-1]
	sender := last.old()
	sender.join(names.Client)

	first := *nodes[0]
	first.app = s.app
	f := startFlow(s.T, &first, &socket{conn: sender.conn}, names)
	for i := range comebacks {
		for _, w := range clients {
			for range 7 * i {
				w.hear()
			}
			w.drop()
		}
		f.reach(s.T, f.last+10)
		between(i)
		for _, w := range clients {
			w.travel()
		}
	}
	checkStream(s, f.finish(s.T), append(clients, steady), old)
}

// checkStream holds what all have heard against what was sent.
func checkStream(s *stage, last int, clients []*wanderer, old *peer) {
	s.Helper()
	for _, w := range clients {
		for _, channel := range w.channels {
			for len(w.heard[channel]) < last {
				w.hear()
			}
			got := w.heard[channel]
			if !w.early { // what came live before the resume is ahead
				slices.Sort(got)
			}
			if f := faultsOf(got, last); f != (faults{}) {
				s.Errorf("%s, resuming early: %t, of %d: %+v\n%v", channel, w.early, last, f, got)
			}
		}
		if w.trips > 1 && w.replayed < comebacks {
			s.Errorf("%d messages were replayed: this shows nothing", w.replayed)
		}
	}
	for n := range last {
		old.expect(`{"event":"n","channel":"orders","data":"{\"n\":` + compact(n+1) + `}"}`)
	}
}

// wanderer is one that is connected, at the beginning of both channels.
func (s *stage) wanderer(names reloadNames, early bool, nodes ...*server) *wanderer {
	s.Helper()
	w := &wanderer{
		stage: s, nodes: nodes, channels: []string{names.HTTP, names.Client}, positions: map[string]position{}, heard: map[string][]int{}, seen: map[string]bool{}, early: early,
	}
	w.visit()
	for _, channel := range w.channels {
		w.positions[channel] = w.join(channel).at()
	}
	return w
}

// reload gives Caddy another configuration, which everybody goes on with.
func reload(s *stage, i int) {
	s.Helper()
	c := s.server.conf
	c.MaxEventName += i
	if status, answer := s.server.load(s.T, c); status != http.StatusOK {
		s.Fatalf("load: %d %s", status, answer)
	}
}

// What a client has missed is there after a reload too, and its connection stays.
//
// Checklist: protocol 145, 148
func TestV2ResumeAfterReload(t *testing.T) {
	s := inDialect(t, needV2(t), messagePack)
	orders := s.own("orders")
	p, stays := s.peer(), s.peer()
	start := p.join(orders).at()
	stays.join(orders)
	p.drop()
	s.tell(orders, "n", "1")
	reload(s, 1)
	t.Cleanup(func() { reload(s, 0) })
	s.tell(orders, "n", "2")
	p = s.peer()
	p.join(orders)
	p.resume(map[string]position{orders: start})
	for _, q := range []*peer{p, stays} {
		for _, want := range []string{"1", "2"} {
			if e := q.event("n"); e.inner(s) != want || e.StreamID != start.StreamID {
				t.Errorf("%s, want %s", e.text, want)
			}
		}
	}
	p.answered()
}
