package relay

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// askBatch is how many topics a link is asked for at once.
const askBatch = 1000

// topics are those that this node wants, and what the link knows of them. One
// goroutine of each session asks the link.
type topics struct {
	// always are subscribed to with every link.
	always []protocol.Topic
	linger time.Duration

	mu     sync.Mutex
	up     bool
	closed bool
	all    map[protocol.Topic]*topic
	// asked are topics that the link is to be asked for.
	asked []protocol.Topic
	// idle are topics that nobody wants any more, in the order in which that began.
	idle []idleTopic
	wake chan struct{}
}

type topic struct {
	wanted bool
	// active says that the link brings what is published on the topic.
	active bool
	// since is when nobody wanted the topic any more.
	since time.Time
	// ready is closed when the topic is active or the link is lost. Nil unless the
	// link is to be asked.
	ready chan struct{}
}

type idleTopic struct {
	topic protocol.Topic
	since time.Time
}

func newTopics(linger time.Duration, always ...protocol.Topic) *topics {
	return &topics{always: always, linger: linger, all: map[protocol.Topic]*topic{}, wake: make(chan struct{}, 1)}
}

// want asks for topics and waits until they are active, or the link is lost.
func (t *topics) want(ctx context.Context, list []protocol.Topic) error {
	for _, ready := range t.ask(list) {
		select {
		case <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return storage.ErrClosed
	}
	return nil
}

// ask notes what is wanted, and returns what to wait for.
func (t *topics) ask(list []protocol.Topic) (wait []chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	for _, name := range list {
		if slices.Contains(t.always, name) {
			continue
		}
		one := t.all[name]
		if one == nil {
			one = new(topic)
			t.all[name] = one
		}
		one.wanted = true
		switch {
		case one.active || !t.up:
			continue
		case one.ready == nil:
			one.ready = make(chan struct{})
			t.asked = append(t.asked, name)
		}
		wait = append(wait, one.ready)
	}
	if len(wait) > 0 {
		t.nudge()
	}
	return wait
}

// unwant lets go of topics, some time later: a channel that is left is often
// joined again soon.
func (t *topics) unwant(list []protocol.Topic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for _, name := range list {
		one := t.all[name]
		if one == nil || !one.wanted {
			continue
		}
		if !t.up {
			t.forgetLocked(name, one)
			continue
		}
		one.wanted, one.since = false, now
		t.idle = append(t.idle, idleTopic{name, now})
		if len(t.idle) == 1 {
			t.nudge()
		}
	}
}

// forgetLocked forgets a topic. Who waits for it was not the last to speak.
func (t *topics) forgetLocked(name protocol.Topic, one *topic) {
	delete(t.all, name)
	one.readyLocked()
}

// readyLocked ends the wait for a topic.
func (t *topic) readyLocked() {
	if t.ready != nil {
		close(t.ready)
		t.ready = nil
	}
}

func (t *topics) nudge() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// begin asks a new link for everything that is wanted, and what is wanted while it
// does so. From then on want waits for the link.
func (t *topics) begin(ctx context.Context, subscribe func(context.Context, []protocol.Topic) error) error {
	if err := subscribe(ctx, t.always); err != nil {
		return err
	}
	for {
		t.mu.Lock()
		var rest []protocol.Topic
		for name, one := range t.all {
			if !one.active {
				rest = append(rest, name)
			}
		}
		t.up = len(rest) == 0
		t.mu.Unlock()
		if len(rest) == 0 {
			return nil
		}
		for part := range slices.Chunk(rest, askBatch) {
			if err := subscribe(ctx, part); err != nil {
				return err
			}
		}
		t.activate(rest)
	}
}

// activate notes that the link brings what is published on topics. A topic that
// nobody wants any more lingers like any other.
func (t *topics) activate(list []protocol.Topic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range list {
		one := t.all[name]
		if one == nil { // not wanted any more since begin has looked
			one = &topic{since: time.Now()}
			t.all[name] = one
			t.idle = append(t.idle, idleTopic{name, one.since})
		}
		one.active = true
		one.readyLocked()
	}
}

// due are the topics to ask the link for, those to end, and when the next ones are
// to end; zero if none.
func (t *topics) due(now time.Time) (ask, end []protocol.Topic, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	ask, t.asked = t.asked, nil
	n := 0
	for ; n < len(t.idle); n++ {
		i := t.idle[n]
		one := t.all[i.topic]
		if one == nil || one.wanted || !one.since.Equal(i.since) {
			continue // wanted again since
		}
		if now.Sub(i.since) < t.linger {
			next = i.since.Add(t.linger)
			break
		}
		t.forgetLocked(i.topic, one)
		if one.active {
			end = append(end, i.topic)
		}
	}
	t.idle = slices.Delete(t.idle, 0, n)
	return ask, end, next
}

// end says that there is no link. Nobody waits any longer, and what nobody wants
// is forgotten.
func (t *topics) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.up, t.asked, t.idle = false, nil, nil
	for name, one := range t.all {
		one.active = false
		one.readyLocked()
		if !one.wanted {
			delete(t.all, name)
		}
	}
}

// close is end for ever.
func (t *topics) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.end()
}

func (t *topics) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all) + len(t.always)
}
