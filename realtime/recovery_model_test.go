package realtime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// pursuer is a client that keeps positions as the official one does, comes back to
// any node, and checks what it is told: as long as nobody has said that it may have
// missed something, its serials follow each other without a gap.
type pursuer struct {
	t    *testing.T
	name string
	peer *peer
	// at is the position on each channel, without a stream where there is none.
	at map[string]protocol.Position
	// told counts what has been said: resumed, failed.
	resumed, failed int
	got, cold       int
	ids             map[string]string // message ids by stream and serial
}

// read takes all frames that have come.
func (c *pursuer) read() {
	c.peer.mu.Lock()
	frames := c.peer.frames[c.peer.seen:]
	c.peer.seen = len(c.peer.frames)
	c.peer.mu.Unlock()
	for _, text := range frames {
		c.take(parseFrame(c.t, text))
	}
}

func (c *pursuer) take(f frame) {
	at, known := c.at[f.Channel]
	switch f.Event {
	case "sockudo_internal:subscription_succeeded":
		if !known && f.Serial != nil {
			c.at[f.Channel] = protocol.Position{Channel: f.Channel, StreamID: f.StreamID, Serial: *f.Serial}
		}
	case "sockudo:resume_failed":
		c.failed++
		delete(c.at, f.Channel)
	case "sockudo:resume_success":
		var result protocol.ResumeSuccess
		if err := json.Unmarshal([]byte(f.text()), &result); err != nil {
			c.t.Error(err)
		}
		for _, r := range result.Recovered {
			c.resumed++
			if r.Source == "cold" {
				c.cold++
			}
			if at := c.at[r.Channel]; at.StreamID != r.Position.StreamID || at.Serial != r.Position.Serial {
				c.t.Errorf("%s is told that it has resumed %s at %d, and has %d", c.name, r.Channel, r.Position.Serial, at.Serial)
			}
		}
	case "e", "sockudo:message.append":
		if f.Serial == nil {
			return
		}
		c.got++
		key := fmt.Sprint(f.StreamID, "/", *f.Serial)
		if id := c.ids[key]; id != "" && id != f.MessageID {
			c.t.Errorf("%s: %s is %s and %s", c.name, key, id, f.MessageID)
		}
		c.ids[key] = f.MessageID
		if known && (f.StreamID != at.StreamID || *f.Serial != at.Serial+1) {
			c.t.Errorf("%s on %s: %d of %s comes after %d of %s, and nobody has said why; missing is %q\n%s", c.name, f.Channel, *f.Serial, f.StreamID[:4], at.Serial, at.StreamID[:4], c.ids[fmt.Sprint(f.StreamID, "/", *f.Serial-1)], strings.Join(c.peer.frames[max(0, c.peer.seen-12):c.peer.seen], "\n"))
		}
		c.at[f.Channel] = protocol.Position{Channel: f.Channel, StreamID: f.StreamID, Serial: *f.Serial, LastMessageID: f.MessageID}
	}
}

// connect comes to a node and goes on where it was. Either the resume or the
// subscriptions come first.
func (c *pursuer) connect(n *clusterNode, channels []string, subscribeFirst bool) bool {
	p, e := n.tryDial(realtime.Handshake{Key: "app-key", Terms: terms(c.t, "")})
	if e != nil {
		return false
	}
	c.peer = p
	var positions []protocol.Position
	for _, at := range c.at {
		positions = append(positions, at)
	}
	if !subscribeFirst && len(positions) > 0 {
		p.resume(positions...)
	}
	for _, ch := range channels {
		p.subscribe(ch, "")
	}
	if subscribeFirst && len(positions) > 0 {
		p.resume(positions...)
	}
	return true
}

// chaos is a cluster of which anything may fail, and its clients.
type chaos struct {
	t       *testing.T
	rng     *rand.Rand
	bus     *bus
	cache   storage.Cache
	streams *sharedStreams
	history *slowHistory
	nodes   []*clusterNode
	clients []*pursuer
	started int
	// accepted are the events that were answered with success.
	accepted, refused int
}

