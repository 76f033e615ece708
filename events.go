package sockudo

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// eventPrefix begins the names of our events in Caddy's events app.
const eventPrefix = "sockudo."

// eventNames are all of them.
func eventNames() (names []string) {
	for _, kind := range realtime.Kinds {
		names = append(names, eventPrefix+string(kind))
	}
	return names
}

// kindsOf are the kinds that names mean. A name that is never emitted is an error.
func kindsOf(names []string) (kinds []realtime.Kind, err error) {
	known := eventNames()
	for _, name := range names {
		if !slices.Contains(known, name) {
			hint := ""
			if n := nearest(name, slices.Clone(known)); n != "" {
				hint = " (did you mean " + n + "?)"
			}
			return nil, fmt.Errorf("%q is no event of sockudo%s; there are %s", name, hint, strings.Join(known, ", "))
		}
		kinds = append(kinds, realtime.Kind(strings.TrimPrefix(name, eventPrefix)))
	}
	return kinds, nil
}

// subscribedKinds are those that the configuration of the events app asks for. A
// subscription to all events asks for all.
func subscribedKinds(subscriptions []*caddyevents.Subscription) (kinds []realtime.Kind, err error) {
	for _, s := range subscriptions {
		if len(s.Modules) > 0 && !slices.ContainsFunc(s.Modules, func(id caddy.ModuleID) bool { return id == "" || id == "sockudo" }) {
			continue
		}
		if len(s.Events) == 0 || slices.Contains(s.Events, "") {
			return realtime.Kinds, nil
		}
		var ours []string
		for _, name := range s.Events {
			if strings.HasPrefix(strings.ToLower(name), "sockudo") {
				ours = append(ours, name)
			}
		}
		more, err := kindsOf(ours)
		if err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
		kinds = append(kinds, more...)
	}
	return kinds, nil
}

// emitter is the events app of one configuration, as a hub uses it.
type emitter struct {
	ctx   caddy.Context
	app   *caddyevents.App
	log   *zap.Logger
	hub   string
	kinds []realtime.Kind

	mu    sync.Mutex // held while something is emitted
	ended bool
}

// newEmitter is nil if nobody wants any event of the hub.
func newEmitter(a *App, hub string, more []realtime.Kind) *emitter {
	kinds := slices.Concat(a.subscribed, more)
	if len(kinds) == 0 {
		return nil
	}
	slices.Sort(kinds)
	return &emitter{ctx: a.ctx, app: a.events, log: a.log, hub: hub, kinds: slices.Compact(kinds)}
}

// emit emits what is wanted, and reports false when the configuration has ended.
func (e *emitter) emit(h realtime.Happening) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	if !h.Here || !slices.Contains(e.kinds, h.Kind) {
		return true // another node tells of it
	}
	data := map[string]any{"hub": e.hub, "time": h.At.UTC().Format(time.RFC3339Nano)}
	for name, text := range map[string]string{
		"app_id": h.App, "channel": h.Channel, "event": h.Event, "socket_id": h.SocketID, "user_id": h.UserID,
		"client_ip": h.ClientIP, "data": h.Data, "reason": h.Reason,
	} {
		if text != "" {
			data[name] = text
		}
	}
	if h.Size > 0 {
		data["size"] = h.Size
	}
	if h.Code != 0 {
		data["code"] = h.Code
	}
	e.app.Emit(e.ctx, eventPrefix+string(h.Kind), data)
	return true
}

// finish waits until nothing is being emitted, and lets nothing more through.
func (e *emitter) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
}
