package realtime

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// gatherFacts is the least time between two tellings of facts, in which changes
	// are gathered.
	gatherFacts = 10 * time.Millisecond
	// gatherSnapshots is the least time between two tellings of everything.
	gatherSnapshots = 250 * time.Millisecond
	// lookAtPeers is how often the cluster looks whether anything is due.
	lookAtPeers = 50 * time.Millisecond
	// controlTimeout bounds one word to the other nodes.
	controlTimeout = 2 * time.Second
)

// cluster is a hub's part in a cluster. Every node tells the others what it has,
// channel by channel and user by user, and keeps what they tell. What is true of
// the cluster is then the union of what each node says, which every node can see
// by itself: nobody decides for others, and nobody is asked.
//
// What a node tells are facts, not events: "five subscriptions here", not "one
// more". They are numbered, and who has missed one asks for all of them.
//
// Lock order: peersMu, App.shard.mu, channel.mu, App.usersMu, changedMu. No lock is
// held while the adapter is called.
type cluster struct {
	hub *Hub
	// self is the id of this hub, which no other ever has.
	self string
	// active says that this node exchanges facts with others.
	active atomic.Bool
	// published numbers envelopes.
	published atomic.Uint64
	// happened numbers events for webhooks.
	happened atomic.Uint64
	// ready says that this node knows enough to own channels, and view is who does.
	ready atomic.Bool
	// settled says that the others have heard of it.
	settled atomic.Bool
	view    atomic.Pointer[view]
	journal journal
	window  window4k
	started sync.Once

	linksMu sync.Mutex
	links   []link
	// each is the adapters of links, each once.
	each atomic.Pointer[[]storage.Clustered]
	// parting is until when an adapter that was left may still deliver what it had, by the
	// clock.
	parting atomic.Int64
	// epoch counts the changes of links; zero while there never was one.
	epoch atomic.Uint64
	// since is when this node has begun to hear others, or has lost them for the last
	// time, in nanoseconds of the clock.
	since atomic.Int64

	peersMu sync.Mutex
	peers   map[string]*peer

	changedMu sync.Mutex
	changed   map[string]*changedApp // by app id, what is to be told
	everybody bool                   // everything is to be told
	greet     bool                   // everything of everybody is to be asked for
	missing   []string               // nodes whose facts have gaps
	wake      chan struct{}

	// What follows is used by the loop alone.
	told         uint64 // the number of the last facts
	lastSnapshot time.Time
	lastBeat     time.Time
	joined       time.Time // the cluster
	changing     time.Time // since when there is a new view
	readySince   time.Time
	acting       bool // all have the same view
}

// link is an adapter between nodes that a configuration uses.
type link struct {
	generation uint64
	adapter    storage.Clustered
	stop       func()
}

func newCluster(h *Hub) *cluster {
	return &cluster{
		hub: h, self: rand.Text(), peers: map[string]*peer{}, changed: map[string]*changedApp{}, wake: make(chan struct{}, 1),
	}
}

// join begins to use the adapter of a configuration, which is not current yet.
// The other nodes hear of this one, and it asks for what is wanted here.
func (c *cluster) join(generation uint64, adapter storage.Clustered) {
	stop := adapter.WatchLink(func(up bool) {
		if up {
			c.hears()
			c.resync()
			c.hub.catchUpStreams()
		}
	})
	c.linksMu.Lock()
	if len(c.links) == 0 {
		c.hears()
	}
	c.links = append(c.links, link{generation, adapter, stop})
	c.eachLocked()
	c.epoch.Add(1)
	c.linksMu.Unlock()
	c.wantAll(adapter)
	c.refresh()
	c.started.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		stopped := make(chan struct{})
		c.hub.endCluster = func(bounded context.Context) {
			cancel()
			<-stopped
			if c.active.Load() {
				c.bequeath()
				c.speak(bounded) // what was told last
				c.say(bounded, &control{Type: controlBye})
			}
		}
		go func() {
			defer close(stopped)
			c.run(ctx)
		}()
	})
}

// refresh begins or ends the exchange of facts, as the current settings want it.
func (c *cluster) refresh() {
	s := c.hub.settings()
	_, between := s.Drivers.Adapter.(storage.Clustered)
	on := between && !s.Cluster.Off
	was := c.active.Swap(on)
	if on && !was {
		c.hears()
	}
	switch {
	case on && len(c.adapters()) > 0: // also when it was on: the adapter may be another
		c.resync()
	case was && !on:
		ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
		defer cancel()
		c.say(ctx, &control{Type: controlBye})
		c.forgetAll("nodes do not exchange facts any more")
	}
}

