package realtime

import (
	"errors"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ErrNotPresence is returned for channels that have no members.
var ErrNotPresence = errors.New("not a presence channel")

// PresentUsers are the users in a presence channel of an app, on all nodes. complete
// says that all that other nodes have is known here, as far as was heard lately: while
// it is not, a user who is missing may be present elsewhere.
func (h *Hub) PresentUsers(app, channel string) (users map[string]bool, complete bool, err error) {
	if protocol.ParseChannel(channel).Kind != protocol.Presence {
		return nil, false, ErrNotPresence
	}
	live, err := h.Live()
	if err != nil {
		return nil, false, err
	}
	defer live.Release()
	complete = h.cluster.knowsAll(live.Settings) // before: who comes meanwhile is no harm
	users = map[string]bool{}
	a := h.liveApp(app)
	if a == nil {
		return users, complete, nil
	}
	ch := a.channel(channel)
	if ch == nil || ch.presence == nil {
		return users, complete, nil
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for id := range ch.presence.members {
		users[id] = true
	}
	return users, complete, nil
}

// hears begins the time in which this node has to hear of all others.
func (c *cluster) hears() { c.since.Store(time.Now().UnixNano()) }

// knowsAll reports whether all that other nodes have is known here. Nodes of which
// nothing was ever heard do not count, so the answer is no until each has had time
// for a sign of life.
func (c *cluster) knowsAll(s *Settings) bool {
	adapter, between := s.Drivers.Adapter.(storage.Clustered)
	switch {
	case !between:
		return true
	case !c.active.Load():
		return false // each node knows its own
	case time.Since(time.Unix(0, c.since.Load())) < 2*s.Cluster.Heartbeat:
		return false
	}
	if meter, ok := adapter.(storage.LinkMeter); ok && !meter.LinkStats().Up {
		return false
	}
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, p := range c.peers {
		if !p.complete || time.Since(p.heard) > s.Cluster.NodeTimeout/2 {
			return false
		}
	}
	return true
}
