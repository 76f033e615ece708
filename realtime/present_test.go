package realtime_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// present are the users that a node tells to be in a presence channel, and whether it
// knows all.
func (f *fixture) present(channel string) (users string, complete bool) {
	f.t.Helper()
	all, complete, err := f.hub.PresentUsers("app-id", channel)
	if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(slices.Sorted(maps.Keys(all)), ","), complete
}

func TestPresentUsers(t *testing.T) {
	f := newFixture(t, nil)
	is := func(channel, want string) {
		t.Helper()
		if users, complete := f.present(channel); users != want || !complete {
			t.Errorf("%s has %q, complete %v, want %q", channel, users, complete, want)
		}
	}
	is("presence-x", "")
	ada, again, bob := f.dial(), f.dial(), f.dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	again.join("presence-x", `{"user_id":"ada"}`)
	bob.join("presence-y", `{"user_id":"bob"}`)
	is("presence-x", "ada")
	is("presence-y", "bob")
	ada.conn.Disconnect(true)
	is("presence-x", "ada")
	again.conn.Disconnect(true)
	is("presence-x", "")
	is("presence-z", "")
	for _, channel := range []string{"x", "private-x", "cache-x", "#server-to-user-ada", ""} {
		if _, _, err := f.hub.PresentUsers("app-id", channel); !errors.Is(err, realtime.ErrNotPresence) {
			t.Errorf("%q: %v", channel, err)
		}
	}
	if users, complete, err := f.hub.PresentUsers("other", "presence-y"); len(users) != 0 || !complete || err != nil {
		t.Errorf("another app has %v, complete %v: %v", users, complete, err)
	}
	empty := realtime.NewHub("empty")
	defer empty.Close(t.Context())
	if _, _, err := empty.PresentUsers("app-id", "presence-y"); !errors.Is(err, realtime.ErrNoSettings) {
		t.Errorf("without a configuration: %v", err)
	}
}

// Every node tells who is present anywhere, and says so when it cannot know.
func TestPresentUsersOfCluster(t *testing.T) {
	nodes := newCluster(t, 3, func(_ *storage.App, s *realtime.Settings) { s.Cluster.NodeTimeout = 3 * time.Second })
	agree := func(want string, on ...*clusterNode) {
		t.Helper()
		for _, n := range on {
			until(t, "agreement", func() bool {
				users, complete := n.present("presence-x")
				return users == want && complete && len(n.hub.Nodes()) == len(on)-1
			})
		}
	}
	agree("", nodes...)
	ada := nodes[0].dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	nodes[1].dial().join("presence-x", `{"user_id":"bob"}`)
	nodes[1].dial().join("presence-x", `{"user_id":"ada"}`)
	agree("ada,bob", nodes...) // also where nobody is subscribed
	ada.conn.Disconnect(true)
	agree("ada,bob", nodes...)

	// A node that is not heard may have somebody else by now, until it is given up.
	nodes[1].bus.kill()
	until(t, "doubt", func() bool {
		users, complete := nodes[2].present("presence-x")
		return users == "ada,bob" && !complete
	})
	agree("", nodes[0], nodes[2])
}

// meteredNode is an adapter that tells whether its engine is there.
type meteredNode struct {
	*busNode
	down atomic.Bool
}

func (m *meteredNode) LinkStats() storage.LinkStats {
	return storage.LinkStats{Driver: "bus", Up: !m.down.Load()}
}

func TestPresentUsersWithoutLink(t *testing.T) {
	var links []*meteredNode
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) {
		links = append(links, &meteredNode{busNode: s.Drivers.Adapter.(*busNode)})
		s.Drivers.Adapter = links[len(links)-1]
	})
	whole := func(n *clusterNode) bool {
		_, complete := n.present("presence-x")
		return complete
	}
	until(t, "whole view", func() bool { return whole(nodes[0]) && whole(nodes[1]) })
	links[0].down.Store(true)
	if whole(nodes[0]) || !whole(nodes[1]) {
		t.Error("a node without a link to others knows all, or one with a link does not")
	}
	links[0].down.Store(false)
	// What was missed meanwhile is asked for, and a sign of life of everybody awaited.
	s := nodes[0].settings
	s.Cluster.Heartbeat = time.Hour
	nodes[0].load(s)
	for _, changed := range nodes[0].bus.watchers() {
		changed(true)
	}
	if whole(nodes[0]) {
		t.Error("a node knows all right after its link came back")
	}
}

// Nodes that exchange no facts know their own members only.
func TestPresentUsersOfNodesApart(t *testing.T) {
	nodes := newCluster(t, 2, func(_ *storage.App, s *realtime.Settings) { s.Cluster.Off = true })
	nodes[0].dial().join("presence-x", `{"user_id":"ada"}`)
	if users, complete := nodes[0].present("presence-x"); users != "ada" || complete {
		t.Errorf("%q, complete %v", users, complete)
	}
}
