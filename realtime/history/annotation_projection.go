package history

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// projection is what the annotations of a channel sum up to, as far as its log was
// read. It always equals what reading the whole log anew would give.
type projection struct {
	stream string
	age    time.Duration
	// first is the serial of the oldest entry that counts, and applied of the newest.
	first, applied uint64
	// oldest is when the entry first was added, or earlier, in Unix milliseconds.
	oldest   int64
	messages map[string]*annotatedMessage
	cost     int
	// rebuilds counts how often the whole log had to be read.
	rebuilds int
}

// annotatedMessage is one message of a projection.
type annotatedMessage struct {
	// first and last are the serials of the oldest and the newest entry about it.
	first, last uint64
	// stale says that entries have gone that were counted: what stays is read again when
	// it is asked for.
	stale   bool
	tallies map[string]*tally
	// early are annotations that were taken back before they came.
	early map[uint64]bool
}

const (
	messageCost = 256
	// readAtOnce bounds how many entries are held at a time.
	readAtOnce = 256
	// staleAtMost bounds how many messages are read one by one; of more, the whole log is
	// read again.
	staleAtMost = 16
)

func newProjection(stream string, age time.Duration, first uint64) projection {
	return projection{stream: stream, age: age, first: first, applied: first - 1, messages: map[string]*annotatedMessage{}}
}

// follow brings the projection to where the log is now.
func (p *projection) follow(ctx context.Context, a Annotations) error {
	head, err := a.Store.Head(ctx, a.Key())
	if errors.Is(err, storage.ErrNotFound) {
		*p = newProjection("", a.Age, 1)
		return nil
	}
	if err != nil {
		return fmt.Errorf("annotations of %q: %w", a.Channel, err)
	}
	// With another age, entries may count again that did not. A log that is shorter than
	// it was has lost something.
	if head.Stream != p.stream || p.age != a.Age || head.Serial < p.applied {
		rebuilds := p.rebuilds
		*p = newProjection(head.Stream, a.Age, head.First)
		p.rebuilds = rebuilds + 1
	}
	if err := p.expire(ctx, a, head); err != nil {
		return err
	}
	return p.read(ctx, a, head.Serial)
}

// expire leaves out what was removed, and what has become too old.
func (p *projection) expire(ctx context.Context, a Annotations, head storage.LogHead) error {
	first := head.First
	if q := a.query(); q.FromAt > p.oldest {
		q.Limit, q.Bare = 1, true
		shown, err := a.Store.Read(ctx, a.Key(), p.stream, q)
		switch {
		case err != nil:
			return fmt.Errorf("annotations of %q: %w", a.Channel, err)
		case len(shown) == 0:
			first = head.Serial + 1
		default:
			first = max(first, shown[0].Serial)
			p.oldest = shown[0].At
		}
	}
	p.drop(first)
	return nil
}

// drop leaves out the entries before first.
func (p *projection) drop(first uint64) {
	if first <= p.first {
		return
	}
	for serial, m := range p.messages {
		switch {
		case m.last < first:
			p.cost -= m.size(serial)
			delete(p.messages, serial)
		case m.first < first:
			p.cost -= m.size(serial) - messageCost - len(serial)
			m.stale, m.tallies, m.early = true, nil, nil
		}
	}
	p.first, p.applied = first, max(p.applied, first-1)
}

// size is about what the message takes in memory, in bytes.
func (m *annotatedMessage) size(serial string) int {
	n := messageCost + len(serial)
	for name, t := range m.tallies {
		n += len(name) + t.cost
	}
	return n
}

// read counts what is new, up to the serial to.
func (p *projection) read(ctx context.Context, a Annotations, to uint64) error {
	for p.applied < to {
		q := storage.LogQuery{From: p.applied + 1, To: to, Limit: readAtOnce}
		entries, err := a.Store.Read(ctx, a.Key(), p.stream, q)
		if err != nil {
			return fmt.Errorf("annotations of %q: %w", a.Channel, err)
		}
		if len(entries) == 0 {
			// All of it went meanwhile, or another log has begun.
			p.drop(to + 1)
			return nil
		}
		// There are no gaps but where entries were removed, with all before them.
		if entries[0].Serial > p.applied+1 {
			p.drop(entries[0].Serial)
		}
		for i := range entries {
			p.apply(&entries[i])
		}
	}
	return nil
}

// apply counts the next entry of the log. One of a form that is not known counts
// nothing: a later version may have written it.
func (p *projection) apply(e *storage.LogEntry) {
	if e.Serial <= p.applied {
		return
	}
	p.applied = e.Serial
	m := p.messages[e.Subject]
	if m == nil {
		m = &annotatedMessage{first: e.Serial, tallies: map[string]*tally{}}
		p.messages[e.Subject] = m
		p.cost += messageCost + len(e.Subject)
	}
	m.last = e.Serial
	if !m.stale {
		p.cost += m.apply(p.stream, e, func(of uint64) bool { return of >= p.first })
	}
}

