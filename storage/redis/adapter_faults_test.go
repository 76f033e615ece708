package redis

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// node is an adapter with what it gets.
type node struct {
	*Adapter
	mu   sync.Mutex
	got  []string
	told []bool
}

// newNode opens an adapter that wants the given channels of the app "app".
func newNode(t *testing.T, o Options, a AdapterOptions, channels ...string) *node {
	t.Helper()
	n := &node{Adapter: openAdapter(t, o, a)}
	if _, err := n.Subscribe("hub", func(e *protocol.Envelope) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.got = append(n.got, e.Event)
	}); err != nil {
		t.Fatal(err)
	}
	n.WatchLink(func(up bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.told = append(n.told, up)
	})
	for _, channel := range channels {
		if err := n.Want(t.Context(), protocol.Topic{App: "app", Channel: channel}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

func (n *node) events() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.got)
}

func (n *node) heard() []bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.told)
}

// backAgain says that a node was told of at least one loss, and that it is over.
func (n *node) backAgain() bool {
	told := n.heard()
	return len(told) >= 2 && told[len(told)-1]
}

func (n *node) publish(t *testing.T, channel, event string) {
	t.Helper()
	if err := n.Publish(t.Context(), &protocol.Envelope{App: "app", Channel: channel, Event: event}); err != nil {
		t.Error(err)
	}
}

// exchange publishes on each node and channel until all have got something of all.
func exchange(t *testing.T, channels []string, nodes ...*node) {
	t.Helper()
	for i, from := range nodes {
		for _, channel := range channels {
			event := fmt.Sprint(channel, " of ", i, " at ", time.Now().UnixNano())
			until(t, "traffic on "+channel, func() bool {
				from.publish(t, channel, event)
				return !slices.ContainsFunc(nodes, func(to *node) bool { return !slices.Contains(to.events(), event) })
			})
		}
	}
}

// fewChannels are in slots of all three masters.
var fewChannels = []string{"a", "b", "c", "d", "e", "f", "g", "h"}

// Checklist: configuration 65
func TestAdapterMalformedMessage(t *testing.T) {
	for _, k := range adapterKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			o, a := k.start(t), k.options(t)
			one, other := newNode(t, o, a, "c"), newNode(t, o, a, "c")
			raw := connect(t, o)
			name := one.dialer.names.of(protocol.Topic{App: "app", Channel: "c"})
			publish := raw.Publish
			if k.sharded {
				publish = raw.SPublish
			}
			for _, data := range []string{"", "garbage", `{"node_id":"x","app_id":"app"}`, "\x01\x00" + strings.Repeat("\xff", 100)} {
				if err := publish(t.Context(), name, data).Err(); err != nil {
					t.Fatal(err)
				}
			}
			until(t, "count of the malformed ones", func() bool { return other.LinkStats().Malformed == 4 })
			one.publish(t, "c", "after")
			until(t, "event after the malformed ones", func() bool { return slices.Contains(other.events(), "after") })
			if s := other.LinkStats(); s.Received != 1 || !s.Up {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Checklist: configuration 68
func TestAdapterPrefixesAndDatabasesAreApart(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o, another := at(server), at(server)
	another.DB = 1
	one := AdapterOptions{Prefix: "sockudo"}
	a, b := newNode(t, o, one, "c"), newNode(t, o, one, "c")
	others := []*node{newNode(t, o, AdapterOptions{Prefix: "sockudo:"}, "c"), newNode(t, o, AdapterOptions{Prefix: "sockudo2"}, "c"), newNode(t, another, one, "c")}
	if err := a.Publish(t.Context(), &protocol.Envelope{Kind: protocol.KindControl, Event: "control"}); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "c", "event")
	for i, other := range others {
		other.publish(t, "c", fmt.Sprint("other ", i))
	}
	until(t, "events of the own cluster", func() bool { return len(b.events()) == 2 })
	exchange(t, []string{"c"}, a, b) // after what would have come
	for i, other := range others {
		if got := other.events(); !slices.Equal(got, []string{fmt.Sprint("other ", i)}) {
			t.Errorf("another cluster got %q", got)
		}
	}
	if got := b.events(); slices.ContainsFunc(got, func(e string) bool { return strings.HasPrefix(e, "other") }) {
		t.Errorf("this cluster got %q", got)
	}
}

// TestAdapterSubscribesOnlyToWhatIsWanted looks at the server: a node has the
// channels that it wants, one for all nodes and one for itself.
func TestAdapterSubscribesOnlyToWhatIsWanted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	newNode(t, at(server), AdapterOptions{Prefix: "sockudo"}, "room-1")
	channels := strings.Split(server.MustDo("PUBSUB", "CHANNELS"), "\n")
	slices.Sort(channels)
	if len(channels) != 3 || !strings.HasPrefix(channels[0], "sockudo:#0::node-") || channels[1] != "sockudo:#3:app:room-1" || channels[2] != "sockudo:#control" {
		t.Errorf("the server has %q", channels)
	}
}

