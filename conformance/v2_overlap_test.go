package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A channel that a client is subscribed to by its name and by patterns brings each
// event once, and goes on doing so while it joins and leaves some of them.
//
// Checklist: protocol 82, 145, 183
func TestV2OverlappingSubscriptionsLoseNothing(t *testing.T) {
	inEncodings(t, func(s *stage) {
		s.app = patientApp
		eu, pattern, stays := s.own("orders")+".eu", s.own("orders")+".*", "*"+s.own("rders")+".eu"
		serial := uint64(0)
		toggled(s, eu, []string{eu, pattern}, []string{stays}, func(e envelope) {
			switch {
			case e.Serial == nil:
			case e.Event != "n" && *e.Serial > serial:
				s.Fatalf("the position is %d before event %d has come", *e.Serial, serial+1)
			case e.Event == "n" && *e.Serial != serial+1:
				s.Fatalf("serial %d, want %d", *e.Serial, serial+1)
			case e.Event == "n":
				serial++
			}
		}, func() bool { return serial < toggledEvents })
	})
}

// A client that joins and leaves a pattern can always rebuild what it is sent, also
// where it is not told that it has another base than the server thinks.
//
// Checklist: protocol 183, 190
func TestV2DeltasOfPatternsBeginAgain(t *testing.T) {
	inEncodings(t, func(s *stage) {
		if s.dialect.name != "json" {
			return
		}
		s.app = patientApp
		eu, pattern := s.own("orders")+".eu", s.own("orders")+".*"
		full := s.peer()
		full.join(eu)
		bodies := map[uint64]string{}
		check := func(e envelope) {
			if e.Event != "n" {
				return
			}
			for *e.Serial > uint64(len(bodies)) {
				one := full.event("n")
				bodies[*one.Serial] = one.text
			}
			if bodies[*e.Serial] != e.text {
				s.Fatalf("rebuilt %s\nfull    %s", e.text, bodies[*e.Serial])
			}
		}
		toggled(s, eu, []string{pattern}, nil, check, func() bool { return false })
	})
}

// toggledEvents are published while subscriptions are toggled.
const toggledEvents = 1500

// toggled publishes on a channel while a client joins and leaves what it is toggled
// with, and looks at every event, rebuilt. It ends when there is no more.
func toggled(s *stage, channel string, toggles, stays []string, look func(envelope), more func() bool) {
	s.Helper()
	r, wish := s.rebuilder(), ""
	if s.dialect.name == "json" {
		wish = `"delta":"xdelta3"`
	}
	hear := func(until string) {
		s.Helper()
		for {
			body, _, _ := r.message()
			e, err := decodeV2([]byte(body))
			if err != nil {
				s.Fatal(err)
			}
			if look(e); e.Event == until {
				return
			}
		}
	}
	join := func(names []string) {
		for _, name := range names {
			r.send("sockudo:subscribe", "", r.wish(name, "", wish))
		}
	}
	join(stays)
	join(toggles)
	r.send("sockudo:ping", "", nil)
	hear("sockudo:pong")
	published := make(chan error, 1)
	go func() { published <- flood(s, channel) }()
	for done := false; !done; {
		for range 8 {
			for _, name := range toggles {
				r.leave(name)
			}
			join(toggles)
		}
		r.send("sockudo:ping", "", nil)
		hear("sockudo:pong")
		select {
		case err := <-published:
			if done = true; err != nil {
				s.Fatal(err)
			}
		default:
		}
	}
	for more() {
		hear("n")
	}
}

// flood publishes events in batches.
func flood(s *stage, channel string) error {
	p, n := newPublisher(s.server), 0
	for n < toggledEvents {
		var events []string
		for range 10 {
			n++
			events = append(events, `{"name":"n","channel":"`+channel+`","data":`+compact(tick("BTC", n))+`}`)
		}
		status, answer, err := p.post(s.app, "/batch_events", []byte(`{"batch":[`+strings.Join(events, ",")+`]}`))
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("event %d: %d %s %w", n, status, answer, err)
		}
	}
	return nil
}
