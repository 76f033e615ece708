package realtime

import (
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The words that nodes say to each other.
const (
	// controlHello asks everybody for everything.
	controlHello = "hello"
	// controlAsk asks one node, To, for everything.
	controlAsk = "ask"
	// controlBeat says that a node is alive, and the number of its last facts.
	controlBeat = "beat"
	// controlFacts tells facts.
	controlFacts = "facts"
	// controlBye says that a node ends, with everything it had.
	controlBye = "bye"
)

// maxFacts is the size of one telling above which another begins, in bytes. It
// stays below what engines take, which is 1 MiB at the least.
const maxFacts = 128 << 10

// control is one word of a node to the others.
type control struct {
	Type string `json:"type"`
	// Node is who speaks, and Name what its configuration calls it.
	Node string `json:"node"`
	Name string `json:"name,omitempty"`
	// To is who is asked.
	To string `json:"to,omitempty"`
	// Seq numbers facts, one after the other.
	Seq uint64 `json:"seq,omitempty"`
	// First and Last enclose a telling of everything: what a node has told before
	// and does not tell in between is true no more.
	First bool       `json:"first,omitempty"`
	Last  bool       `json:"last,omitempty"`
	Apps  []appFacts `json:"apps,omitempty"`
	// Ready says that the node can own channels, and View, in a beat, what it takes for
	// the nodes that can.
	Ready bool   `json:"ready,omitempty"`
	View  string `json:"view,omitempty"`
}

// appFacts are those of one app on one node.
type appFacts struct {
	ID string `json:"id"`
	// Sockets is the number of open connections.
	Sockets  int            `json:"sockets"`
	Channels []channelFacts `json:"channels,omitempty"`
	// Online and Offline are users who have, or have no, signed-in connection.
	Online  []string `json:"online,omitempty"`
	Offline []string `json:"offline,omitempty"`
	// Told is what webhooks were told.
	Told []toldFacts `json:"told,omitempty"`
	// Doubted is of what nobody knows what webhooks were told.
	Doubted []doubtFacts `json:"doubted,omitempty"`
}

// channelFacts are those of one channel on one node.
type channelFacts struct {
	Name string `json:"name"`
	// Count is the number of subscriptions.
	Count int `json:"count"`
	// Members are users who are present, Gone those who are not any more.
	Members []protocol.Member `json:"members,omitempty"`
	Gone    []string          `json:"gone,omitempty"`
	// size is about what the facts take, in bytes.
	size int
}

// hear takes a word of another node. An adapter calls it one word after the other.
func (c *cluster) hear(e *protocol.Envelope, via storage.Clustered) {
	if e.Node == c.self || !c.active.Load() {
		return
	}
	var m control
	if err := json.Unmarshal(e.Data, &m); err != nil || m.Node == "" || m.Node != e.Node {
		c.hub.log().Warn("another node said what cannot be understood", zap.String("hub", c.hub.name), zap.Error(err))
		return
	}
	switch m.Type {
	case controlBye:
		c.forget(m.Node, "it has left")
		return
	case controlHello:
		c.tellEverybody()
	case controlAsk:
		if m.To == c.self {
			c.tellEverybody()
		}
	}
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	p := c.peerLocked(&m)
	p.ready = m.Ready
	p.via[via] = time.Now()
	switch m.Type {
	case controlFacts:
		p.learn(&m)
	case controlBeat:
		p.view = m.View
		if m.Seq != p.seq || !p.complete {
			p.ask()
		}
	}
}

func (c *cluster) tellEverybody() {
	c.changedMu.Lock()
	c.everybody = true
	c.changedMu.Unlock()
	c.nudge()
}

// tellAll tells everything that is true here.
func (c *cluster) tellAll(ctx context.Context) {
	t := teller{cluster: c, first: true}
	for _, a := range c.hub.liveApps() {
		t.app(ctx, a)
		for _, name := range a.occupiedHere() {
			t.channel(ctx, a.localFacts(name, nil))
		}
		t.users(ctx, a.onlineHere(), nil)
		for _, f := range a.toldHere(c.owners()) {
			t.told(ctx, f)
		}
		for _, f := range toldFactsOf(c.journal.of(a.id)) {
			f.Owned = true
			t.told(ctx, f)
		}
	}
	t.last = true
	t.flush(ctx)
}

// tell tells what has changed.
func (c *cluster) tell(ctx context.Context, changed map[string]*changedApp) {
	t := teller{cluster: c}
	for id, what := range changed {
		a := c.hub.liveApp(id)
		if a == nil {
			continue
		}
		t.app(ctx, a)
		for name, users := range what.channels {
			t.channel(ctx, a.localFacts(name, users))
		}
		online, offline := a.whoIsOnline(what.users)
		t.users(ctx, online, offline)
		for _, f := range toldFactsOf(what.told) {
			t.told(ctx, f)
		}
		for _, s := range what.doubted {
			t.room(ctx, len(s.channel)+len(s.user)+32)
			app := &t.apps[len(t.apps)-1]
			app.Doubted = append(app.Doubted, doubtFacts{s.aspect, s.channel, s.user})
		}
	}
	t.flush(ctx)
}

// teller says facts, in as many words as their size demands.
type teller struct {
	cluster     *cluster
	first, last bool
	apps        []appFacts
	size        int
}

// app begins the facts of an app.
func (t *teller) app(ctx context.Context, a *App) {
	t.room(ctx, len(a.id)+64)
	t.apps = append(t.apps, appFacts{ID: a.id, Sockets: int(a.sockets.Load())})
}

// room makes room for facts of a size, and goes on with the app that was begun.
func (t *teller) room(ctx context.Context, size int) {
	if t.size > 0 && t.size+size > maxFacts {
		begun := t.apps[len(t.apps)-1]
		t.flush(ctx)
		t.apps = []appFacts{{ID: begun.ID, Sockets: begun.Sockets}}
	}
	t.size += size
}

func (t *teller) channel(ctx context.Context, facts channelFacts) {
	for {
		members := facts.Members
		part := facts
		part.Members, part.size = nil, len(facts.Name)+48
		for len(members) > 0 && part.size < maxFacts/2 {
			part.Members = append(part.Members, members[0])
			part.size += len(members[0].UserID) + len(members[0].Info) + 32
			members = members[1:]
		}
		for _, id := range part.Gone {
			part.size += len(id) + 4
		}
		t.room(ctx, part.size)
		app := &t.apps[len(t.apps)-1]
		app.Channels = append(app.Channels, part)
		if len(members) == 0 {
			return
		}
		facts.Members, facts.Gone = members, nil
	}
}

func (t *teller) users(ctx context.Context, online, offline []string) {
	for _, id := range online {
		t.room(ctx, len(id)+4)
		app := &t.apps[len(t.apps)-1]
		app.Online = append(app.Online, id)
	}
	for _, id := range offline {
		t.room(ctx, len(id)+4)
		app := &t.apps[len(t.apps)-1]
		app.Offline = append(app.Offline, id)
	}
}

// told says what webhooks were told of a channel, in parts if it has many members.
func (t *teller) told(ctx context.Context, f toldFacts) {
	for {
		part := toldFacts{Name: f.Name, Occupied: f.Occupied, Count: f.Count, Owned: f.Owned, At: f.At}
		size := len(f.Name) + 64
		for size < maxFacts/2 && len(f.In)+len(f.Out) > 0 {
			from, to := &f.In, &part.In
			if len(f.In) == 0 {
				from, to = &f.Out, &part.Out
			}
			*to = append(*to, (*from)[0])
			size += len((*from)[0]) + 4
			*from = (*from)[1:]
		}
		t.room(ctx, size)
		app := &t.apps[len(t.apps)-1]
		app.Told = append(app.Told, part)
		if len(f.In)+len(f.Out) == 0 {
			return
		}
	}
}

func (t *teller) flush(ctx context.Context) {
	if len(t.apps) == 0 && !t.first && !t.last {
		return
	}
	t.cluster.told++
	t.cluster.say(ctx, &control{Type: controlFacts, Seq: t.cluster.told, First: t.first, Last: t.last, Apps: t.apps})
	t.apps, t.size, t.first, t.last = nil, 0, false, false
}
