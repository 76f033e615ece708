package realtime

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// connV2 is what only V2 connections have. Conn.mu guards it, but for what is said.
type connV2 struct {
	// echo says whether the connection gets its own client events. It never changes.
	echo bool
	// whole sends appends with all data. It never changes.
	whole bool
	// readings counts the questions about history that run.
	readings int
	// token is the capability token in use, nil for none, and rights are those of the
	// token or of the signin.
	token  *protocol.Token
	rights *protocol.Capabilities
	// expired is when the client was told that its token has expired, by clock, or zero.
	expired int64
	// parked are positions that wait for a subscription, by channel.
	parked map[string]protocol.Position
	// patterns are the subscriptions to patterns.
	patterns []*subscription
	// compressed says that some subscription has asked for deltas.
	compressed atomic.Bool
	// deltas says that every subscription is compressed unless it says otherwise.
	deltas bool
}

func newConnV2(s *Settings, terms protocol.Terms) *connV2 {
	v2 := &connV2{echo: s.Extras.EchoDefault || !s.Extras.Echo, whole: terms.AppendFull}
	if s.Extras.Echo && terms.Echo != nil {
		v2.echo = *terms.Echo
	}
	return v2
}

// send sends a reply to this connection alone.
func (c *Conn) send(o *protocol.Outbound) { c.transport.Send(c.frame(o)) }

// frame is a reply in the format of the connection. V2 clients get each with an id.
func (c *Conn) frame(o *protocol.Outbound) protocol.Frame {
	if c.v2 != nil && o.MessageID == "" && o != protocol.Ping && o != protocol.Pong {
		named := *o
		named.MessageID = protocol.NewMessageID()
		o = &named
	}
	return o.Frame(c.format)
}

// Lossless reports whether a socket that is too slow must be closed rather than
// miss something: the client would not know when it resumes, and would have another
// base than its deltas have.
func (c *Conn) Lossless() bool {
	return c.v2 != nil && (c.v2.compressed.Load() || c.app.recovery().on)
}

// tokenGrace is how long a connection stays whose token has expired (section 1.5).
const tokenGrace = 30 * time.Second

// acceptToken checks the token of a handshake or of an auth event and files the
// connection under it instead of the one before: a token that is revoked meanwhile
// must find the connection.
func (c *Conn) acceptToken(ctx context.Context, live Live, text string) (*protocol.Token, *protocol.Error) {
	p := c.app.record()
	now := time.Now()
	token, e := protocol.ParseToken(text, p.Key, p.Secrets(now), now)
	if e != nil {
		return nil, e
	}
	c.mu.Lock()
	old, known := c.v2.token, c.user
	c.mu.Unlock()
	switch {
	case old != nil && old.ClientID != token.ClientID, old == nil && known != nil && known.id != token.ClientID:
		return nil, protocol.BadSignin("capability token is of another client")
	}
	c.app.tokens.replace(c, old, token)
	revoked, err := live.Revoked(ctx, c.app.id, token)
	if revoked {
		c.app.tokens.replace(c, token, old)
		if err != nil {
			live.Settings.Log.Error("checking a capability token", zap.String("app", c.app.id), zap.Error(err))
			return nil, protocol.BadSignin("capability token cannot be checked for revocation")
		}
		return nil, protocol.ErrTokenWasRevoked
	}
	c.mu.Lock()
	c.v2.token, c.v2.rights, c.v2.expired = token, token.Capabilities, 0
	c.mu.Unlock()
	if known == nil {
		c.app.signin(c, protocol.User{ID: token.ClientID, Info: json.RawMessage("{}")}, nil)
	}
	return token, nil
}

// showToken takes the token of a handshake. Its errors close the connection.
func (c *Conn) showToken(ctx context.Context, live Live, text string) *protocol.Error {
	if _, e := c.acceptToken(ctx, live, text); e != nil {
		return &protocol.Error{Code: e.Code, Message: e.Message, Close: true}
	}
	return nil
}

// takeToken takes the token from a connection that ends.
func (c *Conn) takeToken() *protocol.Token {
	c.mu.Lock()
	defer c.mu.Unlock()
	token := c.v2.token
	c.v2.token = nil
	return token
}

// auth handles an auth event: another token of the same client takes over.
func (c *Conn) auth(m protocol.Message) *protocol.Error {
	if c.v2 == nil {
		return protocol.ErrTokenOnV1Frame
	}
	text, e := protocol.ParseAuth(m.Data)
	if e != nil {
		return e
	}
	live, err := c.hub.Live()
	if err != nil {
		return protocol.ErrOverCapacity
	}
	defer live.Release()
	token, e := c.acceptToken(context.Background(), live, text)
	if e != nil {
		return e
	}
	c.hub.wheel.changed(c)
	c.send(protocol.AuthSuccess(token))
	return nil
}

// checkToken does what the age of the token asks for. It reports false when it has
// closed the connection.
func (c *Conn) checkToken(now int64) bool {
	c.mu.Lock()
	token, expired := c.v2.token, c.v2.expired
	ends := token != nil && expired == 0 && !time.Now().Before(token.Expires)
	if ends {
		c.v2.expired = now
	}
	c.mu.Unlock()
	switch {
	case ends:
		c.send(protocol.TokenExpired)
	case expired != 0 && now >= expired+tokenGrace.Milliseconds():
		c.leave(protocol.ErrTokenExpired, true)
		return false
	}
	return true
}

// tokenDue is when the token must be looked at again, by clock, zero for never. The
// caller holds c.mu.
func (c *Conn) tokenDue(now int64) int64 {
	switch v2 := c.v2; {
	case v2 == nil || v2.token == nil:
		return 0
	case v2.expired != 0:
		return v2.expired + tokenGrace.Milliseconds()
	default:
		return now + max(time.Until(v2.token.Expires).Milliseconds(), 0) + 1
	}
}

// revoked ends a connection whose token was revoked.
func (c *Conn) revoked() {
	c.inOrder(func(c *Conn) { c.send(protocol.TokenRevoked) })
	c.end(protocol.ErrTokenRevoked)
}

// rights are the capabilities of a V2 connection, nil for none.
func (c *Conn) rights() *protocol.Capabilities {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.v2.rights
}

// may reports whether the connection has a right on a channel.
func (c *Conn) may(op protocol.Operation, channel string) bool {
	return c.rights().Allows(op, channel)
}
