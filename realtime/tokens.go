package realtime

import (
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// tokens are the connections of an app on this node that have shown a capability
// token, by the two names under which tokens are revoked. The zero value is ready.
type tokens struct {
	mu       sync.Mutex
	byID     map[string]holders
	byClient map[string]holders
}

// holders are the connections of one name, of which there is mostly one.
type holders struct {
	conn  *Conn
	token *protocol.Token
	// more are those besides conn, nil for none.
	more map[*Conn]*protocol.Token
}

// replace files a connection under its new token instead of the old one. Either may
// be nil: a connection comes with its first token, and goes with its last.
//
// A token is filed before Live.Revoked is asked. In the other order it could be
// revoked in between, and nobody would see it.
func (t *tokens) replace(c *Conn, old, token *protocol.Token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old != nil {
		t.unfileLocked(c, old)
	}
	if token == nil {
		return
	}
	if t.byID == nil {
		t.byID, t.byClient = map[string]holders{}, map[string]holders{}
	}
	file(t.byID, token.ID, c, token)
	file(t.byClient, token.ClientID, c, token)
}

// take lists the connections whose token has the id, or is of the client, and forgets
// them, so that no connection is revoked twice. Empty names are nobody's.
func (t *tokens) take(id, client string) (conns []*Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	conns = t.takeLocked(conns, t.byID[id])
	return t.takeLocked(conns, t.byClient[client])
}

func (t *tokens) takeLocked(conns []*Conn, h holders) []*Conn {
	for c, token := range h.more {
		conns = append(conns, c)
		t.unfileLocked(c, token)
	}
	if h.conn != nil {
		conns = append(conns, h.conn)
		t.unfileLocked(h.conn, h.token)
	}
	return conns
}

func (t *tokens) unfileLocked(c *Conn, token *protocol.Token) {
	unfile(t.byID, token.ID, c)
	unfile(t.byClient, token.ClientID, c)
}

func file(index map[string]holders, name string, c *Conn, token *protocol.Token) {
	h := index[name]
	switch {
	case h.conn == nil || h.conn == c:
		h.conn, h.token = c, token
	case h.more == nil:
		h.more = map[*Conn]*protocol.Token{c: token}
	default:
		h.more[c] = token
	}
	index[name] = h
}

func unfile(index map[string]holders, name string, c *Conn) {
	h := index[name]
	delete(h.more, c)
	if h.conn == c {
		h.conn, h.token = nil, nil
		for another, token := range h.more {
			h.conn, h.token = another, token
			delete(h.more, another)
			break
		}
	}
	if h.conn == nil {
		delete(index, name)
		return
	}
	index[name] = h
}