// apply counts an entry about the message, and reports what it takes in memory. What
// does not count any more cannot be taken away once more.
func (m *annotatedMessage) apply(stream string, e *storage.LogEntry, counts func(uint64) bool) (cost int) {
	one, err := annotationOf(e)
	if err != nil {
		return 0
	}
	kind, err := protocol.ParseAnnotationType(one.Type)
	if err != nil {
		return 0
	}
	t := m.tallies[one.Type]
	if t == nil {
		t = newTally(kind)
		m.tallies[one.Type] = t
		cost = len(one.Type) + t.cost
	}
	cost -= t.cost
	switch one.Action {
	case protocol.AnnotationCreate:
		if !m.early[e.Serial] {
			t.create(&one)
		}
	case protocol.AnnotationDelete:
		switch of := deleted(stream, e); {
		case of > e.Serial:
			if m.early == nil {
				m.early = map[uint64]bool{}
			}
			m.early[of] = true
		case of > 0 && counts(of):
			t.remove(&one)
		}
	}
	return cost + t.cost
}

// refresh reads a message again of which entries have gone.
func (p *projection) refresh(ctx context.Context, a Annotations, serial string) error {
	m := p.messages[serial]
	if m == nil || !m.stale {
		return nil
	}
	again := &annotatedMessage{tallies: map[string]*tally{}}
	cost := 0
	// Entries may go while this reads, so it must have seen what is taken away.
	seen := map[uint64]bool{}
	counts := func(of uint64) bool { return seen[of] }
	q := storage.LogQuery{From: p.first, To: p.applied, Subject: serial, Limit: readAtOnce}
	for {
		entries, err := a.Store.Read(ctx, a.Key(), p.stream, q)
		if err != nil {
			return fmt.Errorf("annotations of %q: %w", a.Channel, err)
		}
		for i := range entries {
			if again.first == 0 {
				again.first = entries[i].Serial
			}
			again.last = entries[i].Serial
			seen[again.last] = true
			cost += again.apply(p.stream, &entries[i], counts)
		}
		if len(entries) < q.Limit {
			break
		}
		q.From = again.last + 1
	}
	if again.first == 0 {
		p.cost -= m.size(serial)
		delete(p.messages, serial)
		return nil
	}
	p.messages[serial] = again
	p.cost += cost
	return nil
}

// refreshAll reads what is stale, and the whole log if that is much.
func (p *projection) refreshAll(ctx context.Context, a Annotations) error {
	stale := p.stale()
	if len(stale) > staleAtMost {
		*p = newProjection("", a.Age, 1)
		if err := p.follow(ctx, a); err != nil {
			return err
		}
		stale = p.stale() // what went while it was read
	}
	for _, serial := range stale {
		if err := p.refresh(ctx, a, serial); err != nil {
			return err
		}
	}
	return nil
}

func (p *projection) stale() (stale []string) {
	for serial, m := range p.messages {
		if m.stale {
			stale = append(stale, serial)
		}
	}
	return stale
}

// Summary is what the annotations of one type on one message sum up to. That of
// annotations which were all taken back is there too: clients that have missed it must
// hear of it.
type Summary struct {
	Message, Type string
	// Serial is that of the newest annotation of the channel which it takes into account,
	// empty for none. Of two summaries, the one with the greater serial is the newer.
	Serial string
	// JSON is the value below the type in a frame.
	JSON []byte
	// Clipped says that not all clients are named, because a frame has no room for them.
	Clipped bool
}

// summary makes the summary of a type on a message, which is not stale.
func (p *projection) summary(a Annotations, serial, annotationType string, t *tally) Summary {
	s := Summary{Message: serial, Type: annotationType}
	if p.applied > 0 {
		s.Serial = annotationSerial(p.applied)
	}
	room := int(^uint(0) >> 1)
	if a.MaxFrame > 0 {
		room = a.MaxFrame - protocol.SummaryOverhead(a.Channel, serial, annotationType)
	}
	p.cost -= t.cost
	s.JSON, s.Clipped = t.json(room), t.clipped
	p.cost += t.cost
	return s
}

// one is the summary of a type on a message, whether there are annotations or not.
func (p *projection) one(ctx context.Context, a Annotations, serial, annotationType string) (Summary, error) {
	kind, err := protocol.ParseAnnotationType(annotationType)
	if err != nil {
		return Summary{}, err
	}
	if err := p.refresh(ctx, a, serial); err != nil {
		return Summary{}, err
	}
	if m := p.messages[serial]; m != nil && m.tallies[annotationType] != nil {
		return p.summary(a, serial, annotationType, m.tallies[annotationType]), nil
	}
	nothing := newTally(kind)
	s := p.summary(a, serial, annotationType, nothing)
	p.cost -= nothing.cost - tallyCost
	return s, nil
}

// all are the summaries of the channel, in the order of messages and types.
func (p *projection) all(ctx context.Context, a Annotations) ([]Summary, error) {
	if err := p.refreshAll(ctx, a); err != nil {
		return nil, err
	}
	var list []Summary
	for _, serial := range slices.Sorted(maps.Keys(p.messages)) {
		m := p.messages[serial]
		for _, annotationType := range slices.Sorted(maps.Keys(m.tallies)) {
			list = append(list, p.summary(a, serial, annotationType, m.tallies[annotationType]))
		}
	}
	return list, nil
}