// Checklist: configuration 63
func TestAdapterServerRestarts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := newNode(t, at(server), AdapterOptions{}, "c"), newNode(t, at(server), AdapterOptions{}, "c")
	for range 2 {
		server.Kill()
		until(t, "word of the loss", func() bool { return len(a.heard())%2 == 1 && len(b.heard())%2 == 1 })
		a.publish(t, "c", "lost")
		if !slices.Contains(a.events(), "lost") {
			t.Error("an event was not delivered on its own node")
		}
		if err := a.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "redis "+server.Addr()+"/0: not connected: ") {
			t.Errorf("Check while the server is away: %v", err)
		}
		server.Restart()
		until(t, "word that the server is back", func() bool { return len(a.heard())%2 == 0 && len(b.heard())%2 == 0 })
		exchange(t, []string{"c"}, a, b)
	}
	if got := b.events(); slices.Contains(got, "lost") {
		t.Errorf("what was published without a server came: %q", got)
	}
	if s := a.LinkStats(); s.Driver != "redis" || s.Reconnects != 2 || s.Dropped == 0 {
		t.Errorf("%+v", s)
	}
}

// TestAdapterConnectionsKilled loses either connection, as by CLIENT KILL or by a
// client-output-buffer-limit.
func TestAdapterConnectionsKilled(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := newNode(t, at(server), AdapterOptions{}, "c"), newNode(t, at(server), AdapterOptions{}, "c")
	for round, kind := range []string{"pubsub", "normal"} {
		server.MustDo("CLIENT", "KILL", "TYPE", kind)
		until(t, "word of the loss and its end", func() bool { return len(a.heard()) == 2*round+2 && len(b.heard()) == 2*round+2 })
		exchange(t, []string{"c"}, a, b)
		for _, n := range []*node{a, b} {
			if s := n.LinkStats(); s.Reconnects != uint64(round+1) || !s.Up {
				t.Errorf("after %s: %+v", kind, s)
			}
		}
	}
	if n := strings.Count(server.MustDo("CLIENT", "LIST"), "id="); n != 5 { // and the one that asks
		t.Errorf("%d connections are left", n)
	}
}

// TestAdapterFrozenServer loses a server that keeps its connections and says
// nothing.
func TestAdapterFrozenServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	options := AdapterOptions{Tuning: relay.Tuning{AnswerTimeout: time.Second}}
	a, b := newNode(t, at(server), options, "c"), newNode(t, at(server), options, "c")
	server.Freeze()
	until(t, "word of the loss", func() bool { return len(a.heard()) == 1 && len(b.heard()) == 1 })
	server.Thaw()
	until(t, "word that the server is back", func() bool { return a.backAgain() && b.backAgain() })
	exchange(t, []string{"c"}, a, b)
}

func TestAdapterTooLarge(t *testing.T) {
	t.Parallel()
	a := newNode(t, standing(t), AdapterOptions{Prefix: ownPrefix(t, standing(t))})
	e := &protocol.Envelope{App: "app", Channel: "c", Event: "large", Data: make([]byte, maxEnvelope)}
	if err := a.Publish(t.Context(), e); a.MaxSize() != maxEnvelope || !errors.Is(err, storage.ErrTooLarge) || len(a.events()) > 0 {
		t.Errorf("an envelope above %d bytes: %v", a.MaxSize(), err)
	}
}

// TestAdapterCloseEndsEverything counts goroutines, in whatever state the
// connections are.
func TestAdapterCloseEndsEverything(t *testing.T) {
	server := redistest.Start(t)
	proxy := outage.NewProxy(t, server.Addr())
	before := runtime.NumGoroutine()
	for name, disturb := range map[string]func(){"well": func() {}, "stalled": proxy.Stall, "cut": proxy.Cut} {
		a, err := OpenAdapter(context.Background(), Options{Addresses: []string{proxy.Addr()}}, AdapterOptions{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			if err := a.Want(t.Context(), protocol.Topic{App: "app", Channel: strconv.Itoa(i)}); err != nil {
				t.Fatal(err)
			}
		}
		disturb()
		large := &protocol.Envelope{App: "app", Channel: "c", Data: make([]byte, 500<<10)}
		for range 20 { // more than fits between here and the server
			if err := a.Publish(t.Context(), large); err != nil {
				t.Error(err)
			}
		}
		start := time.Now()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: Close took %v", name, took)
		}
		proxy.Mend()
	}
	until(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}
