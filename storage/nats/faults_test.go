package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

const patience = 30 * time.Second

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: no %s", patience, what)
		}
	}
}

// node is an adapter with what it gets.
type node struct {
	*Adapter
	mu   sync.Mutex
	got  []string
	told []bool
}

func newNode(t *testing.T, o Options) *node {
	t.Helper()
	n := &node{Adapter: openAdapter(t, o)}
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
	if err := n.Want(t.Context(), protocol.Topic{App: "app", Channel: "c"}); err != nil {
		t.Fatal(err)
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

func (n *node) publish(t *testing.T, event string) {
	t.Helper()
	if err := n.Publish(t.Context(), &protocol.Envelope{App: "app", Channel: "c", Event: event}); err != nil {
		t.Error(err)
	}
}

// exchange publishes on each node until all have got something of all.
func exchange(t *testing.T, nodes ...*node) {
	t.Helper()
	for i, from := range nodes {
		event := fmt.Sprint("hello of ", i, " at ", time.Now().UnixNano())
		eventually(t, "traffic", func() bool {
			from.publish(t, event)
			return !slices.ContainsFunc(nodes, func(to *node) bool { return !slices.Contains(to.events(), event) })
		})
	}
}

// Checklist: configuration 65
func TestMalformedMessage(t *testing.T) {
	o := Options{Servers: []string{machine()}, Prefix: unique()}
	a, b := newNode(t, o), newNode(t, o)
	raw, err := nats.Connect(machine())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, data := range []string{"", "garbage", `{"node_id":"x","app_id":"app"}`, "\x01\x00" + strings.Repeat("\xff", 100)} {
		if err := raw.Publish(subjectOf(o.Prefix, protocol.Topic{App: "app", Channel: "c"}), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.Flush(); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "after")
	eventually(t, "event after the malformed ones", func() bool { return slices.Contains(b.events(), "after") })
	if s := b.LinkStats(); s.Malformed != 4 || s.Received != 1 || !s.Up {
		t.Errorf("%+v", s)
	}
}

// Checklist: configuration 68
func TestPrefixesAreApart(t *testing.T) {
	one, other := Options{Servers: []string{machine()}, Prefix: unique()}, Options{Servers: []string{machine()}}
	other.Prefix = one.Prefix + ".more"
	a, b, c := newNode(t, one), newNode(t, one), newNode(t, other)
	control := &protocol.Envelope{Kind: protocol.KindControl, Event: "control"}
	if err := a.Publish(t.Context(), control); err != nil {
		t.Fatal(err)
	}
	a.publish(t, "event")
	c.publish(t, "other")
	eventually(t, "events of the own cluster", func() bool { return len(b.events()) == 2 })
	// Those of the other cluster would have come by now, or come with these.
	exchange(t, a, b)
	if got := c.events(); !slices.Equal(got, []string{"other"}) {
		t.Errorf("the other cluster got %q", got)
	}
	if got := b.events(); slices.Contains(got, "other") {
		t.Errorf("this cluster got %q", got)
	}
}

func TestMaxPayload(t *testing.T) {
	s := natstest.Start(t, "max_payload: 2048")
	a, b := newNode(t, at(s)), newNode(t, at(s))
	if a.MaxSize() != 2048 {
		t.Errorf("MaxSize is %d", a.MaxSize())
	}
	e := &protocol.Envelope{App: "app", Channel: "c", Event: "large", Data: json.RawMessage(strings.Repeat("1", 2048))}
	if err := a.Publish(t.Context(), e); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("a large envelope: %v", err)
	}
	small := *e
	small.Event, small.Data = "exact", nil
	empty := &small
	empty.Data = json.RawMessage{}
	header := 14 + len(empty.AppendBinary(nil)) + 1 // with a length of two bytes
	empty.Data = json.RawMessage(strings.Repeat("1", 2048-header))
	if err := a.Publish(t.Context(), empty); err != nil {
		t.Errorf("an envelope of exactly the size: %v", err)
	}
	eventually(t, "the envelope of exactly the size", func() bool { return slices.Contains(b.events(), "exact") })
	empty.Data = append(empty.Data, '1')
	if err := a.Publish(t.Context(), empty); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("an envelope of a byte more: %v", err)
	}
	if got := append(a.events(), b.events()...); !slices.Equal(got, []string{"exact", "exact"}) {
		t.Errorf("delivered %q", got)
	}
}

// Checklist: configuration 63
func TestServerKilledAndRestarted(t *testing.T) {
	s := natstest.Start(t, "")
	a, b := newNode(t, at(s)), newNode(t, at(s))
	exchange(t, a, b)
	for range 2 {
		s.Kill()
		eventually(t, "word of the loss", func() bool { return len(a.heard())%2 == 1 && len(b.heard())%2 == 1 })
		a.publish(t, "lost")
		if !slices.Contains(a.events(), "lost") {
			t.Error("an event was not delivered on its own node")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if err := a.Check(ctx); err == nil || !strings.Contains(err.Error(), "nats "+s.Addr()+": not connected: ") {
			t.Errorf("Check while the server is away: %v", err)
		}
		cancel()
		s.Restart()
		eventually(t, "word that the server is back", func() bool { return len(a.heard())%2 == 0 && len(b.heard())%2 == 0 })
		exchange(t, a, b)
	}
	if !slices.Equal(a.heard(), []bool{false, true, false, true}) {
		t.Errorf("told %v", a.heard())
	}
	if got := b.events(); slices.Contains(got, "lost") {
		t.Errorf("what was published without a server came: %q", got)
	}
	if s := a.LinkStats(); s.Reconnects != 2 || s.Dropped == 0 || s.Events["connected"] != 3 || s.Events["disconnected"] != 2 {
		t.Errorf("%+v", s)
	}
}

// TestFrozenServer loses a server that keeps its connections and says nothing.
func TestFrozenServer(t *testing.T) {
	s := natstest.Start(t, "")
	o := at(s)
	o.AnswerTimeout = time.Second
	a, b := newNode(t, o), newNode(t, o)
	exchange(t, a, b)
	s.Freeze()
	eventually(t, "word of the loss", func() bool { return len(a.heard()) == 1 && len(b.heard()) == 1 })
	s.Thaw()
	eventually(t, "word that the server is back", func() bool { return len(a.heard()) == 2 && len(b.heard()) == 2 })
	exchange(t, a, b)
}

// startCluster starts two servers that know each other.
func startCluster(t *testing.T) (one, other *natstest.Server) {
	t.Helper()
	settings := "cluster { name: test, listen: \"127.0.0.1:CLUSTER\", no_advertise: false, routes: [%s] }"
	one = natstest.Start(t, fmt.Sprintf(settings, ""))
	other = natstest.Start(t, fmt.Sprintf(settings, "\"nats://127.0.0.1:"+strconv.Itoa(one.ClusterPort)+"\""))
	return one, other
}

// TestServerOfClusterKilled writes only one of the two servers; the other one is
// discovered.
func TestServerOfClusterKilled(t *testing.T) {
	one, other := startCluster(t)
	a := newNode(t, at(one))
	b := newNode(t, at(other))
	exchange(t, a, b)
	eventually(t, "discovery of the other server", func() bool {
		a.dialer.mu.Lock()
		defer a.dialer.mu.Unlock()
		return slices.ContainsFunc(a.dialer.discovered, func(s server) bool { return s.Host == other.Addr() })
	})
	one.Kill()
	eventually(t, "word that another server is there", func() bool { return slices.Equal(a.heard(), []bool{false, true}) })
	exchange(t, a, b)
	if got := b.heard(); len(got) > 0 {
		t.Errorf("a node whose server lives was told %v", got)
	}
	one.Restart()
	other.Kill()
	eventually(t, "word that the first server is there", func() bool {
		return slices.Equal(a.heard(), []bool{false, true, false, true}) && slices.Equal(b.heard(), []bool{false, true})
	})
	exchange(t, a, b)
}

// TestServerRetires loses a server that says goodbye before.
func TestServerRetires(t *testing.T) {
	one, other := startCluster(t)
	o := at(one)
	o.Servers = append(o.Servers, other.Addr())
	a, b := newNode(t, at(one)), newNode(t, o)
	exchange(t, a, b)
	one.Retire()
	eventually(t, "word that another server is there", func() bool { return slices.Equal(a.heard(), []bool{false, true}) })
	exchange(t, a, b)
	if n := a.LinkStats().Events["lame_duck"]; n != 1 {
		t.Errorf("events: %v", a.LinkStats().Events)
	}
}

// TestSlowConsumer wants what the client library drops to be counted and told.
func TestSlowConsumer(t *testing.T) {
	s := natstest.Start(t, "")
	o := at(s)
	o.Capacity = 1
	a, b := newNode(t, at(s)), newNode(t, o)
	eventually(t, "drop by the client library", func() bool {
		for range 2000 {
			a.publish(t, "e")
		}
		return b.LinkStats().Events["slow_consumer"] > 0
	})
	eventually(t, "word of what is missing, and that it is over", func() bool {
		told := b.heard()
		return len(told) >= 2 && !told[0] && told[len(told)-1]
	})
	if s := b.LinkStats(); s.Missed == 0 || s.Reconnects != 0 {
		t.Errorf("%+v", s)
	}
	exchange(t, a, b)
}

// TestRefusedLater takes rights away in the middle: what NATS refuses then is
// counted, and said once.
func TestRefusedLater(t *testing.T) {
	s := natstest.Start(t, `authorization { users: [
		{user: u, password: p, permissions: {publish: ["test.channel.%.check", "test.control"], subscribe: "test.>"}}
	] }`)
	core, logs := observer.New(zap.ErrorLevel)
	o := at(s)
	o.Username, o.Password = "u", "p"
	a, err := OpenAdapter(t.Context(), o, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	for range 3 {
		if err := a.Publish(t.Context(), &protocol.Envelope{App: "app", Channel: "c"}); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "count of what was refused", func() bool { return a.LinkStats().Events["server_error"] == 3 })
	if err := a.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if logs.Len() != 1 || !strings.Contains(fmt.Sprint(logs.All()[0].ContextMap()), `Publish to "test.channel.app.c"`) {
		t.Errorf("the log says %v", logs.All())
	}
}

func TestTuning(t *testing.T) {
	s := natstest.Start(t, "")
	o := at(s)
	o.MaxReconnects = 1
	a := newNode(t, o)
	s.Kill()
	eventually(t, "end of the attempts", func() bool { return a.LinkStats().Events["max_reconnects"] == 1 })
	s.Restart()
	time.Sleep(time.Second)
	if a.LinkStats().Up {
		t.Error("connected again after it gave up")
	}
	a.SetTuning(Tuning{Tuning: relay.Tuning{MaxReconnects: 2}, Capacity: 7})
	eventually(t, "connection after a reload", func() bool { return slices.Equal(a.heard(), []bool{false, true}) })
	if a.dialer.options.Capacity != 7 || a.dialer.options.ConnectionTimeout != 5*time.Second {
		t.Errorf("%+v", a.dialer.options.Tuning)
	}
}

// TestCloseEndsEverything counts goroutines, in whatever state the connection is.
func TestCloseEndsEverything(t *testing.T) {
	s := natstest.Start(t, "")
	before := runtime.NumGoroutine()
	for _, disturb := range []func(){func() {}, s.Freeze, s.Kill} {
		a, err := OpenAdapter(t.Context(), at(s), nil)
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
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("Close took %v", took)
		}
		s.Thaw()
	}
	eventually(t, "end of all goroutines", func() bool { return runtime.NumGoroutine() <= before })
}
