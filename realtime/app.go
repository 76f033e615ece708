package realtime

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// shards is the number of parts of an app's connection and channel tables.
const shards = 32

// App is the live side of one app: its connections, channels and users on this
// node.
type App struct {
	hub    *Hub
	id     string
	policy atomic.Pointer[policy]
	meter  *appMeter
	tokens tokens

	transitions *transitions
	patterns    atomic.Pointer[patterns]
	filters     filters
	metas       sync.Map // *channel of meta channels, by name

	sockets atomic.Int64
	// elsewhere is the number of connections on other nodes.
	elsewhere atomic.Int64
	shards    [shards]shard

	usersMu sync.Mutex
	users   map[string]*user
	// usersElsewhere are the other nodes where a user is signed in.
	usersElsewhere map[string][]*peer
	// signing counts the connections that are about to be a user's.
	signing map[string]int
	// watchers are the connections that watch a user, by the watched user's id.
	watchers map[string]map[*Conn]struct{}
}

// shard is one part of the tables, by hash of the name.
type shard struct {
	mu       sync.RWMutex
	conns    map[string]*Conn
	channels map[string]*channel
}

// policy is an app record with what is derived from it.
type policy struct {
	*storage.App
	term    uint64 // of the configuration that the record is from, see lease
	origins protocol.Origins
	rules   protocol.ChannelRules
	// webhooks are the events that the app's webhooks ask for.
	webhooks protocol.WebhookSet
	// deltas say how channels are compressed.
	deltas []channelDelta
}

func newPolicy(record *storage.App, term uint64) *policy {
	p := &policy{App: record, term: term, rules: rulesOf(record), webhooks: record.WebhookEvents(), deltas: channelDeltas(record)}
	// Patterns were checked when the record was made; one that does not compile
	// here must refuse rather than admit.
	if origins, err := protocol.NewOrigins(record.AllowedOrigins); err == nil {
		p.origins = origins
	} else {
		p.origins, _ = protocol.NewOrigins([]string{"invalid://pattern"})
	}
	return p
}

// rulesOf are the app's own rules for channel names.
func rulesOf(record *storage.App) protocol.ChannelRules {
	rules := protocol.ChannelRules{MaxLength: record.Limits.MaxChannelNameLength}
	if len(record.Namespaces) == 0 {
		return rules
	}
	rules.Namespace = func(name string) (protocol.NamespaceRules, bool) {
		n, ok := record.Namespaces[name]
		if !ok {
			return protocol.NamespaceRules{}, false
		}
		return protocol.NamespaceRules{MaxLength: n.MaxChannelNameLength, UserLimited: n.AllowUserLimitedChannels, Match: n.Match}, true
	}
	return rules
}

// ChannelRules are the rules of an app for channel names, under the hub's limit.
func (s *Settings) ChannelRules(record *storage.App) protocol.ChannelRules {
	return s.underLimit(rulesOf(record))
}

func (s *Settings) underLimit(rules protocol.ChannelRules) protocol.ChannelRules {
	if rules.MaxLength <= 0 {
		rules.MaxLength = s.Limits.ChannelNameLength
	}
	return rules
}

// app is the live side of record, made on first use.
func (h *Hub) app(record *storage.App, term uint64) *App {
	if a := h.liveApp(record.ID); a != nil {
		return a
	}
	return h.addApp(record, term)
}

func (h *Hub) addApp(record *storage.App, term uint64) *App {
	h.appsMu.Lock()
	defer h.appsMu.Unlock()
	if a := h.apps[record.ID]; a != nil {
		return a
	}
	a := &App{hub: h, id: record.ID, meter: h.metrics.app(record.ID), users: map[string]*user{}, signing: map[string]int{}, watchers: map[string]map[*Conn]struct{}{}}
	a.policy.Store(newPolicy(record, term))
	a.transitions = newTransitions(a)
	for i := range a.shards {
		a.shards[i].conns = map[string]*Conn{}
		a.shards[i].channels = map[string]*channel{}
	}
	h.apps[record.ID] = a
	return a
}

// liveApp is the live side of an app by id, or nil if it has none.
func (h *Hub) liveApp(id string) *App {
	h.appsMu.RLock()
	defer h.appsMu.RUnlock()
	return h.apps[id]
}

func (h *Hub) liveApps() []*App {
	h.appsMu.RLock()
	defer h.appsMu.RUnlock()
	apps := make([]*App, 0, len(h.apps))
	for _, a := range h.apps {
		apps = append(apps, a)
	}
	return apps
}

func (a *App) record() *policy { return a.policy.Load() }

// setRecord gives the app the record that a configuration has of it. An operation
// that began before a reload does not put an older one back.
func (a *App) setRecord(record *storage.App, term uint64) {
	for {
		old := a.policy.Load()
		if old.App == record || old.term > term {
			return
		}
		changed := newPolicy(record, term)
		if !a.policy.CompareAndSwap(old, changed) {
			continue
		}
		switch {
		case old.webhooks == changed.webhooks:
		case old.Key == "": // until now the app was known only from other nodes
			a.transitions.lookAtAll()
		default:
			a.transitions.follow(old.webhooks, changed.webhooks)
		}
		return
	}
}

func (a *App) shard(name string) *shard {
	return &a.shards[maphash.String(a.hub.seed, name)%shards]
}

// conn finds a connection by its socket id.
func (a *App) conn(socketID string) *Conn {
	if socketID == "" {
		return nil
	}
	s := a.shard(socketID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[socketID]
}

// channel finds an occupied channel.
func (a *App) channel(name string) *channel {
	s := a.shard(name)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[name]
}

func (a *App) appendConns(conns []*Conn) []*Conn {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.RLock()
		for _, c := range s.conns {
			conns = append(conns, c)
		}
		s.mu.RUnlock()
	}
	return conns
}

// closeAll closes every connection of the app with e.
func (a *App) closeAll(e *protocol.Error) {
	for _, c := range a.appendConns(nil) {
		c.end(e)
	}
}

func isNotFound(err error) bool { return errors.Is(err, storage.ErrNotFound) }
