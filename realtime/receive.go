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
	if !c.format.Binary() && !utf8.Valid(text) {
		c.refuse(protocol.BadFormat("not valid UTF-8"))
		return
	}
	m, e := protocol.ParseMessage(c.format, text)
	if e != nil {
		c.refuse(e)
		return
	}
	c.tellReceived(m, len(text))
	if strings.HasPrefix(m.Event, protocol.ClientEvent) {
		e = c.clientEvent(m, now)
	} else if name, ok := protocol.Canonical(m.Event); ok {
		e = c.system(name, m)
	} else if m.Event == "channel_history" {
		e = c.channelHistory(m)
	}
	if e != nil {
		c.refuse(e)
	}
}

// system handles an event with a system prefix. Unknown ones are ignored.
func (c *Conn) system(name string, m protocol.Message) *protocol.Error {
	switch name {
	case "ping":
		c.send(protocol.Pong)
	case "subscribe":
		return c.subscribe(m)
	case "unsubscribe":
		return c.unsubscribe(m)
	case "signin":
		return c.signin(m)
	case "resume":
		return c.resume(m)
	case "auth":
		return c.auth(m)
	case "presence_update":
		if strings.Contains(m.Event, "_internal:") {
			return nil
		}
		return c.presenceUpdate(m)
	case "channel_history":
		return c.channelHistory(m)
	case "enable_delta_compression":
		c.enableDelta()
	case "delta_sync_error":
		return c.deltaSyncError(m)
	}
	return nil
}

// refuse tells the client about an error, and closes the connection if the error
// says so.
func (c *Conn) refuse(e *protocol.Error) {
	c.app.meter.failed(e)
	c.tell(Refused, Happening{Code: e.Code, Reason: e.Message})
	if e.Close {
		c.transport.Close(e)
		return
	}
	c.send(protocol.ErrorMessage(e))
}
