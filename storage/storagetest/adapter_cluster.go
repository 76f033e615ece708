package storagetest

import (
	"context"
	"fmt"
	"reflect"
	"strconv"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// TestAdapterCluster checks the adapters of several nodes of one cluster. open
// returns n of them, ready to exchange envelopes. A driver between nodes passes
// TestAdapter too.
func TestAdapterCluster(t *testing.T, open func(t *testing.T, n int) []storage.Adapter) {
	t.Attr("contract", "adapter cluster")
	subtests := []struct {
		name string
		run  func(t *testing.T, nodes []storage.Adapter)
	}{
		{"every subscriber of every node", clusterSubscribers},
		{"envelopes arrive as they are", clusterEnvelopes},
		{"order of each node", clusterOrder},
		{"leave waits for other nodes' subscribers too", clusterLeave},
		{"a node that has gone", clusterGone},
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

func clusterSubscribers(t *testing.T, nodes []storage.Adapter) {
	app := unique()
	var boxes []*inbox
	for i, node := range nodes {
		for k := range 2 {
			b := &inbox{app: app}
			subscribe(t, node, fmt.Sprint(app, i, k), b)
			boxes = append(boxes, b)
		}
	}
	for i, node := range nodes {
		publish(t, node, app, "c", strconv.Itoa(i))
	}
	for i, b := range boxes {
		b.await(t, len(nodes))
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
		}
	}
	atOnce(len(nodes), func(from int) { publishOrdered(t, nodes[from], apps[from], channels, each) })
	for from := range nodes {
		for _, b := range boxes[from] {
			wantOrdered(t, b.await(t, channels*each), channels, each)
		}
	}
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
	must(t, nodes[0].Close())
	publish(t, nodes[2], b.app, "c", "e")
	b.await(t, 1)
}
