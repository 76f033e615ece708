package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// TestAdapterCluster checks the adapters of several nodes of one cluster. open
// returns n of them, ready to exchange envelopes. A driver between nodes passes
// TestAdapter too. Nodes that are storage.Clustered are asked for the topics on
// which something is expected.
func TestAdapterCluster(t *testing.T, open func(t *testing.T, n int) []storage.Adapter) {
	t.Attr("contract", "adapter cluster")
	subtests := []struct {
		name string
		run  func(t *testing.T, nodes []storage.Adapter)
	}{
		{"every subscriber of every node", clusterSubscribers},
		{"envelopes arrive as they are", clusterEnvelopes},
		{"order of each node", clusterOrder},
		{"a thousand in order", clusterThousand},
		{"leave waits for other nodes' subscribers too", clusterLeave},
		{"a node that has gone", clusterGone},
		{"words to all nodes", clusterControl},
		{"wanting", clusterWant},
		{"wanting after the end", clusterWantEnded},
		{"echo", clusterEcho},
	}
	for _, s := range subtests {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			nodes := open(t, 3)
			for _, node := range nodes {
				t.Cleanup(func() { _ = node.Close() })
			}
			s.run(t, nodes)
		})
	}
}

// wantChannels asks a node for channels of an app.
func wantChannels(t *testing.T, node storage.Adapter, app string, channels ...string) {
	t.Helper()
	c, ok := node.(storage.Clustered)
	if !ok {
		return
	}
	topics := make([]protocol.Topic, len(channels))
	for i, channel := range channels {
		topics[i] = protocol.Topic{App: app, Channel: channel}
	}
	must(t, c.Want(bounded(t), topics...))
}

// clustered are nodes that can be asked for topics.
func clustered(t *testing.T, nodes []storage.Adapter) []storage.Clustered {
	t.Helper()
	list := make([]storage.Clustered, len(nodes))
	for i, node := range nodes {
		c, ok := node.(storage.Clustered)
		if !ok {
			t.Skip("the driver is not between nodes")
		}
		list[i] = c
	}
	return list
}

func clusterSubscribers(t *testing.T, nodes []storage.Adapter) {
	app := unique()
	var boxes []*inbox
	for i, node := range nodes {
		for k := range 2 {
			b := &inbox{app: app}
			subscribe(t, node, fmt.Sprint(app, i, k), b)
			boxes = append(boxes, b)
		}
		wantChannels(t, node, app, "c")
	}
	for i, node := range nodes {
		publish(t, node, app, "c", strconv.Itoa(i))
	}
	for _, b := range boxes {
		b.await(t, len(nodes))
	}
	time.Sleep(grace)
	for i, b := range boxes {
		for n := range nodes {
			if got := b.count(strconv.Itoa(n)); got != 1 {
				t.Errorf("subscriber %d got the envelope of node %d %d times, want once", i, n, got)
			}
		}
	}
}

func clusterEnvelopes(t *testing.T, nodes []storage.Adapter) {
	b := &inbox{app: unique()}
	subscribe(t, nodes[1], b.app, b)
	for i, want := range someEnvelopes(b.app) {
		if c, ok := nodes[1].(storage.Clustered); ok {
			must(t, c.Want(bounded(t), want.Topic()))
		}
		must(t, nodes[0].Publish(t.Context(), want))
		if got := b.await(t, i+1)[i]; !reflect.DeepEqual(got, want) {
			t.Errorf("delivered\n%.500v\nwant\n%.500v", got, want)
		}
	}
}

func clusterOrder(t *testing.T, nodes []storage.Adapter) {
	const channels, each = 3, 60
	apps := make([]string, len(nodes))
	boxes := make([][]*inbox, len(nodes)) // by publishing node, then receiving node
	for from := range nodes {
		apps[from] = unique()
		for to, node := range nodes {
			b := &inbox{app: apps[from]}
			subscribe(t, node, fmt.Sprint(apps[from], to), b)
			boxes[from] = append(boxes[from], b)
			wantChannels(t, node, b.app, "0", "1", "2")
		}
	}
	atOnce(len(nodes), func(from int) { publishOrdered(t, nodes[from], apps[from], channels, each) })
	for from := range nodes {
		for _, b := range boxes[from] {
			wantOrdered(t, b.await(t, channels*each), channels, each)
		}
	}
}

// clusterThousand numbers messages to one channel.
func clusterThousand(t *testing.T, nodes []storage.Adapter) {
	b := &inbox{app: unique()}
	subscribe(t, nodes[1], b.app, b)
	wantChannels(t, nodes[1], b.app, "0")
	publishOrdered(t, nodes[0], b.app, 1, 1000)
	wantOrdered(t, b.await(t, 1000), 1, 1000)
}

