package realtime

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// askAgain is the least time between two questions to one node.
const askAgain = time.Second

// peer is another node, with what it has told. cluster.peersMu guards it.
type peer struct {
	cluster  *cluster
	id, name string
	heard    time.Time
	// dead says that it has ended without a word.
	dead bool
	// spoke is when it was heard last, whatever this node has missed by itself since.
	spoke time.Time
	// via is when the peer was heard last through each adapter.
	via   map[storage.Clustered]time.Time
	asked time.Time
	// seq is the number of the last facts.
	seq uint64
	// telling numbers the tellings of everything. While one is under way, gapless
	// says that nothing of it was missed; complete, that one has come to its end
	// and nothing was missed since. within says that one is under way.
	telling                   uint64
	gapless, complete, within bool
	// ready and view are what the peer says with every word, see cluster_view.go.
	ready bool
	view  string
	apps  map[string]*peerApp
}

// peerApp is what a peer has told of an app. The numbers are those of the telling
// that has named a thing last.
type peerApp struct {
	sockets  int
	channels map[string]*peerChannel
	users    map[string]uint64
}

type peerChannel struct {
	telling uint64
	members map[string]uint64
}

// peerLocked is the peer that speaks. One that was not known is asked for
// everything.
func (c *cluster) peerLocked(m *control) *peer {
	p := c.peers[m.Node]
	if p == nil {
		p = &peer{cluster: c, id: m.Node, name: m.Name, via: map[storage.Clustered]time.Time{}, apps: map[string]*peerApp{}}
		c.peers[p.id] = p
		c.hub.log().Info("another node is there", zap.String("hub", c.hub.name), zap.String("node", p.name), zap.String("node_instance", p.id))
		if m.Type != controlFacts || !m.First {
			p.ask()
		}
		c.retell(p.id)
	}
	p.heard = time.Now()
	p.spoke = p.heard
	return p
}

// ask asks for everything, unless that was done just now.
func (p *peer) ask() {
	if time.Since(p.asked) < askAgain {
		return
	}
	p.asked = time.Now()
	p.cluster.changedMu.Lock()
	p.cluster.missing = append(p.cluster.missing, p.id)
	p.cluster.changedMu.Unlock()
	p.cluster.nudge()
}

// learn takes facts. They are true whatever was missed before; only what is gone
// shows at the end of a telling of everything.
func (p *peer) learn(m *control) {
	if m.Seq <= p.seq {
		return // it has come by way of another adapter too
	}
	gap := m.Seq != p.seq+1
	p.seq = m.Seq
	switch {
	case m.First:
		p.telling++
		p.gapless, p.within = true, true
	case gap:
		p.gapless, p.complete = false, false
	}
	for i := range m.Apps {
		p.learnApp(&m.Apps[i], p.within)
	}
	p.within = p.within && !m.Last
	switch {
	case m.Last && p.gapless:
		p.complete = true
		p.sweep()
	case !p.gapless && !p.complete:
		p.ask()
	}
}

func (p *peer) learnApp(f *appFacts, snapshot bool) {
	a := p.cluster.hub.appOfPeer(f.ID)
	known := p.apps[f.ID]
	if known == nil {
		known = &peerApp{channels: map[string]*peerChannel{}, users: map[string]uint64{}}
		p.apps[f.ID] = known
	}
	a.elsewhere.Add(int64(f.Sockets - known.sockets))
	known.sockets = f.Sockets
	for i := range f.Channels {
		p.learnChannel(a, known, &f.Channels[i])
	}
	for _, id := range f.Online {
		if _, twice := known.users[id]; !twice {
			a.onlineElsewhere(id, p)
		}
		known.users[id] = p.telling
	}
	for _, id := range f.Offline {
		if _, there := known.users[id]; there {
			delete(known.users, id)
			a.offlineElsewhere(id, p)
		}
	}
	for _, d := range f.Doubted {
		if p.cluster.hub.settings().Webhooks.Sink != nil {
			a.transitions.learnDoubt(subject{d.Aspect, d.Channel, d.User})
		}
	}
	for i := range f.Told {
		p.learnTold(a, &f.Told[i], snapshot)
	}
}

// retell says again what webhooks were told while a peer was out of reach.
func (c *cluster) retell(node string) {
	told := c.journal.find(node)
	if len(told) == 0 {
		return
	}
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	for s, word := range told {
		c.changedLocked(s.app).tell(s.subject, word)
	}
}

func (p *peer) learnChannel(a *App, known *peerApp, f *channelFacts) {
	ch := known.channels[f.Name]
	if ch == nil {
		if f.Count == 0 {
			return
		}
		ch = &peerChannel{members: map[string]uint64{}}
		known.channels[f.Name] = ch
	}
	ch.telling = p.telling
	for _, m := range f.Members {
		ch.members[m.UserID] = p.telling
	}
	for _, id := range f.Gone {
		delete(ch.members, id)
	}
	gone := f.Gone
	if f.Count == 0 {
		for id := range ch.members {
			gone = append(gone, id)
		}
		delete(known.channels, f.Name)
	}
	a.setElsewhere(p, f.Name, f.Count, f.Members, gone)
}

