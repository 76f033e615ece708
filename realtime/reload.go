package realtime

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// pollUsers is how often Detach looks whether operations have ended.
const pollUsers = 2 * time.Millisecond

// Effect says what a reload that changes a setting does to live connections.
type Effect string

// The effects a setting can have.
const (
	// NextOperation: the next operation of every connection uses the new value.
	NextOperation Effect = "the next operation of every connection"
	// NewConnections: handshakes from now on; open connections keep what they have.
	NewConnections Effect = "new connections; open ones stay"
	// AtOnce: open connections are adjusted by the reload.
	AtOnce Effect = "open connections at once, without closing them"
	// ClosesGone: connections of apps that are gone or disabled are closed.
	ClosesGone Effect = "connections of removed (4001) and disabled (4003) apps are closed, others stay"
	// Swapped: equal keys keep the running resource; another one is opened, takes
	// over, and the old one is drained and closed.
	Swapped Effect = "equal resources keep running; changed ones take over and the old ones are drained"
	// NextCheck: the next health check, drain or log line.
	NextCheck Effect = "the next check, drain or log line"
)

// ReloadEffects names every setting and what changing it by a reload does. A
// setting that is missing here fails a test.
var ReloadEffects = map[string]Effect{
	"NodeID":                NextCheck,
	"PublishOnly":           NewConnections,
	"MaxConnections":        NewConnections,
	"ActivityTimeout":       AtOnce,
	"PongTimeout":           NextOperation,
	"AuthenticationTimeout": NewConnections,
	"HealthTimeout":         NextCheck,
	"DrainPeriod":           NextCheck,
	"DrainTimeout":          NextCheck,

	"Cluster.Off":         AtOnce,
	"Cluster.Heartbeat":   AtOnce,
	"Cluster.NodeTimeout": AtOnce,
	"Cluster.Cleanup":     AtOnce,

	"Socket.MaxPayload":   NewConnections,
	"Socket.MaxMessages":  NextOperation,
	"Socket.MaxBytes":     NextOperation,
	"Socket.MaxChannels":  NextOperation,
	"Socket.DropWhenFull": NextOperation,
	"Socket.WriteTimeout": NextOperation,

	"Socket.PingInterval": AtOnce,
	"Socket.IdleTimeout":  AtOnce,

	"Presence.Grace":      NextOperation,
	"Presence.GraceV2":    NextOperation,
	"Presence.UpdateRate": NextOperation,

	"Recovery.Enabled":    AtOnce,
	"Recovery.BufferSize": NextOperation,
	"Recovery.TTL":        NextOperation,
	"Recovery.MaxBytes":   NextOperation,

	"History.Enabled":   NextOperation,
	"History.Rewind":    NextOperation,
	"History.Retention": NextOperation,
	"History.MaxItems":  NextOperation,
	"History.MaxBytes":  NextOperation,
	"History.PageSize":  NextOperation,
	"History.Deliver":   NextOperation,
	"History.Purge":     NextOperation,

	"Members.Enabled":   NextOperation,
	"Members.Retention": NextOperation,
	"Members.MaxItems":  NextOperation,
	"Members.MaxBytes":  NextOperation,
	"Members.PageSize":  NextOperation,

	"Versions.Enabled":   NextOperation,
	"Versions.Retention": NextOperation,
	"Versions.PageSize":  NextOperation,
	"Annotations":        NextOperation,

	"Extras.Ephemeral":   NextOperation,
	"Extras.Echo":        NextOperation,
	"Extras.EchoDefault": NewConnections,

	"Filters.Events":         NextOperation,
	"Filters.MaxEvents":      NextOperation,
	"Filters.MaxEventLength": NextOperation,
	"Filters.Tags":           NextOperation,
	"Filters.KeepTags":       NextOperation,

	"Delta.Enabled":       NextOperation,
	"Delta.Algorithm":     NextOperation,
	"Delta.FullInterval":  NextOperation,
	"Delta.MinSize":       NextOperation,
	"Delta.MaxStateAge":   NextOperation,
	"Delta.MaxChannels":   NextOperation,
	"Delta.MaxKeys":       NextOperation,
	"Delta.KeyPath":       NextOperation,
	"Delta.OmitAlgorithm": NextOperation,

	"Limits.ChannelNameLength":  NextOperation,
	"Limits.EventNameLength":    NextOperation,
	"Limits.EventPayload":       NextOperation,
	"Limits.EventChannels":      NextOperation,
	"Limits.EventBatch":         NextOperation,
	"Limits.PresenceMembers":    NextOperation,
	"Limits.PresenceMemberSize": NextOperation,
	"Limits.Watchlist":          NextOperation,
	"Limits.CacheTTL":           NextOperation,

	"Idempotency.Enabled":      NextOperation,
	"Idempotency.TTL":          NextOperation,
	"Idempotency.MaxKeyLength": NextOperation,

	"Rate.API":              NextOperation,
	"Rate.Upgrades":         NewConnections,
	"Rate.ConnectionsPerIP": NewConnections,
	"Rate.EventsPerSecond":  NextOperation,
	"Rate.SkipPrivate":      NextOperation,
	"Rate.FailOpen":         NextOperation,

	"HTTP.MaxBody":          NextOperation,
	"HTTP.Usage":            NextOperation,
	"HTTP.CORS.Origins":     NextOperation,
	"HTTP.CORS.Methods":     NextOperation,
	"HTTP.CORS.Headers":     NextOperation,
	"HTTP.CORS.Credentials": NextOperation,

	"Webhooks.Sink":     Swapped,
	"Webhooks.Debounce": NextOperation,

	"Push":    Swapped,
	"PushAPI": Swapped,

	"Drivers.Apps":        ClosesGone,
	"Drivers.Adapter":     Swapped,
	"Drivers.Cache":       Swapped,
	"Drivers.Streams":     Swapped,
	"Drivers.Queue":       Swapped,
	"Drivers.RateLimiter": Swapped,
	"Drivers.History":     Swapped,

	"Log": NextCheck,
}