func (c *chaos) change(_ *storage.App, s *realtime.Settings) {
	s.Recovery.Enabled, s.Recovery.BufferSize = true, 60
	if c.streams != nil {
		s.Drivers.Streams = c.streams
	}
	if c.history != nil {
		s.Drivers.History, s.History.Enabled, s.Versions.Enabled = c.history, true, true
		s.Recovery.BufferSize = 400 // more than all, so that only the history knows whether it leads on
		s.Recovery.MaxBytes = 8 << 10
	}
}

func (c *chaos) start() *clusterNode {
	c.started++
	n := joinCluster(c.t, c.bus, c.cache, c.started, func(a *storage.App, s *realtime.Settings) {
		s.Log = zaptest.NewLogger(c.t, zaptest.Level(zap.WarnLevel))
		c.change(a, s)
		a.Features.SubscriptionCount = false
	})
	return n
}

var modelChannels = []string{"a", "b", "private-c"}

// step does one thing at random.
func (c *chaos) step() {
	t, n := c.t, c.nodes[c.rng.IntN(len(c.nodes))]
	switch dice := c.rng.IntN(100); {
	case dice < 62:
		var wg sync.WaitGroup
		begun := c.accepted + c.refused
		for i := range 1 + c.rng.IntN(4) {
			n, channel := c.nodes[c.rng.IntN(len(c.nodes))], modelChannels[c.rng.IntN(len(modelChannels))]
			number := begun + i
			wg.Go(func() {
				err := c.say(n, channel, number)
				c.bus.mu.Lock()
				defer c.bus.mu.Unlock()
				if err == nil {
					c.accepted++
				} else {
					c.refused++
				}
			})
		}
		wg.Wait()
	case dice < 82: // a client is lost, or leaves, and comes back somewhere
		client := c.clients[c.rng.IntN(len(c.clients))]
		c.restart(client, c.nodes[c.rng.IntN(len(c.nodes))])
	case dice < 87: // the network is divided, and one again
		n.bus.move(c.rng.IntN(2))
	case dice < 90:
		for _, n := range c.nodes {
			n.bus.move(0)
		}
	case dice < 92: // a reload
		log := n.settings.Log
		s := n.newSettings(func(a *storage.App, s *realtime.Settings) { c.change(a, s); s.Log = log })
		s.NodeID, s.Cluster = n.settings.NodeID, n.settings.Cluster
		n.load(s)
	case dice < 94: // a node is killed, and another one comes
		c.kill(n)
	case dice < 96:
		n.bus.mu.Lock()
		n.bus.slow.Store(int64(time.Duration(c.rng.IntN(20)) * time.Millisecond))
		n.bus.mu.Unlock()
	case dice < 97 && c.history != nil:
		c.history.fail.Store(true)
		time.Sleep(time.Duration(c.rng.IntN(150)) * time.Millisecond)
		c.history.fail.Store(false)
	case dice < 98 && c.history != nil:
		c.reset(n, modelChannels[c.rng.IntN(len(modelChannels))])
	case dice < 97 && c.streams != nil:
		c.streams.setDown(true)
		time.Sleep(time.Duration(c.rng.IntN(150)) * time.Millisecond)
		c.streams.setDown(false)
	case dice < 98 && c.streams != nil:
		c.streams.forget(0)
	default:
		time.Sleep(time.Duration(c.rng.IntN(30)) * time.Millisecond)
	}
	for _, client := range c.clients {
		client.read()
	}
	if t.Failed() {
		t.FailNow()
	}
}

// say publishes an event. With history, every third one is changed at once.
func (c *chaos) say(n *clusterNode, channel string, number int) error {
	live, err := n.hub.Live()
	if err != nil {
		return err
	}
	defer live.Release()
	r, err := live.Publish(context.Background(), n.app(), realtime.Event{Channel: channel, Name: "e", Data: json.RawMessage(fmt.Sprintf(`"%d"`, number))})
	if err != nil || r.Revision == nil || number%3 != 0 {
		return err
	}
	change := appends(r.Revision.Message, "+")
	_, err = live.Change(context.Background(), n.app(), channel, &change)
	if errors.Is(err, realtime.ErrNoMessage) {
		return nil // the history has begun anew
	}
	return err
}

// reset begins the history of a channel anew, as an operator does.
func (c *chaos) reset(n *clusterNode, channel string) {
	live, err := n.hub.Live()
	if err != nil {
		c.t.Fatal(err)
	}
	defer live.Release()
	if err := c.history.Reset(context.Background(), history.Key(n.app().ID, channel), protocol.NewMessageID()); err != nil {
		c.t.Fatal(err)
	}
	_ = live.HistoryReset(context.Background(), n.app(), channel) // whoever does not hear of it finds out
}

