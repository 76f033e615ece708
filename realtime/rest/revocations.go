package rest

import (
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// maxReason bounds the reason that is kept with a revocation, in bytes.
const maxReason = 512

// revocation is the body of a call that revokes capability tokens.
type revocation struct {
	jti, clientID, reason optional
	ttl, expires          moment
}

// moment is a whole number of seconds that may be absent.
type moment struct {
	n   int64
	set bool
}

// revoke ends capability tokens by their id, by their client, or by both (section
// 3.6). Tokens are refused from now on, and the sockets that use them are closed, on
// this node before the call is answered, on others when they hear of it.
func (c *call) revoke() ([]byte, *failure) {
	object, f := c.document()
	if f != nil {
		return nil, f
	}
	var body revocation
	if f := body.parse(object); f != nil {
		return nil, f
	}
	r, f := body.check(c.h.now())
	if f != nil {
		return nil, f
	}
	result, err := c.live.Revoke(c.r.Context(), c.app, r)
	if err != nil {
		c.settings().Log.Error("revoking capability tokens", zap.String("app", c.app.ID), zap.Error(err))
		return nil, errRevocation
	}
	c.out = append(c.out[:0], `{"revoked_jti":`...)
	c.out = strconv.AppendBool(c.out, result.ID)
	c.out = append(c.out, `,"revoked_client_id":`...)
	c.out = strconv.AppendBool(c.out, result.Client)
	c.out = append(c.out, `,"closed_connections":`...)
	c.out = strconv.AppendInt(c.out, int64(result.Closed), 10)
	c.out = append(c.out, '}')
	return c.out, nil
}

// parse reads the members. Of a repeated one the last counts.
func (b *revocation) parse(object []byte) *failure {
	members := walk(object)
	for name, value, ok := members.member(); ok; name, value, ok = members.member() {
		var f *failure
		switch string(name) {
		case "jti":
			f = b.jti.take("jti", value)
		case "client_id":
			f = b.clientID.take("client_id", value)
		case "reason":
			f = b.reason.take("reason", value)
		case "ttl_seconds":
			f = b.ttl.take("ttl_seconds", value)
		case "expires_at":
			f = b.expires.take("expires_at", value)
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// take sets a number. Null means absent.
func (m *moment) take(field string, value []byte) *failure {
	if *m = (moment{}); isNull(value) {
		return nil
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return wrongShape.with(field + " must be a whole number of seconds")
	}
	*m = moment{n, true}
	return nil
}

// checkName wants a name, if it is given, to be one that a token can have.
func (o *optional) checkName(field string) *failure {
	if n := len(o.text); o.set && (n == 0 || n > protocol.MaxTokenName) {
		return invalidInput.with(fmt.Sprintf("%s has %d bytes, and must have 1 to %d", field, n, protocol.MaxTokenName))
	}
	return nil
}

// check is the revocation that is meant. ttl_seconds wins over expires_at.
func (b *revocation) check(now time.Time) (r realtime.Revocation, f *failure) {
	const longest = int64(realtime.MaxRevocation / time.Second)
	if !b.jti.set && !b.clientID.set {
		return r, errRevokeNothing
	}
	if f := b.jti.checkName("jti"); f != nil {
		return r, f
	}
	if f := b.clientID.checkName("client_id"); f != nil {
		return r, f
	}
	switch {
	case len(b.reason.text) > maxReason:
		return r, invalidInput.with(fmt.Sprintf("reason has %d bytes, and must have %d at most", len(b.reason.text), maxReason))
	case b.ttl.set && (b.ttl.n < 0 || b.ttl.n > longest):
		return r, invalidInput.with(fmt.Sprintf("ttl_seconds is %d, and must be from 0 to %d", b.ttl.n, longest))
	case b.expires.set && b.expires.n > now.Unix()+longest:
		return r, invalidInput.with(fmt.Sprintf("expires_at is %d, and must be seconds since 1970, %d from now at most", b.expires.n, longest))
	}
	r = realtime.Revocation{ID: b.jti.text, ClientID: b.clientID.text, Reason: b.reason.text}
	if b.ttl.set {
		r.TTL = time.Duration(max(b.ttl.n, 1)) * time.Second
	}
	if b.expires.set {
		r.ExpiresAt = time.Unix(b.expires.n, 0)
	}
	return r, nil
}