// clusterLeave checks that a node which publishes and leaves at once, as a reload
// does, loses nothing on any node.
func clusterLeave(t *testing.T, nodes []storage.Adapter) {
	const n = 50
	app := unique()
	boxes := make([]*inbox, len(nodes))
	leaves := make([]func(context.Context) error, len(nodes))
	for i, node := range nodes {
		boxes[i] = &inbox{app: app}
		leaves[i] = subscribe(t, node, fmt.Sprint(app, i), boxes[i])
		wantChannels(t, node, app, "c")
	}
	for k := range n {
		must(t, nodes[0].Publish(t.Context(), &protocol.Envelope{App: app, Channel: "c", Event: strconv.Itoa(k)}))
	}
	must(t, leaves[0](bounded(t)))
	if got := len(boxes[0].all()); got != n {
		t.Errorf("leave returned after %d deliveries, want %d", got, n)
	}
	must(t, nodes[0].Close())
	for _, b := range boxes[1:] {
		b.await(t, n)
	}
}

func clusterGone(t *testing.T, nodes []storage.Adapter) {
	b := &inbox{app: unique()}
	subscribe(t, nodes[1], b.app, b)
	wantChannels(t, nodes[1], b.app, "c")
	must(t, nodes[0].Close())
	publish(t, nodes[2], b.app, "c", "e")
	b.await(t, 1)
}

// clusterControl checks that what is for every node, words of hubs and revocations of
// tokens, reaches all of them without asking, in order.
func clusterControl(t *testing.T, nodes []storage.Adapter) {
	const n = 100
	node := unique()
	boxes := make([]*inbox, len(nodes))
	for i := range nodes {
		b := &inbox{app: node}
		boxes[i] = b
		leave, err := nodes[i].Subscribe(fmt.Sprint(node, i), func(e *protocol.Envelope) {
			if e.Node == node {
				b.deliver(e)
			}
		})
		must(t, err)
		t.Cleanup(func() { _ = leave(ended()) })
	}
	kinds := []protocol.EnvelopeKind{protocol.KindControl, protocol.KindRevoke}
	for k := range n {
		e := &protocol.Envelope{Kind: kinds[k%2], App: node, Event: "e", User: "u", Node: node, Seq: uint64(k + 1), Data: json.RawMessage(`{}`)}
		must(t, nodes[0].Publish(t.Context(), e))
	}
	for i, b := range boxes {
		for k, e := range b.await(t, n) {
			if e.Seq != uint64(k+1) || e.Kind != kinds[k%2] {
				t.Fatalf("node %d got the envelope %d of kind %d in place %d", i, e.Seq, e.Kind, k)
			}
		}
	}
}

// clusterWant checks that asking again changes nothing, that topics with odd names
// are kept apart, and that a topic that was let go of comes again when it is wanted.
func clusterWant(t *testing.T, all []storage.Adapter) {
	nodes := clustered(t, all)
	b := &inbox{app: unique()}
	subscribe(t, nodes[1], b.app, b)
	names := []string{"c", "C", "c.d", "c.*", "c.>", "*", ">", " ", ".", "c:d", "c/d", weird, "#server-to-user-" + weird, "ключ"}
	atOnce(3, func(int) { wantChannels(t, nodes[1], b.app, names...) })
	wantChannels(t, nodes[1], b.app, "c", "c")
	for i, name := range names {
		publish(t, nodes[0], b.app, name, name)
		b.await(t, i+1)
	}
	time.Sleep(grace)
	for _, name := range names {
		if n := b.count(name); n != 1 {
			t.Errorf("the event of channel %q came %d times", name, n)
		}
	}
	for range 3 {
		nodes[1].Unwant(protocol.Topic{App: b.app, Channel: "c"}, protocol.Topic{App: b.app, Channel: "unknown"})
		wantChannels(t, nodes[1], b.app, "c")
		n := len(b.all())
		publish(t, nodes[0], b.app, "c", "again")
		b.await(t, n+1)
	}
}

func clusterWantEnded(t *testing.T, all []storage.Adapter) {
	nodes := clustered(t, all)
	topic := protocol.Topic{App: unique(), Channel: "c"}
	stop := nodes[0].WatchLink(func(bool) { t.Error("the link is told to have changed") })
	wantErr(t, "Want with an ended context", nodes[0].Want(ended(), topic), context.Canceled)
	_, err := nodes[0].Echo(ended())
	wantErr(t, "Echo with an ended context", err, context.Canceled)
	stop()
	testClosed(t, nodes[0], []call{
		{"Want", func(ctx context.Context) error { return nodes[0].Want(ctx, topic) }},
		{"Echo", func(ctx context.Context) error { _, err := nodes[0].Echo(ctx); return err }},
	})
	nodes[0].Unwant(topic)
}

func clusterEcho(t *testing.T, all []storage.Adapter) {
	for i, node := range clustered(t, all) {
		for range 3 {
			if took, err := node.Echo(bounded(t)); err != nil || took <= 0 || took > patience {
				t.Errorf("node %d: %v, %v", i, took, err)
			}
		}
		checker, ok := node.(storage.Checker)
		if !ok {
			t.Fatal("an adapter between nodes is no storage.Checker")
		}
		must(t, checker.Check(bounded(t)))
	}
	if _, err := all[0].(storage.Clustered).Echo(ended()); !errors.Is(err, context.Canceled) {
		t.Errorf("Echo with an ended context: %v", err)
	}
}