// sweep forgets what the telling that has just ended did not name.
func (p *peer) sweep() {
	for id, known := range p.apps {
		a := p.cluster.hub.appOfPeer(id)
		for name, ch := range known.channels {
			var gone []string
			for user, telling := range ch.members {
				if telling != p.telling || ch.telling != p.telling {
					gone = append(gone, user)
					delete(ch.members, user)
				}
			}
			switch {
			case ch.telling != p.telling:
				delete(known.channels, name)
				a.setElsewhere(p, name, 0, nil, gone)
			case len(gone) > 0:
				a.setElsewhere(p, name, -1, nil, gone)
			}
		}
		for user, telling := range known.users {
			if telling != p.telling {
				delete(known.users, user)
				a.offlineElsewhere(user, p)
			}
		}
	}
}

// forget removes a peer with everything it had.
func (c *cluster) forget(id, why string) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	c.forgetLocked(id, why)
}

func (c *cluster) forgetLocked(id, why string) {
	p := c.peers[id]
	if p == nil {
		return
	}
	delete(c.peers, id)
	p.telling++ // so that all it has told is of an earlier telling
	for id, known := range p.apps {
		c.hub.appOfPeer(id).elsewhere.Add(-int64(known.sockets))
	}
	p.sweep()
	c.window.forget(id)
	c.hub.log().Info("another node is gone", zap.String("hub", c.hub.name), zap.String("node", p.name), zap.String("node_instance", p.id), zap.String("why", why))
}

func (c *cluster) forgetAll(why string) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for id := range c.peers {
		c.forgetLocked(id, why)
	}
}

// doubt says that a node has died that may have told webhooks what it could not say
// to the others.
func (c *cluster) doubt() {
	for _, a := range c.hub.liveApps() {
		if doubted := a.transitions.doubt(); len(doubted) > 0 {
			c.markDoubted(a.id, doubted)
		}
	}
}

// expire forgets the peers that have said nothing for timeout.
func (c *cluster) expire(timeout time.Duration) {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	now := time.Now()
	for id, p := range c.peers {
		if now.Sub(p.heard) > timeout {
			c.journal.lose(id)
			if p.ready {
				c.doubt()
			}
			p.dead = true
			c.forgetLocked(id, "nothing was heard of it for "+timeout.String())
		}
	}
}

// NodeState is another node of the cluster, as this one knows it.
type NodeState struct {
	// Node is its node_id, and Instance names the process.
	Node     string `json:"node_id"`
	Instance string `json:"instance"`
	// Complete says that everything it has is known here.
	Complete bool `json:"complete"`
	// SilentMS is the time since it was heard last, in milliseconds.
	SilentMS int64 `json:"silent_ms"`
}

// Nodes lists the other nodes of the cluster by name.
func (h *Hub) Nodes() []NodeState {
	c := h.cluster
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	nodes := []NodeState{}
	for _, p := range c.peers {
		nodes = append(nodes, NodeState{p.name, p.id, p.complete, time.Since(p.heard).Milliseconds()})
	}
	slices.SortFunc(nodes, func(a, b NodeState) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Instance, b.Instance))
	})
	return nodes
}

// appOfPeer is the live side of an app that another node has told of. Its record
// is looked up in the background.
func (h *Hub) appOfPeer(id string) *App {
	if a := h.liveApp(id); a != nil {
		return a
	}
	a := h.addApp(&storage.App{ID: id}, 0)
	h.RefreshApp(id)
	return a
}

// setElsewhere takes what a peer has of a channel: the number of subscriptions,
// -1 for as many as before, and who has come or gone.
func (a *App) setElsewhere(p *peer, name string, count int, come []protocol.Member, gone []string) {
	ch := a.pin(protocol.ParseChannel(name))
	defer ch.unpin()
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if count >= 0 && ch.elsewhere[p] != count {
		ch.elsewhereCount += count - ch.elsewhere[p]
		if count == 0 {
			delete(ch.elsewhere, p)
		} else {
			if ch.elsewhere == nil {
				ch.elsewhere = map[*peer]int{}
			}
			ch.elsewhere[p] = count
		}
		ch.markCount()
	}
	if ch.presence == nil || count > 0 {
		ch.note() // a channel is occupied before somebody is there, and vacated after that
	}
	if ch.presence == nil {
		return
	}
	defer ch.note()
	for _, m := range come {
		ch.presence.arrive(ch, p, m)
	}
	for _, id := range gone {
		ch.presence.depart(ch, p, id)
	}
}