func (c *chaos) restart(client *pursuer, n *clusterNode) {
	client.peer.conn.Disconnect(c.rng.IntN(2) == 0)
	client.read()
	if c.rng.IntN(2) == 0 {
		time.Sleep(time.Duration(c.rng.IntN(10)) * time.Millisecond)
	}
	client.connect(n, modelChannels, false)
}

func (c *chaos) kill(n *clusterNode) {
	n.bus.kill()
	i := 0
	for c.nodes[i] != n {
		i++
	}
	c.nodes[i] = c.start()
	for _, client := range c.clients {
		if !strings.HasPrefix(client.name, n.settings.NodeID+" ") && c.rng.IntN(2) == 0 {
			continue
		}
		c.restart(client, c.nodes[c.rng.IntN(len(c.nodes))])
	}
	for _, client := range c.clients { // nobody stays on a node that is no more
		c.restart(client, c.nodes[c.rng.IntN(len(c.nodes))])
	}
}

// settle lets everything reach everybody, and checks that all clients are at the end
// of each channel.
func (c *chaos) settle() {
	for _, n := range c.nodes {
		n.bus.move(0)
		n.bus.mu.Lock()
		n.bus.slow.Store(0)
		n.bus.mu.Unlock()
	}
	for _, channel := range modelChannels {
		for _, n := range c.nodes {
			if err := n.trySay(realtime.Event{Channel: channel, Name: "e", Data: json.RawMessage(`"end"`)}); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	until(c.t, "end of all channels", func() bool {
		ends := map[string]map[protocol.Position]bool{}
		for _, client := range c.clients {
			client.read()
			for _, channel := range modelChannels {
				at := client.at[channel]
				at.LastMessageID = ""
				if ends[channel] == nil {
					ends[channel] = map[protocol.Position]bool{}
				}
				ends[channel][at] = true
			}
		}
		for _, at := range ends {
			if (c.streams != nil || c.history != nil) && len(at) != 1 {
				return false // all have the same position
			}
		}
		return true
	})
}

func runChaos(t *testing.T, seed uint64, streams *sharedStreams, past *slowHistory, steps int) *chaos {
	c := &chaos{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)),
		bus: new(bus), cache: memory.NewCache(memory.CacheOptions{}), streams: streams, history: past,
	}
	for range 3 {
		c.nodes = append(c.nodes, c.start())
	}
	ids := map[string]string{}
	for i := range 6 {
		client := &pursuer{t: t, name: fmt.Sprintf("client %d", i), at: map[string]protocol.Position{}, ids: ids}
		client.connect(c.nodes[i%3], modelChannels, false)
		c.clients = append(c.clients, client)
	}
	for range steps {
		c.step()
	}
	c.settle()
	return c
}

// Whoever is told that it has resumed has everything once and in order, and whoever
// has missed something is told so: over lost connections, other nodes, a divided
// network, kills, reloads, a store that is down and a store that has forgotten.
//
// Checklist: protocol 209, 212
// Checklist: http-api 115
func TestRecoveryModel(t *testing.T) {
	for _, kept := range []string{"by nobody", "in a cache", "in a history"} {
		t.Run("kept "+kept, func(t *testing.T) {
			resumed, failed, got, cold := 0, 0, 0, 0
			for range 4 {
				seed := rand.Uint64()
				var streams *sharedStreams
				var past *slowHistory
				switch kept {
				case "in a cache":
					streams = &sharedStreams{}
				case "in a history":
					past = &slowHistory{History: memory.NewHistory(0)}
				}
				t.Logf("seed %d", seed)
				c := runChaos(t, seed, streams, past, 250)
				for _, client := range c.clients {
					resumed, failed, got, cold = resumed+client.resumed, failed+client.failed, got+client.got, cold+client.cold
				}
			}
			t.Logf("%d events, %d channels resumed, %d of them from the history, %d not", got, resumed, cold, failed)
			if resumed == 0 || failed == 0 || got == 0 || (cold == 0) == (kept == "in a history") {
				t.Error("the schedules have not shown everything")
			}
		})
	}
}
