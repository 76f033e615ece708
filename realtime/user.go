package realtime

import (
	"encoding/json"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// user is a signed-in user with its connections on this node. App.usersMu guards
// it.
type user struct {
	id    string
	conns map[*Conn]struct{}
}

// signin handles a signin event (section 5.1).
func (c *Conn) signin(m protocol.Message) *protocol.Error {
	p := c.app.record()
	if !p.Features.UserAuthentication {
		return protocol.ErrSigninDisabled
	}
	req, e := protocol.ParseSignin(m.Data)
	if e != nil {
		return e
	}
	if !p.verify(req.Auth, func(key, secret string) string {
		return protocol.SignUser(key, secret, c.id, req.UserData)
	}) {
		return protocol.ErrSigninInvalid
	}
	u, e := protocol.ParseUser(req.UserData)
	if e != nil {
		return e
	}
	if c.v2 != nil {
		c.mu.Lock()
		token := c.v2.token
		if token == nil {
			c.v2.rights = u.Capabilities
		}
		c.mu.Unlock()
		if token != nil {
			return protocol.ErrTokenSignin
		}
	}
	if u.Info == nil {
		u.Info = json.RawMessage("{}")
	}
	if !p.Features.WatchlistEvents {
		u.Watchlist = nil
	}
	var tooMany bool
	if limit := c.hub.settings().Limits.Watchlist; len(u.Watchlist) > limit {
		u.Watchlist, tooMany = nil, true
	}
	c.app.signin(c, u, protocol.SigninSuccess(req.UserData))
	if tooMany {
		return protocol.ErrWatchlistLimit
	}
	return nil
}

// signin makes c a connection of u, tells watchers if u has just come online,
// and answers with success, unless that is nil, and the state of the users that c
// watches.
func (a *App) signin(c *Conn, u protocol.User, success *protocol.Outbound) {
	a.wantUser(u.ID)
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	a.signing[u.ID]--
	defer a.unwantUserLocked(u.ID)
	known := a.users[u.ID]
	if c.currentUser() != known || known == nil {
		a.signoutLocked(c)
		known = a.users[u.ID]
		if known == nil {
			if !a.isOnlineLocked(u.ID) {
				a.tellWatchersLocked(protocol.WatchlistEvents([]string{u.ID}, nil), u.ID)
			}
			known = &user{id: u.ID, conns: map[*Conn]struct{}{}}
			a.users[u.ID] = known
			a.hub.cluster.markUser(a.id, u.ID)
		}
		known.conns[c] = struct{}{}
	} else {
		a.unwatchLocked(c)
	}
	c.mu.Lock()
	gone := c.closed
	c.user, c.userInfo, c.authorized = known, u.Info, true
	c.mu.Unlock()
	if gone {
		a.signoutLocked(c)
		return
	}
	if success != nil {
		c.send(success)
	}
	a.watchLocked(c, u.Watchlist)
}

// watchLocked makes c a watcher and tells it who is online and who is not.
func (a *App) watchLocked(c *Conn, ids []string) {
	if len(ids) == 0 {
		return
	}
	var online, offline []string
	for _, id := range ids {
		set := a.watchers[id]
		if set == nil {
			set = map[*Conn]struct{}{}
			a.watchers[id] = set
		}
		if _, twice := set[c]; twice {
			continue
		}
		set[c] = struct{}{}
		if a.isOnlineLocked(id) {
			online = append(online, id)
		} else {
			offline = append(offline, id)
		}
	}
	c.watching = ids
	c.send(protocol.WatchlistEvents(online, offline))
}

func (a *App) unwatchLocked(c *Conn) {
	for _, id := range c.watching {
		delete(a.watchers[id], c)
		if len(a.watchers[id]) == 0 {
			delete(a.watchers, id)
		}
	}
	c.watching = nil
}

// tellWatchersLocked sends a change of one user to every connection watching it.
func (a *App) tellWatchersLocked(o *protocol.Outbound, id string) {
	m := reply(o)
	for c := range a.watchers[id] {
		a.hub.workers[c.worker].sendTo(direct{conn: c, message: m})
	}
}

// signout ends the identity of a connection that is going away.
func (c *Conn) signout() {
	if c.currentUser() == nil {
		return
	}
	c.app.usersMu.Lock()
	defer c.app.usersMu.Unlock()
	c.app.signoutLocked(c)
}

func (a *App) signoutLocked(c *Conn) {
	u := c.currentUser()
	if u == nil {
		return
	}
	a.unwatchLocked(c)
	c.mu.Lock()
	c.user = nil
	c.mu.Unlock()
	delete(u.conns, c)
	if len(u.conns) == 0 {
		delete(a.users, u.id)
		a.hub.cluster.markUser(a.id, u.id)
		a.unwantUserLocked(u.id)
		if !a.isOnlineLocked(u.id) {
			a.tellWatchersLocked(protocol.WatchlistEvents(nil, []string{u.id}), u.id)
		}
	}
}

// wantUser asks the adapters for the events of a user who is about to sign in.
func (a *App) wantUser(id string) {
	a.usersMu.Lock()
	a.signing[id]++
	known := a.users[id] != nil
	a.usersMu.Unlock()
	if !known && a.hub.cluster.epoch.Load() > 0 {
		a.hub.cluster.wantTopic(protocol.UserTopic(a.id, id))
	}
}

// unwantUserLocked ends that for a user who is not signed in here, and not about
// to be.
func (a *App) unwantUserLocked(id string) {
	if a.signing[id] > 0 {
		return
	}
	delete(a.signing, id)
	if a.users[id] == nil && a.hub.cluster.epoch.Load() > 0 {
		a.hub.cluster.unwantTopic(protocol.UserTopic(a.id, id))
	}
}

func (c *Conn) currentUser() *user {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// sendUser delivers an event to every V1 socket of a user, except one. V2 sockets
// get it if they have subscribed to the user's channel.
func (a *App) sendUser(id string, e *protocol.Envelope) {
	m := eventOf(e)
	for _, c := range a.userConns(id) {
		if c.id != e.Except && c.v2 == nil {
			w := a.hub.workers[c.worker]
			w.waitRoom()
			w.sendTo(direct{conn: c, message: m})
		}
	}
}

// closeUser closes every socket of a user.
func (a *App) closeUser(id string, e *protocol.Error) {
	for _, c := range a.userConns(id) {
		c.end(e)
	}
}

func (a *App) userConns(id string) []*Conn {
	a.usersMu.Lock()
	defer a.usersMu.Unlock()
	u := a.users[id]
	if u == nil {
		return nil
	}
	conns := make([]*Conn, 0, len(u.conns))
	for c := range u.conns {
		conns = append(conns, c)
	}
	return conns
}
