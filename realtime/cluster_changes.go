package realtime

import (
	"slices"
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// changedApp names what has changed in an app since it was told.
type changedApp struct {
	channels map[string]map[string]struct{} // the users of each
	users    map[string]struct{}
	// told is what webhooks were told, see told.go.
	told    map[subject]lastWord
	doubted []subject
}

// onlyTold is what has changed less what is told with everything.
func onlyTold(changed map[string]*changedApp) map[string]*changedApp {
	left := map[string]*changedApp{}
	for id, what := range changed {
		if len(what.told)+len(what.doubted) > 0 {
			left[id] = &changedApp{told: what.told, doubted: what.doubted}
		}
	}
	return left
}

// changedLocked is what has changed in an app. It wakes the loop.
func (c *cluster) changedLocked(app string) *changedApp {
	what := c.changed[app]
	if what == nil {
		what = &changedApp{channels: map[string]map[string]struct{}{}, users: map[string]struct{}{}}
		c.changed[app] = what
		c.nudge()
	}
	return what
}

// markApp says that the number of an app's connections has changed.
func (c *cluster) markApp(app string) {
	if !c.active.Load() {
		return
	}
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	c.changedLocked(app)
}

// markChannel says that a channel has changed, and user in it unless empty.
func (c *cluster) markChannel(app, channel, user string) {
	if !c.active.Load() {
		return
	}
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	what := c.changedLocked(app)
	users := what.channels[channel]
	if users == nil {
		users = map[string]struct{}{}
		what.channels[channel] = users
	}
	if user != "" {
		users[user] = struct{}{}
	}
}

// markUser says that a signed-in user has come or gone.
func (c *cluster) markUser(app, user string) {
	if !c.active.Load() {
		return
	}
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	c.changedLocked(app).users[user] = struct{}{}
}

// occupiedHere names the channels with a subscription on this node.
func (a *App) occupiedHere() []string {
	var found []*channel
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.RLock()
		for _, ch := range s.channels {
			found = append(found, ch)
		}
		s.mu.RUnlock()
	}
	var names []string
	for _, ch := range found {
		ch.mu.Lock()
		if ch.count > 0 {
			names = append(names, ch.info.Name)
		}
		ch.mu.Unlock()
	}
	return names
}

// localFacts is what this node has of a channel: of its members those that are
// named, or all if users is nil.
func (a *App) localFacts(name string, users map[string]struct{}) channelFacts {
	f := channelFacts{Name: name}
	ch := a.channel(name)
	if ch == nil {
		for id := range users {
			f.Gone = append(f.Gone, id)
		}
		return f
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	f.Count = ch.count
	if ch.presence == nil {
		return f
	}
	if users == nil {
		for _, m := range ch.presence.order {
			if m.conns > 0 {
				f.Members = append(f.Members, m.Member)
			}
		}
		return f
	}
	for id := range users {
		if m := ch.presence.members[id]; m != nil && m.conns > 0 {
			f.Members = append(f.Members, m.Member)
		} else {
			f.Gone = append(f.Gone, id)
		}
	}
	return f
}

// onlineHere names the users who are signed in on this node.
func (a *App) onlineHere() []string {
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	ids := make([]string, 0, len(a.users))
	for id := range a.users {
		ids = append(ids, id)
	}
	return ids
}

// whoIsOnline divides users into those who are signed in on this node and others.
func (a *App) whoIsOnline(users map[string]struct{}) (online, offline []string) {
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	for id := range users {
		if a.users[id] != nil {
			online = append(online, id)
		} else {
			offline = append(offline, id)
		}
	}
	return online, offline
}

// onlineElsewhere says that a user is signed in on another node.
func (a *App) onlineElsewhere(id string, p *peer) {
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	if !a.isOnlineLocked(id) {
		a.tellWatchersLocked(protocol.WatchlistEvents([]string{id}, nil), id)
	}
	if a.usersElsewhere == nil {
		a.usersElsewhere = map[string][]*peer{}
	}
	a.usersElsewhere[id] = append(a.usersElsewhere[id], p)
}

// offlineElsewhere ends that.
func (a *App) offlineElsewhere(id string, p *peer) {
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	peers := slices.DeleteFunc(a.usersElsewhere[id], func(other *peer) bool { return other == p })
	if len(peers) > 0 {
		a.usersElsewhere[id] = peers
		return
	}
	delete(a.usersElsewhere, id)
	if !a.isOnlineLocked(id) {
		a.tellWatchersLocked(protocol.WatchlistEvents(nil, []string{id}), id)
	}
}

// isOnlineLocked reports whether a user is signed in on any node.
func (a *App) isOnlineLocked(id string) bool {
	return a.users[id] != nil || len(a.usersElsewhere[id]) > 0
}

const (
	// windowSize is how many envelopes of a node are remembered.
	windowSize = 4096
	// maxWindows bounds the nodes whose envelopes are remembered.
	maxWindows = 1024
)

// window4k knows the last envelopes of each node, so that one that comes a second
// time is recognised: by an adapter that delivers at least once, or by two adapters
// during a change of adapters.
type window4k struct {
	mu    sync.RWMutex
	nodes map[string]*nodeWindow
}

type nodeWindow struct {
	// order is held while an envelope of the node is delivered, if there are two
	// adapters by which it may come.
	order sync.Mutex
	mu    sync.Mutex
	slots [windowSize]uint64
}

// twice reports whether an envelope was here before.
func (w *window4k) twice(node string, seq uint64) bool {
	n := w.of(node)
	n.mu.Lock()
	defer n.mu.Unlock()
	slot := &n.slots[seq%windowSize]
	if *slot >= seq {
		return *slot == seq || *slot-seq >= windowSize // the latter is far too late
	}
	*slot = seq
	return false
}

// of is the window of a node.
func (w *window4k) of(node string) *nodeWindow {
	w.mu.RLock()
	n := w.nodes[node]
	w.mu.RUnlock()
	if n == nil {
		n = w.add(node)
	}
	return n
}

func (w *window4k) add(node string) *nodeWindow {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.nodes[node]; n != nil {
		return n
	}
	if w.nodes == nil {
		w.nodes = map[string]*nodeWindow{}
	}
	for other := range w.nodes {
		if len(w.nodes) < maxWindows {
			break
		}
		delete(w.nodes, other)
	}
	n := new(nodeWindow)
	w.nodes[node] = n
	return n
}

func (w *window4k) forget(node string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, node)
}
