package realtime

import (
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
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
	return info.User == "" && !strings.HasPrefix(info.Name, protocol.MetaPrefix)
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
	live, err := c.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	if !live.tells(c.app, protocol.WebhookCacheMiss) {
		return
	}
	live.tellWebhooks(c.app, protocol.WebhookEvent{Name: protocol.WebhookCacheMiss, Channel: channel})
}
