package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// noticed is when an outage must have been told at the latest.
	noticed = 25 * time.Second
	// memoryBound is what may wait for an engine that is away, in bytes.
	memoryBound = 40 << 20
)

// TestAdapterOutage checks what an adapter makes of an outage between it and its
// engine at target, HOST:PORT, of which another node notices nothing. In the middle
// this node goes on by itself; nothing waits, and nothing grows. Afterwards all is
// as before without opening anything anew. open connects to the engine by way of
// HOST:PORT, and its nodes are of one cluster.
func TestAdapterOutage(t *testing.T, target string, open func(t *testing.T, address string) storage.Adapter) {
	t.Attr("contract", "adapter outage")
	for name, begin := range map[string]func(*outage.Proxy){"cut": (*outage.Proxy).Cut, "stalled": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy := outage.NewProxy(t, target)
			o := &adapterOutage{proxy: proxy}
			for i, address := range []string{proxy.Addr(), target} {
				node, ok := open(t, address).(storage.Clustered)
				if !ok {
					t.Fatal("the adapter is no storage.Clustered")
				}
				o.nodes[i] = node
			}
			t.Cleanup(func() {
				proxy.Mend()
				for _, node := range o.nodes {
					if err := node.Close(); err != nil {
						t.Errorf("closing: %v", err)
					}
				}
			})
			o.run(t, begin)
		})
	}
}

// adapterOutage is a node that loses its engine, and one that does not.
type adapterOutage struct {
	proxy *outage.Proxy
	nodes [2]storage.Clustered
	boxes [2]*inbox
	up    atomic.Bool
	// changes counts what the first node was told.
	changes atomic.Int32
	// sent numbers what each node publishes on the channel with its number.
	sent [2]int
}

func (o *adapterOutage) run(t *testing.T, begin func(*outage.Proxy)) {
	app := unique()
	for i, node := range o.nodes {
		o.boxes[i] = &inbox{app: app}
		subscribe(t, node, app, o.boxes[i])
		wantChannels(t, node, app, "0", "1")
	}
	o.up.Store(true)
	stop := o.nodes[0].WatchLink(func(up bool) {
		if o.up.Swap(up) == up {
			t.Errorf("the link was told to be up: %v, twice", up)
		}
		o.changes.Add(1)
	})
	defer stop()
	o.exchange(t, app)
	for round := range 2 {
		begin(o.proxy)
		o.during(t, app, fmt.Sprint("wanted ", round))
		o.proxy.Mend()
		o.after(t, app, fmt.Sprint("wanted ", round))
	}
	if n := o.changes.Load(); n != 4 {
		t.Errorf("the link was told to have changed %d times, want 4", n)
	}
	for i, b := range o.boxes {
		wantRising(t, i, b.all())
	}
	if meter, ok := o.nodes[0].(storage.LinkMeter); ok {
		if s := meter.LinkStats(); s.Reconnects < 2 || s.Dropped == 0 || !s.Up {
			t.Errorf("counted: %+v", s)
		}
	}
}

// publish publishes the next number of a node on its channel. It must not wait.
func (o *adapterOutage) publish(t *testing.T, app string, node int) {
	t.Helper()
	o.sent[node]++
	start := time.Now()
	e := &protocol.Envelope{App: app, Channel: strconv.Itoa(node), Event: strconv.Itoa(o.sent[node])}
	if err := o.nodes[node].Publish(t.Context(), e); err != nil {
		t.Errorf("Publish of node %d: %v", node, err)
	}
	if took := time.Since(start); took > overdue {
		t.Errorf("Publish of node %d took %v", node, took)
	}
}

// exchange publishes on both nodes and waits until each has what the other sent.
func (o *adapterOutage) exchange(t *testing.T, app string) {
	t.Helper()
	for range 20 {
		o.publish(t, app, 0)
		o.publish(t, app, 1)
	}
	for i, b := range o.boxes {
		eventually(t, "traffic between the nodes", func() bool { return b.count(strconv.Itoa(o.sent[1-i])) > 0 && b.last(strconv.Itoa(1-i)) == o.sent[1-i] })
	}
}

