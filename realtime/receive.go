package realtime

import (
	"strings"
	"unicode/utf8"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Receive handles one inbound message. Calls for one connection never overlap.
func (c *Conn) Receive(text []byte) {
	now := clock()
	c.heard.Store(now)
	c.app.meter.received(len(text))
	if e := c.allowMessage(now); e != nil {
		c.refuse(e)
		return
	}
	if !utf8.Valid(text) {
		c.refuse(protocol.BadFormat("not valid UTF-8"))
		return
	}
	m, e := protocol.ParseMessage(text)
	if e != nil {
		c.refuse(e)
		return
	}
	if strings.HasPrefix(m.Event, protocol.ClientEvent) {
		e = c.clientEvent(m, now)
	} else if name, ok := protocol.Canonical(m.Event); ok {
		e = c.system(name, m)
	}
	if e != nil {
		c.refuse(e)
	}
}

// system handles an event with a system prefix. Unknown ones are ignored.
func (c *Conn) system(name string, m protocol.Message) *protocol.Error {
	switch name {
	case "ping":
		c.transport.Send(protocol.PongFrame)
	case "subscribe":
		return c.subscribe(m)
	case "unsubscribe":
		return c.unsubscribe(m)
	case "signin":
		return c.signin(m)
	case "resume":
		return protocol.BadVersion("resume is only supported on protocol V2")
	case "auth":
		return protocol.ErrTokenOnV1Frame
	case "presence_update":
		if strings.Contains(m.Event, "_internal:") {
			return nil
		}
		return protocol.BadVersion("presence_update is only supported on protocol V2")
	case "channel_history":
		return protocol.BadVersion("channel_history is only supported on protocol V2")
	}
	return nil
}

// refuse tells the client about an error, and closes the connection if the error
// says so.
func (c *Conn) refuse(e *protocol.Error) {
	c.app.meter.failed(e)
	if e.Close {
		c.transport.Close(e)
		return
	}
	c.transport.Send(protocol.ErrorFrame(e))
}
