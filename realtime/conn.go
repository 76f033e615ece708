package realtime

import (
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Transport is one socket as the hub sees it. No method blocks. What was sent,
// delivered and closed reaches the client in that order.
type Transport interface {
	// Send queues a frame for this socket alone. When it does not fit, the socket
	// is closed: what a client was promised is never dropped.
	Send(f protocol.Frame)
	// Deliver queues joined frames, shared with other sockets, unless off is set.
	Deliver(joined []byte, frames int, off *atomic.Bool)
	// Silence sets off, in order with Deliver.
	Silence(off *atomic.Bool)
	// Close sends an error frame and a close frame of equal code, after what is
	// queued, and ends the socket. Only the first call counts.
	Close(e *protocol.Error)
}

// Handshake is what the upgrade request says about a connection.
type Handshake struct {
	// Key is the app key of the path.
	Key string
	// Origin is the header of that name, or "".
	Origin string
	// ClientIP is the address that limits count, without a port.
	ClientIP string
	// Terms are what the query asks for.
	Terms protocol.Terms
	// KeepAlive is how often the transport must carry something to stay open, or
	// zero. Transports that need it implement Pinger.
	KeepAlive time.Duration
}

// Pinger is a Transport that can send a control ping.
type Pinger interface {
	Ping()
}

// Conn is one accepted connection.
type Conn struct {
	hub       *Hub
	app       *App
	id        string
	clientIP  string
	transport Transport
	format    protocol.Format
	v2        *connV2 // nil on V1
	opened    time.Time
	opening   int64 // the same by clock

	// heard is when the last inbound message came, by clock.
	heard atomic.Int64
	timer timerState

	// worker is the index of the worker that writes to the connection.
	worker int
	// channels counts subscriptions.
	channels atomic.Int32
	// gathered are frames of the worker's current round. Only the worker uses it.
	gathered []Piece
	// sequences are those of compressed channels. Only the worker uses them.
	sequences map[string]*sequence

	// Rate windows. Only the reading goroutine uses them.
	clientEvents, messages window

	// watching are the users this connection watches; App.usersMu guards it.
	watching []string

	mu     sync.Mutex
	subs   subscriptions
	user   *user
	closed bool
	// userInfo is the user_info of the signin.
	userInfo json.RawMessage
	// authorized says that the connection has signed in or joined a signed channel.
	authorized bool
}

// Connect admits a connection and sends its first frame. A refusal is to be sent
// with Transport.Close by the caller.
func (h *Hub) Connect(ctx context.Context, t Transport, hs Handshake) (*Conn, *protocol.Error) {
	live, err := h.Live()
	if err != nil {
		return nil, protocol.ErrShutdown
	}
	defer live.Release()
	s := live.Settings
	a, e := h.admitTo(ctx, live, hs)
	if e == nil {
		e = a.admit(s, hs)
	}
	if e != nil {
		s.Log.Info("connection refused", zap.String("app_key", clip(hs.Key)), zap.String("client_ip", hs.ClientIP),
			zap.String("origin", clip(hs.Origin)), zap.Int("code", e.Code), zap.String("reason", e.Message))
		return nil, e
	}
	c := a.open(s, t, hs)
	if ce := s.Log.Check(zap.DebugLevel, "connected"); ce != nil {
		ce.Write(zap.String("app", a.id), zap.String("socket_id", c.id), zap.String("client_ip", hs.ClientIP))
	}
	e = c.recheck(ctx, live, hs)
	if e == nil && c.v2 != nil && hs.Terms.Token != "" {
		e = c.showToken(ctx, live, hs.Terms.Token)
	}
	if e != nil {
		c.Disconnect(true)
		return nil, e
	}
	c.send(protocol.ConnectionEstablished(c.id, int(max(s.ActivityTimeout, time.Second)/time.Second)))
	h.wheel.add(c)
	return c, nil
}

// recheck looks again at what may have changed since the handshake was looked at
// first: a drain, or a reload, has seen only the connections there were.
func (c *Conn) recheck(ctx context.Context, live Live, hs Handshake) *protocol.Error {
	if c.hub.draining.Load() {
		return protocol.ErrShutdown
	}
	if c.hub.current.Load() == live.lease {
		return nil
	}
	now, err := c.hub.Live()
	if err != nil {
		return protocol.ErrShutdown
	}
	defer now.Release()
	a, e := c.hub.admitTo(ctx, now, hs)
	switch {
	case e != nil:
		return e
	case a != c.app:
		return protocol.ErrAppNotFound // the key is another app's now
	case !a.record().origins.Allow(hs.Origin):
		return protocol.ErrOrigin
	}
	return nil
}

// admitTo finds the app of a handshake.
func (h *Hub) admitTo(ctx context.Context, live Live, hs Handshake) (*App, *protocol.Error) {
	s := live.Settings
	record, err := s.Drivers.Apps.AppByKey(ctx, hs.Key)
	switch {
	case isNotFound(err):
		h.metrics.refused("", "app_not_found")
		return nil, protocol.ErrAppNotFound
	case err != nil:
		h.metrics.refused("", "app_lookup_failed")
		s.Log.Error("looking up an app", zap.Error(err))
		return nil, protocol.ErrStoreDown
	case !record.Enabled:
		h.metrics.refused(record.ID, "app_disabled")
		return nil, protocol.ErrAppDisabled
	}
	term, known := live.lease.term.Load(), h.HasApp(record.ID)
	a := h.app(record, term)
	switch {
	case !live.lease.followed || a.record().term < term:
		a.setRecord(record, term)
	case !known:
		h.RefreshApp(a.id) // for a change between the look-up and now
	}
	return a, nil
}

// clip bounds what a client can put into a log line.
func clip(s string) string { return s[:min(len(s), 128)] }

// admit checks what the app and the node allow, and counts the connection in.
func (a *App) admit(s *Settings, hs Handshake) *protocol.Error {
	h := a.hub
	p := a.record()
	if !p.origins.Allow(hs.Origin) {
		h.metrics.refused(a.id, "origin_not_allowed")
		return protocol.ErrOrigin
	}
	if n := h.sockets.Add(1); s.MaxConnections > 0 && n > int64(s.MaxConnections) {
		h.sockets.Add(-1)
		h.metrics.refused(a.id, "node_over_capacity")
		return protocol.ErrNodeOverCapacity
	}
	if n := a.sockets.Add(1) + a.elsewhere.Load(); p.Limits.MaxConnections > 0 && n > int64(p.Limits.MaxConnections) {
		a.sockets.Add(-1)
		h.sockets.Add(-1)
		h.metrics.refused(a.id, "app_over_quota")
		return protocol.ErrAppOverQuota
	}
	if hs.Terms.Token != "" && hs.Terms.Format == protocol.FormatV1 {
		a.sockets.Add(-1)
		h.sockets.Add(-1)
		h.metrics.refused(a.id, "token_on_v1")
		return protocol.ErrTokenOnV1
	}
	return nil
}

func (a *App) open(s *Settings, t Transport, hs Handshake) *Conn {
	c := &Conn{hub: a.hub, app: a, clientIP: hs.ClientIP, transport: t, format: hs.Terms.Format, opened: time.Now()}
	if c.format != protocol.FormatV1 {
		c.v2 = newConnV2(s, hs.Terms)
	}
	c.opening = clock()
	c.heard.Store(c.opening)
	c.worker = int(a.hub.nextConn.Add(1) % uint64(len(a.hub.workers)))
	c.timer.keepAlive = hs.KeepAlive.Milliseconds()
	for {
		c.id = protocol.NewSocketID()
		s := a.shard(c.id)
		s.mu.Lock()
		_, taken := s.conns[c.id]
		if !taken {
			s.conns[c.id] = c
		}
		s.mu.Unlock()
		if !taken {
			a.meter.connected()
			c.tell(Connected, Happening{Reason: clip(hs.Origin)})
			a.hub.cluster.markApp(a.id)
			return c
		}
	}
}

// end closes the connection with e, after everything published before.
func (c *Conn) end(e *protocol.Error) { c.hub.workers[c.worker].sendTo(direct{conn: c, end: e}) }

// inOrder does something on the connection's worker, behind what was pushed before.
func (c *Conn) inOrder(do func(*Conn)) {
	c.hub.workers[c.worker].sendTo(direct{conn: c, do: do})
}

// ID is the socket id.
func (c *Conn) ID() string { return c.id }

// Disconnect ends the connection on the side of the hub: subscriptions,
// membership and identity. The reading goroutine calls it once, after the last
// Receive. A connection that was lost without a closing handshake is not graceful:
// its members stay for a while (section 2.6).
func (c *Conn) Disconnect(graceful bool) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	subs := c.subs.take()
	c.mu.Unlock()
	c.hub.wheel.remove(c)
	grace := c.grace(graceful)
	for _, sub := range subs {
		if grace == 0 || !sub.linger(grace) {
			sub.leave()
		}
	}
	c.signout()
	if c.v2 != nil {
		c.app.tokens.replace(c, c.takeToken(), nil)
	}
	s := c.app.shard(c.id)
	s.mu.Lock()
	delete(s.conns, c.id)
	s.mu.Unlock()
	if ce := c.hub.log().Check(zap.DebugLevel, "disconnected"); ce != nil {
		ce.Write(zap.String("app", c.app.id), zap.String("socket_id", c.id), zap.Duration("after", time.Since(c.opened)))
	}
	c.app.sockets.Add(-1)
	c.hub.cluster.markApp(c.app.id)
	c.app.meter.disconnected()
	c.tell(Disconnected, Happening{})
	c.hub.sockets.Add(-1)
}

