package realtime

import (
	"cmp"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// HistoryPolicy says how the events of one channel are kept (HTTP API, section 4.2).
type HistoryPolicy struct {
	// Enabled keeps them. Annotations switch it on whatever else is said.
	Enabled bool
	// Rewind lets subscribers ask for the newest events.
	Rewind bool
	// PageSize is the most that one page has.
	PageSize  int
	Retention history.Retention
	// Versions lets events be changed, and Annotations lets them be annotated.
	Versions, Annotations bool
}

// PresenceHistoryPolicy says how the joins and leaves of one channel are kept. Only
// those of presence channels are.
type PresenceHistoryPolicy struct {
	Enabled   bool
	PageSize  int
	Retention history.Retention
}

// HistoryPolicy is the policy of a channel: what its namespace says goes before what
// the app says, and that before what the hub says.
func (l Live) HistoryPolicy(app *storage.App, channel string) HistoryPolicy {
	return l.Settings.historyPolicy(app, protocol.ParseChannel(channel))
}

// PresenceHistoryPolicy is the policy of a channel, as HistoryPolicy.
func (l Live) PresenceHistoryPolicy(app *storage.App, channel string) PresenceHistoryPolicy {
	return l.Settings.presenceHistoryPolicy(app, protocol.ParseChannel(channel))
}

// historyPolicy is the policy of a channel. One that nobody publishes on, and one of a
// user, has no history.
func (s *Settings) historyPolicy(app *storage.App, info protocol.Channel) HistoryPolicy {
	if hidden(info) || info.User != "" {
		return HistoryPolicy{PageSize: s.History.PageSize}
	}
	namespace := namespaceOf(app, info)
	hub, own := s.History, historyOverride(namespace.History, app.History)
	annotations := firstSwitch(namespace.Annotations, app.Annotations, false) && s.Annotations && s.Versions.Enabled
	p := HistoryPolicy{
		// A namespace has no say in it.
		Enabled:     firstSwitch(nil, app.History.Enabled, hub.Enabled) || annotations,
		PageSize:    hub.PageSize,
		Annotations: annotations,
		Retention: history.Retention{
			Age: cmp.Or(own.Retention, hub.Retention), Rows: cmp.Or(own.MaxItems, hub.MaxItems), Bytes: cmp.Or(own.MaxBytes, hub.MaxBytes),
		},
	}
	p.Rewind = p.Enabled && firstSwitch(nil, own.Rewind, hub.Rewind)
	if p.Versions = p.Enabled && s.Versions.Enabled; p.Versions {
		p.Retention.Versions, p.Retention.VersionAge = true, s.Versions.Retention
	}
	return p
}

func (s *Settings) presenceHistoryPolicy(app *storage.App, info protocol.Channel) PresenceHistoryPolicy {
	hub, own := s.Members, historyOverride(namespaceOf(app, info).PresenceHistory, app.PresenceHistory)
	return PresenceHistoryPolicy{
		Enabled:  firstSwitch(nil, own.Enabled, hub.Enabled) && info.Kind == protocol.Presence && !hidden(info),
		PageSize: hub.PageSize,
		Retention: history.Retention{
			Age: cmp.Or(own.Retention, hub.Retention), Rows: cmp.Or(own.MaxItems, hub.MaxItems), Bytes: cmp.Or(own.MaxBytes, hub.MaxBytes),
		},
	}
}

// noNamespace says nothing.
var noNamespace storage.Namespace

// namespaceOf is the namespace of a channel. One that does not exist says nothing.
func namespaceOf(app *storage.App, info protocol.Channel) *storage.Namespace {
	if n := app.Namespaces[info.NamespaceName()]; n != nil {
		return n
	}
	return &noNamespace
}

// historyOverride is what a namespace says, and the app where it says nothing.
func historyOverride(namespace, app storage.AppHistory) storage.AppHistory {
	return storage.AppHistory{
		Enabled: cmp.Or(namespace.Enabled, app.Enabled), Rewind: cmp.Or(namespace.Rewind, app.Rewind),
		Retention: cmp.Or(namespace.Retention, app.Retention),
		MaxItems:  cmp.Or(namespace.MaxItems, app.MaxItems), MaxBytes: cmp.Or(namespace.MaxBytes, app.MaxBytes),
	}
}

// firstSwitch is the first switch that is set.
func firstSwitch(namespace, app *bool, hub bool) bool {
	if set := cmp.Or(namespace, app); set != nil {
		return *set
	}
	return hub
}
