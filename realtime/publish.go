package realtime

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Event is one event for one channel, as a backend publishes it.
type Event struct {
	Channel string
	Name    string
	// Data is a JSON string, as protocol.EventData makes it.
	Data json.RawMessage
	// Except is the socket that must not get the event, or "".
	Except string
}

// Publish sends an event to the subscribers of its channel on every node, and
// keeps it if the channel is a cache channel. The caller has checked the names.
func (l Live) Publish(ctx context.Context, app *storage.App, e Event) error {
	info := protocol.ParseChannel(e.Channel)
	envelope := &protocol.Envelope{App: app.ID, Channel: e.Channel, Event: e.Name, Data: e.Data, Except: e.Except}
	if info.User != "" {
		envelope.Kind, envelope.User = protocol.KindUserEvent, info.User
	}
	if info.Cache {
		text := protocol.EventFrame(e.Name, e.Channel, e.Data, "").Text()
		if err := l.Settings.Drivers.Cache.Set(ctx, CacheKey(app.ID, e.Channel), text, l.Settings.Limits.CacheTTL); err != nil {
			return fmt.Errorf("keeping the event of a cache channel: %w", err)
		}
	}
	if err := l.broadcast(ctx, envelope); err != nil {
		return fmt.Errorf("publishing through the adapter: %w", err)
	}
	return nil
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
	switch e.Kind {
	case protocol.KindControl: // not here, see delivery
	case protocol.KindEvent:
		if ch := a.channel(e.Channel); ch != nil {
			ch.publish(e)
		}
	case protocol.KindUserEvent:
		a.sendUser(e.User, protocol.EventFrame(e.Event, e.Channel, e.Data, ""), e.Except)
	case protocol.KindCloseUser:
		a.closeUser(e.User, &protocol.Error{Code: e.Code, Message: e.Reason, Close: true})
	}
}

// publish encodes an event once and puts it in line for every subscriber. It
// waits while the channel's workers are far behind.
func (ch *channel) publish(e *protocol.Envelope) {
	f := protocol.EventFrame(e.Event, e.Channel, e.Data, e.UserID)
	except := ch.app.conn(e.Except)
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
	if ch.info.Cache && !e.Client {
		// For subscribers who are asking the cache at this moment.
		ch.last = f
		ch.lastSeq++
	}
	ch.send(f, except)
}
