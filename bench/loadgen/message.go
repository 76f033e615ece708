//go:build linux

package loadgen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

var (
	markMemberAdded = []byte(`member_added"`)
	markError       = []byte(`"pusher:error"`)
	markPing        = []byte(`"pusher:ping"`)
	pongMessage     = []byte(`{"event":"pusher:pong","data":{}}`)
)

// envelope is a message as the protocol wraps it. Data of the protocol's own
// events is JSON in a string.
type envelope struct {
	Event   string `json:"event"`
	Channel string `json:"channel"`
	Data    string `json:"data"`
}

// onMessage handles one text message. Stamped events are nearly all of them, so
// they are looked for first and without decoding.
func (c *session) onMessage(message []byte) error {
	if c.state == stateReady {
		if found, ok := c.swarm.finder.find(message); ok {
			c.swarm.book(c, found)
			return nil
		}
		return c.onControl(message)
	}
	if bytes.Contains(message, markError) {
		return fmt.Errorf("%w: %.300s", errRefused, message)
	}
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		return fmt.Errorf("message %.100q: %w", message, err)
	}
	switch {
	case c.state == stateGreeting && e.Event == "pusher:connection_established":
		return c.onEstablished(e.Data)
	case c.state == stateSubscribing && e.Event == "pusher_internal:subscription_succeeded":
		return c.onSubscribed(e)
	case e.Event == "pusher_internal:member_added":
		return c.onMemberAdded(message)
	}
	return fmt.Errorf("%w: unexpected %.300s", errRefused, message)
}

// onControl handles what is not a stamped event on an open subscription.
func (c *session) onControl(message []byte) error {
	switch {
	case bytes.Contains(message, markMemberAdded):
		return c.onMemberAdded(message)
	case bytes.Contains(message, markPing):
		return c.send(pongMessage)
	case bytes.Contains(message, markError):
		return fmt.Errorf("%w: %.300s", errRefused, message)
	}
	c.swarm.tally.misrouted++
	c.swarm.blame(fmt.Errorf("connection %d: unexpected %.300s", c.number, message))
	return nil
}

func (c *session) onEstablished(data string) error {
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(data), &hello); err != nil || hello.SocketID == "" {
		return fmt.Errorf("connection_established without a socket id: %.200s", data)
	}
	c.socketID = hello.SocketID
	if c.channel < 0 {
		c.swarm.becomeReady(c)
		return nil
	}
	c.state = stateSubscribing
	message, err := c.subscribeMessage()
	if err != nil {
		return err
	}
	return c.send(message)
}

// subscribeMessage asks for the session's channel, with a signature where the
// channel's name calls for one.
func (c *session) subscribeMessage() ([]byte, error) {
	channel := c.swarm.channels[c.channel]
	data := map[string]string{"channel": channel}
	switch {
	case strings.HasPrefix(channel, "presence-"):
		number := strconv.Itoa(c.number)
		data["channel_data"] = `{"user_id":"u` + number + `","user_info":{"name":"member ` + number + `"}}`
		data["auth"] = c.swarm.target.channelAuth(c.socketID, channel, data["channel_data"])
	case strings.HasPrefix(channel, "private-"):
		data["auth"] = c.swarm.target.channelAuth(c.socketID, channel, "")
	}
	return json.Marshal(map[string]any{"event": "pusher:subscribe", "data": data})
}

func (c *session) onSubscribed(e envelope) error {
	if want := c.swarm.channels[c.channel]; e.Channel != want {
		return fmt.Errorf("%w: subscribed to %q, asked for %q", errRefused, e.Channel, want)
	}
	if strings.HasPrefix(e.Channel, "presence-") {
		if err := c.onRoster(e.Data); err != nil {
			return err
		}
	}
	c.swarm.becomeReady(c)
	return nil
}

// book enters one stamped event into the accounts.
func (s *swarm) book(c *session, found stamp) {
	t := &s.tally
	if found.channel != c.channel || found.lane >= s.lanes {
		t.misrouted++
		return
	}
	switch c.ledger.note(found.lane, found.seq) {
	case arrivedAgain:
		t.again++
		return
	case arrivedLate:
		t.late++
	case arrivedNext:
	}
	t.delivered++
	if t.measuring {
		t.latency.add(s.now - found.at)
	}
	if s.window != nil && found.slot != noSlot {
		s.window.arrived(found.slot)
	}
}
