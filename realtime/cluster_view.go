package realtime

import (
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long this node goes on with an old view while something that it
// has decided under it is on its way to the queue.
const patience = 2 * time.Second

// complainAfter is how long something is due before its owner is asked for it.
const complainAfter = 3 * time.Second

// spread is the time in which the other nodes hear of what has happened here, before
// webhooks do: should this node die, they tell how it ends.
const spread = 2 * gatherFacts

// view is the nodes among which the channels are divided. Each channel has one
// owner, which tells its webhooks. A node acts only while all others have said that
// they have the same view, and says that it has a new one only when what it has
// decided under the old one is told: so no channel ever has two owners.
//
// That holds as long as nodes hear each other. Where the network is divided, each
// side has a view of its own, and tells what it sees: see journal.
type view struct {
	hash  string
	nodes []string
}

func newView(nodes []string) *view {
	slices.Sort(nodes)
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(strings.Join(nodes, "\n")))
	return &view{strconv.FormatUint(sum.Sum64(), 36), nodes}
}

// owners knows the owner of each channel at a moment.
type owners struct {
	self string
	// nodes is nil while nobody may act.
	nodes []string
}

// own reports whether a channel is this node's.
func (o owners) own(app, channel string) bool {
	best, most := "", uint64(0)
	for _, node := range o.nodes {
		if weight := weigh(node, app, channel); best == "" || weight > most {
			best, most = node, weight
		}
	}
	return best == o.self
}

// weigh is the claim of a node to a channel: the highest has it, so that of a node
// that comes or goes only its own channels move.
func weigh(parts ...string) uint64 {
	sum := fnv.New64a()
	for _, part := range parts {
		_, _ = sum.Write([]byte(part))
		_, _ = sum.Write([]byte{0})
	}
	x := sum.Sum64() // fnv alone hardly mixes what comes last into the high bits
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// owners are the owners as they are now. A node that is not in a cluster owns
// everything.
func (c *cluster) owners() owners {
	if c.hub.announcer.closing.Load() {
		return owners{self: c.self}
	}
	if !c.active.Load() {
		return owners{c.self, []string{c.self}}
	}
	v := c.view.Load()
	if v == nil || !c.settled.Load() || !c.agreed(v) {
		return owners{self: c.self}
	}
	return owners{c.self, v.nodes}
}

// alone reports whether no other node can take over what is left to be told.
func (c *cluster) alone() bool {
	if !c.active.Load() {
		return true
	}
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, p := range c.peers {
		if p.ready {
			return false
		}
	}
	return true
}

// agreed reports whether all nodes of a view have it, as far as was heard lately,
// and whether all that they have is known here.
func (c *cluster) agreed(v *view) bool {
	silence := c.hub.settings().Cluster.NodeTimeout / 2
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, node := range v.nodes {
		if node == c.self {
			continue
		}
		p := c.peers[node]
		if p == nil || !p.complete || p.view != v.hash || time.Since(p.heard) > silence {
			return false
		}
	}
	return true
}

// lookAtView takes a new view when there is one, and looks again at what others
// were to tell when ownership may have changed. The loop calls it.
func (c *cluster) lookAtView(now time.Time) {
	nodes, complete := c.readyNodes()
	switch {
	case c.hub.settings().Webhooks.Sink == nil:
		c.ready.Store(false) // what this node owned nobody would tell
	case complete && !c.ready.Load() && now.Sub(c.joined) >= c.hub.settings().Cluster.Heartbeat:
		c.ready.Store(true)
		c.readySince = now
	}
	if c.ready.Load() {
		nodes = append(nodes, c.self)
	}
	next, current := newView(nodes), c.view.Load()
	if current == nil || next.hash != current.hash {
		if c.changing.IsZero() {
			c.changing = now
		}
		if c.hub.announcer.flying.Load() > 0 && now.Sub(c.changing) < patience {
			return
		}
		c.changing, c.acting = time.Time{}, false
		c.view.Store(next)
		c.lastBeat = time.Time{} // the others are to hear of it at once
	} else {
		c.changing = time.Time{}
	}
	// Others may have become ready at the same moment, and not have said so yet.
	c.settled.Store(c.ready.Load() && now.Sub(c.readySince) >= c.hub.settings().Cluster.Heartbeat/2)
	acting := c.settled.Load() && c.agreed(c.view.Load())
	if acting && !c.acting {
		for _, a := range c.hub.liveApps() {
			a.transitions.review()
		}
	}
	c.acting = acting
}

// readyNodes are the other nodes that can own channels. complete says that all that
// any node has is known here.
func (c *cluster) readyNodes() (nodes []string, complete bool) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	complete = true
	for id, p := range c.peers {
		complete = complete && p.complete
		if p.ready {
			nodes = append(nodes, id)
		}
	}
	return nodes, complete
}

// doubtFacts are a subject of which a node does not know what was told.
type doubtFacts struct {
	Aspect  aspect `json:"aspect"`
	Channel string `json:"channel"`
	User    string `json:"user,omitempty"`
}

// complain asks the owners for what is due for long.
func (c *cluster) complain(now time.Time) {
	if !c.acting {
		return
	}
	for _, a := range c.hub.liveApps() {
		if subjects := a.transitions.complain(now); len(subjects) > 0 {
			c.markDoubted(a.id, subjects)
		}
	}
}

// markDoubted says to the other nodes of what this one does not know what was told.
func (c *cluster) markDoubted(app string, subjects []subject) {
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	what := c.changedLocked(app)
	what.doubted = append(what.doubted, subjects...)
}

// delay is how long to wait before telling that a subject has become value.
func (a *App) delay(s subject, value int) time.Duration {
	switch {
	case value == 0 && s.aspect != aspectCount:
		return a.hub.settings().Webhooks.Debounce
	case a.hub.cluster.active.Load():
		return spread
	}
	return 0
}