// during checks that the node goes on without the engine.
func (o *adapterOutage) during(t *testing.T, app, channel string) {
	t.Helper()
	for end := time.Now().Add(noticed); o.up.Load(); time.Sleep(5 * time.Millisecond) {
		o.publish(t, app, 0)
		o.publish(t, app, 1)
		if o.boxes[0].last("0") != o.sent[0] {
			t.Fatal("an event was not delivered on its own node by Publish")
		}
		if time.Now().After(end) {
			t.Fatalf("after %v nobody was told of the outage", noticed)
		}
	}
	for range 100 {
		o.publish(t, app, 0)
	}
	ctx, cancel := context.WithTimeout(t.Context(), callerPatience)
	defer cancel()
	start := time.Now()
	if _, err := o.nodes[0].Echo(ctx); err == nil || errors.Is(err, storage.ErrClosed) {
		t.Errorf("Echo during the outage: %v", err)
	}
	if checker, ok := o.nodes[0].(storage.Checker); !ok || checker.Check(ctx) == nil {
		t.Error("Check during the outage finds nothing wrong")
	}
	if err := o.nodes[0].Want(t.Context(), protocol.Topic{App: app, Channel: channel}); err != nil {
		t.Errorf("Want during the outage: %v", err)
	}
	o.nodes[0].Unwant(protocol.Topic{App: app, Channel: "unknown"})
	o.flood(t, app)
	if took := time.Since(start); took > overdue {
		t.Errorf("all calls during the outage took %v", took)
	}
}

// flood publishes more than may wait.
func (o *adapterOutage) flood(t *testing.T, app string) {
	t.Helper()
	meter, ok := o.nodes[0].(storage.LinkMeter)
	if !ok {
		t.Fatal("the adapter is no storage.LinkMeter")
	}
	before := meter.LinkStats().Dropped
	data := make([]byte, 64<<10)
	for n := 0; n < memoryBound; n += len(data) {
		must(t, o.nodes[0].Publish(t.Context(), &protocol.Envelope{App: app + "flood", Channel: "c", Data: data}))
	}
	s := meter.LinkStats()
	if s.Up || s.QueueBytes > memoryBound/2 || s.Dropped <= before {
		t.Errorf("after a flood: %+v, dropped %d before", s, before)
	}
}

// after checks that everything is as before, and that what was wanted in the middle
// comes.
func (o *adapterOutage) after(t *testing.T, app, channel string) {
	t.Helper()
	eventually(t, "word that the link is back", o.up.Load)
	o.exchange(t, app)
	publish(t, o.nodes[1], app, channel, channel)
	eventually(t, "event of the channel that was wanted in the middle", func() bool { return o.boxes[0].count(channel) == 1 })
	checker, ok := o.nodes[0].(storage.Checker)
	if !ok {
		t.Fatal("the adapter is no storage.Checker")
	}
	must(t, checker.Check(bounded(t)))
}

// last is the number of the last event on a channel.
func (b *inbox) last(channel string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range slices.Backward(b.got) {
		if e.Channel == channel {
			n, _ := strconv.Atoi(e.Event) // the events are numbered
			return n
		}
	}
	return 0
}

// wantRising wants the numbers on each channel to rise: some may be missing, and none
// comes late or twice.
func wantRising(t *testing.T, node int, got []*protocol.Envelope) {
	t.Helper()
	last := map[string]int{}
	for _, e := range got {
		n, err := strconv.Atoi(e.Event)
		if err != nil {
			continue
		}
		if n <= last[e.Channel] {
			t.Fatalf("node %d got number %d of node %s after %d", node, n, e.Channel, last[e.Channel])
		}
		last[e.Channel] = n
	}
}