// apply adjusts live connections to a change of the current settings. Most
// settings need nothing here: they are read where they are used.
func (h *Hub) apply(old, current *Settings, term uint64) {
	if old.ActivityTimeout != current.ActivityTimeout || old.PongTimeout != current.PongTimeout ||
		old.Socket.PingInterval != current.Socket.PingInterval || old.Socket.IdleTimeout != current.Socket.IdleTimeout {
		h.wheel.reschedule()
	}
	if old.Drivers.Adapter != current.Drivers.Adapter || old.Cluster != current.Cluster {
		h.cluster.refresh()
	}
	if (old.Webhooks.Sink == nil) != (current.Webhooks.Sink == nil) {
		h.followWebhooks(current.Webhooks.Sink != nil)
	}
	h.applyApps(current, term)
}

// applyApps gives every live app its new record, and closes the connections of
// those that are gone or disabled. An app whose record cannot be read keeps the
// one it has.
func (h *Hub) applyApps(s *Settings, term uint64) {
	for _, a := range h.liveApps() {
		ctx, cancel := context.WithTimeout(context.Background(), s.HealthTimeout)
		h.applyApp(ctx, a, s, term)
		cancel()
	}
}

func (h *Hub) applyApp(ctx context.Context, a *App, s *Settings, term uint64) {
	record, err := s.Drivers.Apps.AppByID(ctx, a.id)
	switch {
	case isNotFound(err):
		a.closeAll(protocol.ErrAppNotFound)
	case err != nil:
		s.Log.Error("looking up an app after a change", zap.String("app", a.id), zap.Error(err))
	case !record.Enabled:
		a.setRecord(record, term)
		a.closeAll(protocol.ErrAppDisabled)
	default:
		// A new key or secret counts for new requests; open sockets and their
		// subscriptions stay, as at Pusher.
		a.setRecord(record, term)
	}
}
