package webhooks

import (
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// breakAfter is how many failures in a row make an endpoint count as down.
	breakAfter = 5
	// maxBreak is the longest pause of an endpoint that is down.
	maxBreak = 30 * time.Second
	// minStep is the least time between two turns of jobs that wait for one endpoint,
	// and maxStep the longest. The turns are within horizon.
	minStep, maxStep = 5 * time.Millisecond, time.Second
	horizon          = 30 * time.Second
	// maxStates and maxJobs bound what a Board remembers.
	maxStates, maxJobs = 10000, 100000
	// forgetAfter is when what is known of a job counts no more.
	forgetAfter = 10 * time.Minute
)

// Board is what the deliveries of a hub know of endpoints and of jobs that fail. A
// reload keeps it.
type Board struct {
	// Metrics count what all deliveries do.
	Metrics *Metrics

	mu     sync.Mutex
	states map[stateKey]*state
	jobs   map[string]jobTimes // by id, of those that have to run again
	recent []Attempt
	now    func() time.Time // for tests
}

type stateKey struct{ app, endpoint string }

// jobTimes are when a job first ran, and when it last did.
type jobTimes struct{ first, last time.Time }

// state is that of one endpoint.
type state struct {
	definition string
	place      string
	running    int
	// failures are those in a row. From breakAfter on the endpoint is down.
	failures int
	// closed is until when nothing is sent to an endpoint that is down.
	closed time.Time
	// gone says that the endpoint has answered 410.
	gone bool
	// next is the turn of the next job that has to wait, and latency that of answers,
	// smoothed.
	next    time.Time
	latency time.Duration
	used    time.Time

	delivered, failed, dead uint64
	reason                  string // of the last failure
	failedAt                time.Time
}

// NewBoard makes the board of a hub, with its metrics in the hub's registry.
func NewBoard(r *meter.Registry) *Board {
	b := &Board{states: map[stateKey]*state{}, jobs: map[string]jobTimes{}, now: time.Now}
	b.Metrics = newMetrics(r)
	return b
}

// stateLocked is the state of an endpoint. What a former definition has suffered
// counts no more.
func (b *Board) stateLocked(app string, e *endpoint) *state {
	key := stateKey{app, e.name}
	s := b.states[key]
	if s == nil {
		if len(b.states) >= maxStates {
			b.forgetStatesLocked()
		}
		s = &state{definition: e.definition, place: e.place()}
		b.states[key] = s
	}
	if s.definition != e.definition {
		s.definition, s.place = e.definition, e.place()
		s.failures, s.gone, s.closed, s.next, s.latency = 0, false, time.Time{}, time.Time{}, 0
	}
	return s
}

// forgetStatesLocked drops the half that is used least.
func (b *Board) forgetStatesLocked() {
	var oldest, newest time.Time
	for _, s := range b.states {
		if oldest.IsZero() || s.used.Before(oldest) {
			oldest = s.used
		}
		if s.used.After(newest) {
			newest = s.used
		}
	}
	middle := oldest.Add(newest.Sub(oldest) / 2)
	for key, s := range b.states {
		if s.running == 0 && !s.gone && !s.used.After(middle) {
			delete(b.states, key)
		}
	}
}

// isGone reports whether an endpoint wants no more events.
func (b *Board) isGone(app string, e *endpoint) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.states[stateKey{app, e.name}]
	return s != nil && s.gone && s.definition == e.definition
}

// admission is the answer to whether a request may be sent.
type admission struct {
	// granted requests have to be settled.
	granted bool
	gone    bool
	// down says that the endpoint has failed for a while, with the last reason.
	down   bool
	reason string
	// wait is the time until the next try of one that is not granted.
	wait time.Duration
}

// admit asks for one of the requests that may be under way to an endpoint. One that
// has failed gets one at a time, and one that is down one after each pause.
func (b *Board) admit(app string, e *endpoint, most int) admission {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, now := b.stateLocked(app, e), b.now()
	s.used = now
	if s.failures > 0 {
		most = 1
	}
	down := s.failures >= breakAfter
	switch {
	case s.gone:
		return admission{gone: true}
	case s.running < most && (!down || !now.Before(s.closed)):
		s.running++
		return admission{granted: true}
	}
	return admission{down: down, reason: s.reason, wait: s.turnLocked(now, most)}
}

// turnLocked spreads the jobs that wait, so that they do not come all at once, nor
// much more often than the endpoint takes them.
func (s *state) turnLocked(now time.Time, most int) time.Duration {
	from := now
	if s.closed.After(from) {
		from = s.closed
	}
	step := min(max(s.latency/time.Duration(most), minStep), maxStep)
	if s.next.Before(from) || s.next.After(from.Add(horizon)) {
		s.next = from
	}
	s.next = s.next.Add(step)
	return s.next.Sub(now)
}

// settle ends a request that was granted.
func (b *Board) settle(app string, e *endpoint, r result, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, now := b.stateLocked(app, e), b.now()
	s.running = max(s.running-1, 0)
	b.rememberLocked(app, e, r, took)
	switch r.verdict {
	case delivered:
		s.delivered++
		s.failures, s.closed = 0, time.Time{}
		s.latency = (3*s.latency + took) / 4
		return
	case refused:
		s.failures, s.closed = 0, time.Time{} // it is up, and answers
		s.gone = s.gone || r.gone
	case failed:
		if s.failures++; s.failures >= breakAfter {
			s.closed = now.Add(min(time.Second<<min(s.failures-breakAfter, 10), maxBreak))
		}
	case aborted:
		return
	}
	s.failed++
	s.reason, s.failedAt = r.reason, now
}

// buried counts a job of an endpoint that has failed for good.
func (b *Board) buried(app string, e *endpoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stateLocked(app, e).dead++
}

// began is when a job first ran, as far as this process knows: one that others have
// run has waited for as long as its attempts take at least.
func (b *Board) began(id string, attempt int, retry storage.WebhookRetry) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	t, known := b.jobs[id]
	if !known || now.Sub(t.last) > max(forgetAfter, 2*retry.MaxBackoff) {
		t.first = now.Add(-scheduled(attempt, retry))
	}
	t.last = now
	if !known && len(b.jobs) >= maxJobs {
		for other := range b.jobs {
			delete(b.jobs, other) // any: it begins anew, which costs an attempt or two
			break
		}
	}
	b.jobs[id] = t
	return t.first
}

// ended forgets a job.
func (b *Board) ended(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.jobs, id)
}
