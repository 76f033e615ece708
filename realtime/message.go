package realtime

import (
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// message is on its way to the subscribers of a channel. It is written once in each
// format that any of them has, and shared by all.
type message struct {
	out protocol.Outbound
	// event says that somebody has published it: it is counted, and filters decide
	// about it. What the server says by itself reaches everybody.
	event bool
	// client says that a client has published it.
	client bool
	// full says that it is never sent as a delta.
	full bool
	// v2 says that V1 clients never see it.
	v2 bool
	// change says that it changes a message that is there already, and action what has
	// become of that, empty for one that cannot be changed.
	change bool
	action string
	// whole is an append with all data rather than what it has added, nil for others.
	whole *message
	// except is the socket that does not get it, or "".
	except string
	// at is when it was delivered here, by clock, and order its place among all events
	// that this node delivers, zero for one that was delivered before.
	at    int64
	order uint64

	// tags are those that filters see; clients see those of out.
	tags protocol.Tags

	deltas atomic.Pointer[compressed]
	frames [protocol.Formats]atomic.Pointer[protocol.Frame]
	glance glance
	flight flight
}

// reply makes a message of what the server says by itself.
func reply(o *protocol.Outbound) *message {
	m := &message{out: *o}
	m.out.MessageID = protocol.NewMessageID()
	return m
}

// replyV2 is a reply that V1 clients do not see.
func replyV2(o *protocol.Outbound) *message {
	m := reply(o)
	m.v2 = true
	return m
}

// eventOf makes a message of a published event.
func eventOf(e *protocol.Envelope) *message {
	m := &message{event: true, client: e.Client, full: e.Full, except: e.Except, tags: e.Tags}
	m.out = protocol.Outbound{
		Event: e.Event, Channel: e.Channel, Data: e.Data, UserID: e.UserID, Tags: e.Tags,
		MessageID: e.MessageID, StreamID: e.Stream, Serial: e.Serial,
	}
	if m.out.MessageID == "" {
		m.out.MessageID = protocol.NewMessageID()
	}
	if len(e.Extras) > 0 {
		// The publishing node has checked them.
		m.out.Extras, _ = protocol.ParseExtras(e.Extras, protocol.ExtrasRules{Ephemeral: true, Echo: true})
	}
	if v := protocol.ParseRevision(e.Version); v != nil {
		m.revise(v)
	}
	return m
}

// revise makes the message one that can be changed, or a change of one.
func (m *message) revise(v *protocol.Revision) {
	plain := m.out
	m.action = v.Action
	m.out = v.Event(plain, false)
	if !v.Changes() {
		return
	}
	m.change, m.v2, m.full = true, true, true
	if v.Action == protocol.ActionAppend {
		m.whole = &message{event: true, change: true, v2: true, full: true, except: m.except, tags: m.tags, action: m.action, out: v.Event(plain, true)}
	}
}

// form is the message as a connection with whole appends gets it, or one without.
func (m *message) form(whole bool) *message {
	if whole && m.whole != nil {
		return m.whole
	}
	return m
}

// frame is the message in a format. It is written at the first call.
func (m *message) frame(f protocol.Format) protocol.Frame {
	if known := m.frames[f].Load(); known != nil {
		return *known
	}
	frame := m.out.Frame(f)
	m.frames[f].CompareAndSwap(nil, &frame)
	return *m.frames[f].Load()
}

// messageOverhead is about what a message takes besides its texts, in bytes.
const messageOverhead = 512

// size is about what the message takes in memory, in bytes.
func (m *message) size() int {
	n := messageOverhead + 2*len(m.out.Data) + len(m.out.Event) + len(m.out.Channel)
	if m.out.Extras != nil {
		n += 2 * len(m.out.Extras.JSON)
	}
	for _, t := range m.tags {
		n += 2 * (len(t.Key) + len(t.Value))
	}
	return n
}