// leave ends the use of the adapter of a configuration.
func (c *cluster) leave(generation uint64) {
	c.parting.Store(clock() + overlapLag.Milliseconds()) // before the adapter is left
	c.linksMu.Lock()
	defer c.linksMu.Unlock()
	c.links = slices.DeleteFunc(c.links, func(l link) bool {
		if l.generation == generation {
			l.stop()
		}
		return l.generation == generation
	})
	c.eachLocked()
}

// adapters are those in use: one, but for the time of a change.
func (c *cluster) adapters() []storage.Clustered {
	if each := c.each.Load(); each != nil {
		return *each
	}
	return nil
}

func (c *cluster) eachLocked() {
	list := make([]storage.Clustered, 0, len(c.links))
	for _, l := range c.links {
		if !slices.Contains(list, l.adapter) {
			list = append(list, l.adapter)
		}
	}
	c.each.Store(&list)
}

// resync tells everything and asks everybody for everything: something may have
// been missed on either side.
func (c *cluster) resync() {
	c.changedMu.Lock()
	c.everybody, c.greet = true, true
	c.changedMu.Unlock()
	c.nudge()
}

func (c *cluster) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run tells the other nodes what changes here, and looks after them, until ctx
// ends.
func (c *cluster) run(ctx context.Context) {
	c.joined = time.Now()
	ticker := time.NewTicker(lookAtPeers)
	defer ticker.Stop()
	last := time.Now()
	var looked time.Time
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-c.wake:
		}
		c.hub.guard("the cluster", func() {
			if !c.active.Load() {
				return
			}
			settings := c.hub.settings().Cluster
			if now := time.Now(); now.Sub(last) > settings.NodeTimeout/2 {
				c.slept(now)
			}
			c.lookAtView(time.Now())
			c.speak(ctx)
			if time.Since(looked) >= settings.Cleanup {
				looked = time.Now()
				c.expire(settings.NodeTimeout)
				c.pruneTold(looked, 2*settings.NodeTimeout)
				c.complain(looked)
				answered := c.answered(looked, settings.NodeTimeout)
				for _, a := range c.hub.liveApps() {
					a.transitions.answer(answered)
				}
			}
		})
		last = time.Now()
		wait.For(ctx, gatherFacts)
	}
}

// slept is called when this node stood still for long, so that others may have
// given it up: what it has heard by now says nothing about them.
func (c *cluster) slept(now time.Time) {
	c.hears()
	c.peersMu.Lock()
	for _, p := range c.peers {
		p.heard, p.view = now, ""
	}
	c.peersMu.Unlock()
	c.resync()
}

// speak says what is due.
func (c *cluster) speak(ctx context.Context) {
	c.changedMu.Lock()
	changed, everybody, greet, missing := c.changed, c.everybody, c.greet, c.missing
	wait := everybody && time.Since(c.lastSnapshot) < gatherSnapshots
	if wait {
		everybody = false
	}
	c.changed, c.greet, c.missing = map[string]*changedApp{}, false, nil
	c.everybody = c.everybody && wait
	c.changedMu.Unlock()
	if everybody {
		// Everything is told below, but for what was told of what is no more.
		changed = onlyTold(changed)
	}
	if len(changed) > 0 {
		c.tell(ctx, changed) // before the others hear of a new view
	}
	if greet {
		c.say(ctx, &control{Type: controlHello})
	}
	for _, node := range missing {
		c.say(ctx, &control{Type: controlAsk, To: node})
	}
	if everybody {
		c.lastSnapshot = time.Now()
		c.tellAll(ctx)
	}
	if time.Since(c.lastBeat) >= c.hub.settings().Cluster.Heartbeat {
		c.lastBeat = time.Now()
		c.say(ctx, &control{Type: controlBeat, Seq: c.told})
	}
}

// say publishes one word to the other nodes. One that is lost shows in the
// numbers of those that follow.
func (c *cluster) say(ctx context.Context, m *control) {
	live, err := c.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	m.Node, m.Name, m.Ready = c.self, live.Settings.NodeID, c.ready.Load()
	if v := c.view.Load(); v != nil && m.Type == controlBeat {
		m.View = v.hash
	}
	data, err := json.Marshal(m)
	if err != nil {
		live.Settings.Log.Error("encoding a word to other nodes", zap.Error(err))
		return
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	e := &protocol.Envelope{Kind: protocol.KindControl, Data: data, Node: c.self}
	for _, adapter := range c.adapters() {
		if err := adapter.Publish(ctx, e); err != nil {
			live.Settings.Log.Warn("telling other nodes", zap.String("hub", c.hub.name), zap.Error(err))
		}
	}
}
