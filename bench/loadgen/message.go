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

	// What follows is of V2.
	StreamID string `json:"stream_id,omitempty"`
	Serial   uint64 `json:"serial,omitempty"`
}

// onMessage handles one message. Stamped events are nearly all of them, so they are
// looked for first and without decoding.
func (c *session) onMessage(message []byte) error {
	s := c.swarm
	if c.state == s.listening() {
		if found, ok := s.find(message); ok {
			s.book(c, found)
			return nil
		}
	}
	switch {
	case c.state == stateReady:
		return c.onControl(message)
	case s.dialect != V1:
		return c.onReply(message)
	case bytes.Contains(message, markError):
		return fmt.Errorf("%w: %.300s", errRefused, message)
	}
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		return fmt.Errorf("message %.100q: %w", message, err)
	}
	switch {
	case c.state == stateGreeting && e.Event == "pusher:connection_established":
		return c.onGreeting(e.Data)
	case c.state == stateSubscribing && e.Event == "pusher_internal:subscription_succeeded":
		return c.onSubscribed(e)
	case e.Event == "pusher_internal:member_added":
		return c.onMemberAdded(message)
	}
	return fmt.Errorf("%w: unexpected %.300s", errRefused, message)
}

// listening is the state in which events are expected: once the connection is ready,
// or, when it resumes or rewinds, before.
func (s *swarm) listening() state {
	if s.positions != nil || s.rewinds {
		return stateResuming
	}
	return stateReady
}

// find tells which publish a message is of.
func (s *swarm) find(message []byte) (stamp, bool) {
	if s.deltas {
		return s.findDelta(message)
	}
	return s.finder.find(message)
}

// onControl handles what is not a stamped event on an open subscription.
func (c *session) onControl(message []byte) error {
	switch {
	case bytes.Contains(message, markMemberAdded):
		return c.onMemberAdded(message)
	case bytes.Contains(message, markPing):
		return c.send(pongMessage)
	case bytes.Contains(message, markError), bytes.Contains(message, markErrorV2):
		return fmt.Errorf("%w: %.300q", errRefused, message)
	case bytes.Contains(message, markDeltaEnabled):
		return nil
	}
	c.swarm.tally.misrouted++
	c.swarm.blame(fmt.Errorf("connection %d: unexpected %.300q", c.number, message))
	return nil
}

// onGreeting takes the socket id, which signatures cover.
func (c *session) onGreeting(data string) error {
	var hello struct {
		SocketID string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(data), &hello); err != nil || hello.SocketID == "" {
		return fmt.Errorf("connection_established without a socket id: %.200s", data)
	}
	c.socketID = hello.SocketID
	return c.onEstablished()
}

// onEstablished goes on with the subscription, if there is to be one.
func (c *session) onEstablished() error {
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
	text, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	if c.swarm.members != nil {
		text = append(text[:len(text)-1], ","+c.swarm.members(c.number)+"}"...)
	}
	return dialects[c.swarm.dialect].request("subscribe", text), nil
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
	if t.measuring && found.at > 0 {
		t.latency.add(s.now - found.at)
	}
	if s.window != nil && found.slot != noSlot {
		s.window.arrived(found.slot)
	}
}