// Heard notes that the client is alive. Every inbound frame counts.
func (c *Conn) Heard() { c.heard.Store(clock()) }

// subscriptions are those of one connection: a short list, and a map once it is
// long. Most connections have a handful.
type subscriptions struct {
	list  []*subscription
	index map[string]*subscription
}

const indexFrom = 32

func (s *subscriptions) get(channel string) *subscription {
	if s.index != nil {
		return s.index[channel]
	}
	for _, sub := range s.list {
		if sub.channel.info.Name == channel {
			return sub
		}
	}
	return nil
}

func (s *subscriptions) add(sub *subscription) {
	if s.index != nil {
		s.index[sub.channel.info.Name] = sub
		return
	}
	s.list = append(s.list, sub)
	if len(s.list) <= indexFrom {
		return
	}
	s.index = make(map[string]*subscription, 2*indexFrom)
	for _, sub := range s.list {
		s.index[sub.channel.info.Name] = sub
	}
	s.list = nil
}

func (s *subscriptions) remove(channel string) *subscription {
	if s.index != nil {
		sub := s.index[channel]
		delete(s.index, channel)
		return sub
	}
	for i, sub := range s.list {
		if sub.channel.info.Name == channel {
			s.list = append(s.list[:i], s.list[i+1:]...)
			return sub
		}
	}
	return nil
}

// all lists the subscriptions.
func (s *subscriptions) all() []*subscription {
	all := append([]*subscription(nil), s.list...)
	for _, sub := range s.index {
		all = append(all, sub)
	}
	return all
}

// take lists the subscriptions and forgets them.
func (s *subscriptions) take() []*subscription {
	all := s.all()
	*s = subscriptions{}
	return all
}
