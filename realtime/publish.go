package realtime

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sockudo/caddy-sockudo/internal/span"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Event is one event for one channel, as a backend publishes it.
type Event struct {
	Channel string
	Name    string
	// Data is a JSON string, as protocol.EventData makes it. It is kept,
	// and not changed any more.
	Data json.RawMessage
	// Except is the socket that must not get the event, or "".
	Except string
	// MessageID identifies the event to V2 clients. Empty means a new one.
	MessageID string
	// Once is the publisher's own key of the event, empty for none: where history is
	// kept, it is accepted once for as long as such keys count.
	Once string
	Tags protocol.Tags
	// Extras are for V2 clients, nil for none.
	Extras *protocol.Extras
	// Full says that the event is never sent as a delta.
	Full bool
}

// Receipt is what an event was accepted as.
type Receipt struct {
	// MessageID identifies the event to V2 clients.
	MessageID string
	// Stream and Serial are its position on the channel, if the publishing node numbers
	// events.
	Stream string
	Serial uint64
	// Revision is set if the event can be changed.
	Revision *protocol.Revision
}

// Publish sends an event to the subscribers of its channel on every node, and
// keeps it if the channel is a cache channel. The caller has checked the names.
func (l Live) Publish(ctx context.Context, app *storage.App, e Event) (receipt Receipt, err error) {
	info := protocol.ParseChannel(e.Channel)
	ctx, step := l.tracePublish(ctx, app, e, info)
	defer func() {
		step.Set(span.MessageID, receipt.MessageID)
		step.End(err)
	}()
	envelope := &protocol.Envelope{
		App: app.ID, Channel: e.Channel, Event: e.Name, Data: e.Data, Except: e.Except,
		Tags: e.Tags, MessageID: e.MessageID, Full: e.Full, Once: e.Once,
	}
	if e.Extras != nil {
		envelope.Extras, envelope.Ephemeral = e.Extras.JSON, e.Extras.Ephemeral
	}
	if actor, ok := l.Actor(app, e.Except); ok {
		envelope.Publisher = actor.ClientID
	}
	if info.User != "" {
		envelope.Kind, envelope.User = protocol.KindUserEvent, info.User
	}
	if info.Cache {
		text := protocol.EventMessage(e.Name, e.Channel, e.Data, "").Frame(protocol.FormatV1).Text()
		if err := l.Settings.Drivers.Cache.Set(ctx, CacheKey(app.ID, e.Channel), text, l.Settings.Limits.CacheTTL); err != nil {
			return Receipt{}, fmt.Errorf("keeping the event of a cache channel: %w", err)
		}
	}
	if err := l.publish(ctx, app, envelope); err != nil {
		return Receipt{}, err
	}
	return Receipt{envelope.MessageID, envelope.Stream, envelope.Serial, protocol.ParseRevision(envelope.Version)}, nil
}

// publish numbers an event, if that is for the publishing node to do, and hands it
// to the adapter.
func (l Live) publish(ctx context.Context, app *storage.App, e *protocol.Envelope) error {
	if e.MessageID == "" {
		e.MessageID = protocol.NewMessageID()
	}
	if e.Ephemeral {
		l.Hub.metrics.v2.ephemeral.WithLabelValues(e.App).Inc()
	}
	if err := l.number(ctx, app, e); err != nil {
		return fmt.Errorf("numbering an event: %w", err)
	}
	if err := l.broadcast(ctx, e); err != nil {
		return fmt.Errorf("publishing through the adapter: %w", err)
	}
	l.Hub.tellPublished(e, true)
	l.tellVersion(app, e)
	return l.reachPatterns(ctx, e)
}

// CloseUser closes every socket of a signed-in user on every node with e.
func (l Live) CloseUser(ctx context.Context, app *storage.App, user string, e *protocol.Error) error {
	return l.broadcast(ctx, &protocol.Envelope{
		Kind: protocol.KindCloseUser, App: app.ID, User: user, Code: e.Code, Reason: e.Message,
	})
}

// deliver hands an envelope to the connections of this node. Adapters call it in
// the order of each channel, see delivery.
func (h *Hub) deliver(e *protocol.Envelope) {
	a := h.liveApp(e.App)
	if a == nil || e.Node != "" && h.cluster.window.twice(e.Node, e.Seq) {
		return
	}
	if e.Node != "" && e.Node != h.cluster.self {
		h.tellPublished(e, false)
	}
	switch e.Kind {
	case protocol.KindControl: // not here, see delivery
	case protocol.KindEvent:
		a.deliver(e)
	case protocol.KindUserEvent:
		a.sendUser(e.User, e)
		a.deliver(e)
	case protocol.KindCloseUser:
		a.closeUser(e.User, &protocol.Error{Code: e.Code, Message: e.Reason, Close: true})
	case protocol.KindRevoke:
		a.revoke(e.Event, e.User)
	case protocol.KindReset:
		a.historyReset(e.Channel)
	case protocol.KindAnnotation:
		a.annotated(e)
	}
}

// deliver hands an event to the subscribers of its channel, and of the patterns that
// match it.
func (a *App) deliver(e *protocol.Envelope) {
	ch := a.channel(e.Channel)
	if ch == nil {
		info := protocol.ParseChannel(e.Channel)
		if len(a.patternsFor(info)) == 0 {
			return
		}
		ch = a.pin(info)
		defer ch.unpin()
	}
	ch.publish(e)
}

// publish puts an event in line for every subscriber. It waits while the channel's
// workers are far behind.
func (ch *channel) publish(e *protocol.Envelope) {
	s := ch.app.hub.settings()
	m := ch.event(e, s)
	m.flight.begun = sinceStart()
	m.v2 = m.v2 || e.Kind == protocol.KindUserEvent // V1 clients need no subscription, see sendUser
	for {
		ch.mu.Lock()
		full := ch.fullPart()
		if full == nil {
			break
		}
		ch.mu.Unlock()
		full.waitRoom()
	}
	defer ch.mu.Unlock()
	switch n := ch.counted(s); {
	case e.Ephemeral || n.counter == countNone:
		m.out.StreamID, m.out.Serial = "", 0
		ch.tell(m, e)
	case n.shared():
		ch.follow(m, e, n)
	default:
		m.out.StreamID, m.out.Serial = ch.stream.id, ch.stream.head+1
		ch.tell(m, e)
		ch.keep(m, n.recovery)
	}
}

// event makes a message of an event of the channel, whichever way it has come. It
// takes no lock.
func (ch *channel) event(e *protocol.Envelope, s *Settings) *message {
	m := eventOf(e)
	if len(m.tags) > 0 && !ch.app.record().keepsTags(e.Channel, s) {
		m.out.Tags = nil
	}
	return m
}

// keep adds an event to the past of the channel. The caller holds mu.
func (ch *channel) keep(m *message, r recovery) {
	ch.stream.keep(ch.app.hub, m, r)
	if ch.count == 0 && len(ch.matching) > 0 {
		ch.stream.used = m.at // for those who have subscribed to a pattern
		ch.look()
	}
}

// tell sends an event to the subscribers. The caller holds mu.
func (ch *channel) tell(m *message, e *protocol.Envelope) {
	if ch.info.Cache && !e.Client && !m.change {
		// For subscribers who are asking the cache at this moment.
		ch.last = m
		ch.lastSeq++
	}
	ch.sendEvent(m, ch.app.conn(e.Except))
}
