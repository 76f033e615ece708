package realtime

import (
	"strconv"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Webhooks are told two kinds of things. What one connection does, a client event
// or the miss of a cached event, is told by the node that serves it, at once. What
// becomes of a channel is a transition, which one node tells for the whole cluster:
// see transitions.

// tracks are the events that webhooks of the app ask for, none while nobody is told.
func (a *App) tracks() protocol.WebhookSet {
	if a.hub.settings().Webhooks.Sink == nil {
		return 0
	}
	return a.record().webhooks
}

// raises reports whether webhooks are told of what becomes of a channel.
func raises(info protocol.Channel) bool {
	return info.User == "" && !hidden(info)
}

// tells reports whether webhooks of the app are told of what a connection does.
func (l Live) tells(a *App, name string) bool {
	return l.Settings.Webhooks.Sink != nil && a.record().webhooks.Has(name)
}

// tellWebhooks tells what one connection has done.
func (l Live) tellWebhooks(a *App, e protocol.WebhookEvent) {
	e.ID, e.TimeMS = a.hub.webhookID(), time.Now().UnixMilli()
	l.Settings.Webhooks.Sink.Tell(a.id, []protocol.WebhookEvent{e}, nil)
}

// webhookID is the id of one more event. No other hub and no other process ever
// makes it.
func (h *Hub) webhookID() string {
	return h.cluster.self + "-" + strconv.FormatUint(h.cluster.happened.Add(1), 36)
}

// tellCacheMiss tells that a cache channel had nothing for a new subscriber.
func (c *Conn) tellCacheMiss(channel string) {
	c.tellWebhook(protocol.WebhookEvent{Name: protocol.WebhookCacheMiss, Channel: channel})
}

// tellWebhook tells what the connection has done, if webhooks ask for it.
func (c *Conn) tellWebhook(e protocol.WebhookEvent) {
	live, err := c.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	if live.tells(c.app, e.Name) {
		live.tellWebhooks(c.app, e)
	}
}

// tellIfAsked tells webhooks about what a backend has done, if they ask for such. The
// app need not be live here: perhaps nobody is connected.
func (l Live) tellIfAsked(app *storage.App, e protocol.WebhookEvent) {
	if l.Settings.Webhooks.Sink == nil {
		return
	}
	if a := l.Hub.liveApp(app.ID); a != nil {
		if l.tells(a, e.Name) {
			l.tellWebhooks(a, e)
		}
		return
	}
	if app.WebhookEvents().Has(e.Name) {
		e.ID, e.TimeMS = l.Hub.webhookID(), time.Now().UnixMilli()
		l.Settings.Webhooks.Sink.Tell(app.ID, []protocol.WebhookEvent{e}, nil)
	}
}

// tellVersion tells that there is another version of a message, if the event is one.
func (l Live) tellVersion(app *storage.App, e *protocol.Envelope) {
	if l.Settings.Webhooks.Sink == nil {
		return
	}
	v := protocol.ParseRevision(e.Version)
	if v == nil {
		return
	}
	l.tellIfAsked(app, protocol.WebhookEvent{
		Name: protocol.WebhookVersionCreated, Channel: e.Channel, MessageSerial: v.Message, VersionSerial: v.Serial, Action: "message." + v.Action,
	})
}
