package realtime

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// announceBatch is how many subjects of an app are looked at together.
	announceBatch = 500
	// announceAgain is the pause before something is told again that was not kept.
	announceAgain = time.Second
)

// announcer tells webhooks what has become of channels, where this node is the one
// to tell it. It has one goroutine, so what is told of an app is in order.
type announcer struct {
	hub  *Hub
	wake chan struct{}
	// flying counts what is being told and not yet known to be kept.
	flying atomic.Int64
	// closing says that this node tells nothing more.
	closing atomic.Bool
	// announcing keeps what is decided at one time in one place.
	announcing sync.Mutex

	mu   sync.Mutex
	apps map[*App]time.Time // when something is due
}

func newAnnouncer(h *Hub) *announcer {
	return &announcer{hub: h, wake: make(chan struct{}, 1), apps: map[*App]time.Time{}}
}

// wakeAt says that something of an app is due at a time.
func (n *announcer) wakeAt(at time.Time, a *App) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if before, ok := n.apps[a]; ok && !at.Before(before) {
		return
	}
	n.apps[a] = at
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// run tells what is due until ctx ends.
func (n *announcer) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := time.Now()
		timer.Reset(n.nextIn(now))
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		case <-timer.C:
		}
		for _, a := range n.takeApps(time.Now()) {
			n.hub.guard("webhook transitions", func() { n.announce(a, false) })
		}
	}
}

func (n *announcer) nextIn(now time.Time) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := time.Hour
	for _, at := range n.apps {
		next = min(next, at.Sub(now))
	}
	return max(next, 0)
}

// takeApps takes the apps where something is due.
func (n *announcer) takeApps(now time.Time) (apps []*App) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for a, at := range n.apps {
		if !at.After(now) {
			apps = append(apps, a)
			delete(n.apps, a)
		}
	}
	return apps
}

// telling is one event on its way, with what it says of which subject.
type telling struct {
	subject       subject
	value, before int
	at            int64 // see lastWord
	// doubted says that nobody knows what was told before.
	doubted bool
}

// announce tells what is due of an app, or everything that will be, however long
// that would have to wait.
func (n *announcer) announce(a *App, all bool) {
	n.announcing.Lock()
	defer n.announcing.Unlock()
	for {
		n.flying.Add(1) // before the question who owns what: see cluster.lookAtView
		subjects, next := a.transitions.take(time.Now(), announceBatch, all)
		tellings := n.decide(a, subjects, all)
		if len(tellings) == 0 {
			n.flying.Add(-1)
		} else {
			n.tell(a, tellings)
		}
		if len(subjects) < announceBatch {
			if !next.IsZero() {
				n.wakeAt(next, a)
			}
			return
		}
	}
}

// decide takes as told what this node is to tell. What has ended since it was taken waits
// for whoever might come back, unless everything is told.
func (n *announcer) decide(a *App, subjects []subject, all bool) (tellings []telling) {
	if len(subjects) == 0 {
		return nil
	}
	owners, t, wanted := n.hub.cluster.owners(), a.transitions, a.tracks()
	for _, s := range subjects {
		value := a.valueOf(s)
		switch {
		case !all && value == 0 && s.aspect != aspectCount && t.pends(s):
		case t.isTold(s, value):
		case !wanted.Has(s.event(value).Name):
			t.setTold(s, value) // nobody wants to hear it
		case !owners.own(a.id, s.channel):
			t.waitFor(s)
		default:
			if what, ok := t.fly(s, value); ok {
				tellings = append(tellings, what)
			}
		}
	}
	return tellings
}

// pends reports whether a subject is looked at later.
func (t *transitions) pends(s subject) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, later := t.due[s]
	return later
}

// tell hands events over. What is not kept is told again.
func (n *announcer) tell(a *App, tellings []telling) {
	settled := func(kept bool) {
		for _, what := range tellings {
			if word, sure := a.transitions.land(what, kept); sure {
				n.hub.cluster.markTold(a.id, what.subject, word)
			}
			a.transitions.compare(what.subject)
		}
		n.flying.Add(-1)
	}
	live, err := n.hub.Live()
	if err != nil {
		settled(false)
		return
	}
	defer live.Release()
	if live.Settings.Webhooks.Sink == nil { // nobody is told any more
		settled(true)
		return
	}
	now := time.Now().UnixMilli()
	events := make([]protocol.WebhookEvent, len(tellings))
	for i, what := range tellings {
		events[i] = what.subject.event(what.value)
		events[i].ID, events[i].TimeMS = n.hub.webhookID(), now
	}
	live.Settings.Webhooks.Sink.Tell(a.id, events, settled)
}

// flush tells everything that is to be told, without the wait for those who might
// come back, and waits until it is kept, bounded by ctx. Where other nodes are left
// they do that.
func (n *announcer) flush(ctx context.Context) {
	if n.hub.cluster.alone() {
		for _, a := range n.hub.liveApps() {
			n.hub.guard("webhook transitions", func() { n.announce(a, true) })
		}
	}
	n.closing.Store(true)
	for n.flying.Load() > 0 && wait.For(ctx, 5*time.Millisecond) { //nolint:revive // the condition is the work
	}
}
