package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/gorilla/websocket"
)

// queueLength is the number of messages that may wait for one connection.
const queueLength = 256

// envelope is a message in either direction.
type envelope struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// client is one connection.
type client struct {
	conn     *websocket.Conn
	send     chan *websocket.PreparedMessage
	channels map[string]struct{}
	closed   bool // whether send is closed; guarded by the hub
}

// hub knows who subscribes to what.
type hub struct {
	mu       sync.Mutex
	channels map[string]map[*client]struct{}
}

func newHub() *hub { return &hub{channels: make(map[string]map[*client]struct{})} }

// serve starts the two goroutines of a connection and returns.
func (h *hub) serve(conn *websocket.Conn) {
	c := &client{conn: conn, send: make(chan *websocket.PreparedMessage, queueLength), channels: make(map[string]struct{})}
	hello := fmt.Sprintf(`{"socket_id":"%d.%d","activity_timeout":120}`, rand.Uint32(), rand.Uint32())
	h.reply(c, envelope{Event: "pusher:connection_established", Data: quoted(hello)})
	go c.write()
	go h.read(c)
}

// read handles what the client sends until the connection ends.
func (h *hub) read(c *client) {
	defer h.leave(c)
	for {
		_, message, err := c.conn.ReadMessage()
		if err != nil {
			return
		}
		var e envelope
		var data struct{ Channel string }
		if json.Unmarshal(message, &e) != nil {
			return
		}
		switch e.Event {
		case "pusher:ping":
			h.reply(c, envelope{Event: "pusher:pong"})
		case "pusher:subscribe":
			if json.Unmarshal(e.Data, &data) == nil {
				h.subscribe(c, data.Channel)
			}
		}
	}
}

// write sends what is queued until the queue is closed.
func (c *client) write() {
	defer c.conn.Close()
	for message := range c.send {
		if c.conn.WritePreparedMessage(message) != nil {
			return
		}
	}
}

func (h *hub) subscribe(c *client, channel string) {
	h.mu.Lock()
	if h.channels[channel] == nil {
		h.channels[channel] = make(map[*client]struct{})
	}
	h.channels[channel][c] = struct{}{}
	c.channels[channel] = struct{}{}
	h.mu.Unlock()
	h.reply(c, envelope{Event: "pusher_internal:subscription_succeeded", Channel: channel, Data: quoted("{}")})
}

// leave forgets a connection that has ended.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for channel := range c.channels {
		delete(h.channels[channel], c)
		if len(h.channels[channel]) == 0 {
			delete(h.channels, channel)
		}
	}
	c.hangUp()
}

// hangUp ends the writer once what is queued is out.
func (c *client) hangUp() {
	if !c.closed {
		c.closed = true
		close(c.send)
	}
}

// broadcast queues one message for all subscribers of a channel.
func (h *hub) broadcast(channel string, message *websocket.PreparedMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.channels[channel] {
		c.enqueue(message)
	}
}

func (h *hub) reply(c *client, e envelope) {
	message, err := prepare(e)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	c.enqueue(message)
}

// enqueue closes a connection that is too slow.
func (c *client) enqueue(message *websocket.PreparedMessage) {
	if c.closed {
		return
	}
	select {
	case c.send <- message:
	default:
		c.hangUp()
	}
}

func prepare(e envelope) (*websocket.PreparedMessage, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return websocket.NewPreparedMessage(websocket.TextMessage, text)
}

// quoted is JSON in a JSON string, as the protocol sends its own data.
func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s)
	return b
}
