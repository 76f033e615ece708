package realtime

import (
	"cmp"
	"slices"
)

// Connection is an open connection of this node, if there is one with the socket id.
func (h *Hub) Connection(socketID string) (ConnState, bool) {
	for _, a := range h.liveApps() {
		if c := a.conn(socketID); c != nil {
			return c.state(), true
		}
	}
	return ConnState{}, false
}

// Subscribers lists the connections of this node that are subscribed to a channel, by socket
// id, at most limit, after the socket id after.
func (h *Hub) Subscribers(app, channel, after string, limit int) []ConnState {
	a := h.liveApp(app)
	if a == nil || a.channel(channel) == nil {
		return nil
	}
	conns := slices.DeleteFunc(a.appendConns(nil), func(c *Conn) bool { return c.id <= after || !c.subscribedTo(channel) })
	slices.SortFunc(conns, func(x, y *Conn) int { return cmp.Compare(x.id, y.id) })
	states := make([]ConnState, 0, min(len(conns), limit))
	for _, c := range conns[:min(len(conns), limit)] {
		states = append(states, c.state())
	}
	return states
}

func (c *Conn) subscribedTo(channel string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs.get(channel) != nil
}
