package realtime

import (
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/filter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// tuning is what a V2 subscription asks for beyond the plain events of its channel.
// Nil is a subscription that asks for nothing.
type tuning struct {
	// filter lets events pass, nil for all of them.
	filter *filter.Predicate
	// delta is how events are compressed, nil for not at all. full says that the
	// subscription has asked for that.
	delta *compression
	full  bool
	// whole sends appends with all data rather than what they have added.
	whole bool
	// annotations sends every annotation, and not only what they come to.
	annotations bool
}

// tuningOf reads the filter and the compression that a subscription asks for.
func (c *Conn) tuningOf(req protocol.Subscribe) (*tuning, *protocol.Error) {
	f := c.hub.settings().Filters
	predicate, err := filter.Compile(req.Filter, req.TagsFilter, filter.Limits{MaxEvents: f.MaxEvents, MaxEventLength: f.MaxEventLength})
	if err != nil {
		return nil, protocol.BadFormat(err.Error())
	}
	t := &tuning{filter: c.app.filters.share(predicate), whole: c.v2.whole, annotations: req.Annotations}
	var e *protocol.Error
	if t.delta, e = c.compressionOf(req.Delta); e != nil {
		return nil, e
	}
	t.full = req.Delta != nil && t.delta == nil
	if *t == (tuning{}) {
		return nil, nil //nolint:nilnil // a subscription that asks for nothing
	}
	return t, nil
}

// accepts reports whether the subscription lets a message pass. What the server says
// by itself passes always.
func (t *tuning) accepts(m *message, s *Settings) bool {
	if t == nil || t.filter == nil || !m.event {
		return true
	}
	return t.filter.Match(m.glance.of(m), filter.Switches{Events: s.Filters.Events, Tags: s.Filters.Tags})
}

// compresses reports whether events may be sent as deltas.
func (t *tuning) compresses() bool { return t != nil && t.delta != nil }

// glance is a message as filters see it, made when the first one looks.
type glance struct {
	once    sync.Once
	message filter.Message
}

func (v *glance) of(m *message) *filter.Message {
	v.once.Do(func() {
		o := &m.out
		v.message = filter.Message{
			Event: o.Event, Channel: o.Channel, Data: o.Data, Name: o.Name, UserID: o.UserID, Tags: m.tags,
			MessageID: o.MessageID, StreamID: o.StreamID, Serial: o.Serial,
		}
		if o.Extras != nil {
			v.message.Headers = o.Extras.Headers
		}
		if v.message.Action = m.action; m.change {
			v.message.Event = o.Name
		}
	})
	return &v.message
}

// maxFilters bounds the predicates of one app that are shared. More are compiled for
// each subscription.
const maxFilters = 4096

// filters are predicates that many subscriptions of an app have in common, so that a
// message is looked at once for all of them.
type filters struct {
	mu    sync.Mutex
	known map[string]*filter.Predicate
}

func (f *filters) share(p *filter.Predicate) *filter.Predicate {
	if p == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if known := f.known[p.Key()]; known != nil {
		return known
	}
	if f.known == nil || len(f.known) >= maxFilters {
		f.known = map[string]*filter.Predicate{}
	}
	f.known[p.Key()] = p
	return p
}

// outcomes are what predicates said of the messages of one round. Only the worker
// uses them.
type outcomes struct {
	of map[outcome]bool
}

type outcome struct {
	filter  *filter.Predicate
	message *message
}

func (o *outcomes) clear() { clear(o.of) }

// accepts reports whether t lets a message pass, asking each predicate once.
func (w *worker) accepts(t target, m *message) bool {
	if t.tune.filter == nil || !m.event {
		return true
	}
	key := outcome{t.tune.filter, m}
	passes, known := w.outcomes.of[key]
	if !known {
		if w.outcomes.of == nil {
			w.outcomes.of = map[outcome]bool{}
		}
		passes = t.tune.accepts(m, w.hub.settings())
		w.outcomes.of[key] = passes
	}
	return passes
}
