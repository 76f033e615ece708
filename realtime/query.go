package realtime

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// ChannelState is an occupied channel. The zero value is an unoccupied one.
type ChannelState struct {
	Name string `json:"name"`
	// Subscriptions counts connections.
	Subscriptions int `json:"subscription_count"`
	// Users counts distinct members of a presence channel.
	Users    int  `json:"user_count"`
	Presence bool `json:"-"`
}

// Occupied reports whether anybody is subscribed.
func (c ChannelState) Occupied() bool { return c.Subscriptions > 0 }

// Channel is the state of one channel.
func (l Live) Channel(_ context.Context, app *storage.App, name string) (ChannelState, error) {
	state := ChannelState{Name: name, Presence: protocol.ParseChannel(name).Kind == protocol.Presence}
	a := l.Hub.liveApp(app.ID)
	if a == nil {
		return state, nil
	}
	if ch := a.channel(name); ch != nil {
		state = ch.state()
	}
	return state, nil
}

// Channels lists the occupied channels whose names start with prefix, by name.
func (l Live) Channels(_ context.Context, app *storage.App, prefix string) ([]ChannelState, error) {
	a := l.Hub.liveApp(app.ID)
	if a == nil {
		return nil, nil
	}
	return a.channelStates(prefix), nil
}

// Members lists the users of a presence channel, in no order that means anything.
func (l Live) Members(_ context.Context, app *storage.App, name string) ([]string, error) {
	a := l.Hub.liveApp(app.ID)
	if a == nil {
		return nil, nil
	}
	ch := a.channel(name)
	if ch == nil || ch.presence == nil {
		return nil, nil
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.presence.userIDs(), nil
}

// MemberState is one user of a presence channel.
type MemberState struct {
	UserID   string          `json:"user_id"`
	UserInfo json.RawMessage `json:"user_info,omitempty"`
	// Connections counts those of this node; the user may have more on others.
	Connections int `json:"connections"`
}

// Present lists the users of a presence channel in the order of their joining, as this node knows
// them. It reports false where nobody is.
func (l Live) Present(app *storage.App, name string) ([]MemberState, bool) {
	a := l.Hub.liveApp(app.ID)
	if a == nil {
		return nil, false
	}
	ch := a.channel(name)
	if ch == nil || ch.presence == nil {
		return nil, false
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	states := make([]MemberState, 0, len(ch.presence.order))
	for _, m := range ch.presence.order {
		states = append(states, MemberState{m.UserID, m.Info, m.conns})
	}
	return states, len(states) > 0
}

func (a *App) channelStates(prefix string) []ChannelState {
	var found []*channel
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.RLock()
		for name, ch := range s.channels {
			if strings.HasPrefix(name, prefix) && !hidden(ch.info) {
				found = append(found, ch)
			}
		}
		s.mu.RUnlock()
	}
	states := make([]ChannelState, 0, len(found))
	for _, ch := range found {
		if state := ch.state(); state.Occupied() {
			states = append(states, state)
		}
	}
	slices.SortFunc(states, func(x, y ChannelState) int { return cmp.Compare(x.Name, y.Name) })
	return states
}

func (ch *channel) state() ChannelState {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	state := ChannelState{Name: ch.info.Name, Subscriptions: ch.count + ch.elsewhereCount, Presence: ch.presence != nil}
	if ch.presence != nil {
		state.Users = len(ch.presence.order)
	}
	return state
}

// ConnState is one open connection.
type ConnState struct {
	SocketID string    `json:"socket_id"`
	App      string    `json:"app_id"`
	UserID   string    `json:"user_id,omitempty"`
	ClientIP string    `json:"client_ip,omitempty"`
	Opened   time.Time `json:"opened_at"`
	Channels []string  `json:"channels"`
}

// Connections lists open connections of this node by socket id, at most limit,
// after the socket id after. An empty app means all apps.
func (h *Hub) Connections(app, after string, limit int) []ConnState {
	var conns []*Conn
	for _, a := range h.liveApps() {
		if app == "" || a.id == app {
			conns = a.appendConns(conns)
		}
	}
	slices.SortFunc(conns, func(x, y *Conn) int { return cmp.Compare(x.id, y.id) })
	if after != "" {
		conns = conns[sortedAfter(conns, after):]
	}
	conns = conns[:min(len(conns), limit)]
	states := make([]ConnState, len(conns))
	for i, c := range conns {
		states[i] = c.state()
	}
	return states
}

func sortedAfter(conns []*Conn, after string) int {
	i, found := slices.BinarySearchFunc(conns, after, func(c *Conn, id string) int { return cmp.Compare(c.id, id) })
	if found {
		i++
	}
	return i
}

func (c *Conn) state() ConnState {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := ConnState{SocketID: c.id, App: c.app.id, ClientIP: c.clientIP, Opened: c.opened, Channels: []string{}}
	if c.user != nil {
		state.UserID = c.user.id
	}
	for _, sub := range c.subs.all() {
		state.Channels = append(state.Channels, sub.channel.info.Name)
	}
	slices.Sort(state.Channels)
	return state
}

// Kick closes one connection with e and reports whether it was there.
func (h *Hub) Kick(socketID string, e *protocol.Error) bool {
	for _, a := range h.liveApps() {
		if c := a.conn(socketID); c != nil {
			c.end(e)
			return true
		}
	}
	return false
}

// AppState counts what one app has: connections and users of this node, and the
// occupancy of the cluster.
type AppState struct {
	ID                  string    `json:"app_id"`
	Enabled             bool      `json:"enabled"`
	Connections         int       `json:"connections"`
	Authenticated       int       `json:"authenticated_connections"`
	Users               int       `json:"users"`
	ConnectionsWithMeta int       `json:"connections_with_meta"`
	Occupancy           Occupancy `json:"occupancy"`
}

// Occupancy counts channels and what is in them.
type Occupancy struct {
	Channels              int `json:"channels"`
	Subscriptions         int `json:"subscriptions"`
	PresenceChannels      int `json:"presence_channels"`
	PresenceSubscriptions int `json:"presence_subscriptions"`
	PresenceMembers       int `json:"presence_members"`
}

// AppState counts what an app has on this node, also before its first connection.
func (h *Hub) AppState(app *storage.App) AppState {
	state := AppState{ID: app.ID, Enabled: app.Enabled}
	a := h.liveApp(app.ID)
	if a == nil {
		return state
	}
	state.Connections = int(a.sockets.Load())
	a.usersMu.Lock()
	state.Users = len(a.users)
	for _, u := range a.users {
		state.Authenticated += len(u.conns)
	}
	a.usersMu.Unlock()
	for _, ch := range a.channelStates("") {
		state.Occupancy.Channels++
		state.Occupancy.Subscriptions += ch.Subscriptions
		if ch.Presence {
			state.Occupancy.PresenceChannels++
			state.Occupancy.PresenceSubscriptions += ch.Subscriptions
			state.Occupancy.PresenceMembers += ch.Users
		}
	}
	return state
}
