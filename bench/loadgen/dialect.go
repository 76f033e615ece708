//go:build linux

package loadgen

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Dialect is what subscribers speak. Frames are written by hand and recognised by the
// names in them, so that the generator owes nothing to the code that it measures.
type Dialect uint8

// The dialects.
const (
	// V1 is protocol 7 of Pusher Channels, in JSON. It is the default.
	V1 Dialect = iota
	// V2JSON is Sockudo's protocol 2 in JSON.
	V2JSON
	// V2MessagePack is the same in MessagePack (section 1.4).
	V2MessagePack
	// V2Protobuf is the same in Protobuf (appendix D).
	V2Protobuf
)

// dialects say what differs, by Dialect.
var dialects = [...]struct {
	query   string // of the handshake
	opcode  byte   // of every message, both ways
	request func(event string, data []byte) []byte
}{
	V1:            {"protocol=7", opText, requestJSON("pusher:")},
	V2JSON:        {"protocol=2", opText, requestJSON("sockudo:")},
	V2MessagePack: {"protocol=2&format=msgpack", opBinary, requestMessagePack},
	V2Protobuf:    {"protocol=2&format=protobuf", opBinary, requestProtobuf},
}

// requestJSON writes messages whose data is the given JSON text.
func requestJSON(prefix string) func(event string, data []byte) []byte {
	return func(event string, data []byte) []byte {
		return fmt.Appendf(nil, `{"event":"%s%s","data":%s}`, prefix, event, data)
	}
}

// requestMessagePack is a map with the members event and data; data is the pair of
// its kind and its text.
func requestMessagePack(event string, data []byte) []byte {
	b := appendPackedString([]byte{0x82}, "event")
	b = appendPackedString(b, "sockudo:"+event)
	b = append(appendPackedString(b, "data"), 0x92)
	b = appendPackedString(b, "json")
	return appendPackedString(b, string(data))
}

func appendPackedString(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<8:
		b = append(b, 0xd9, byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	}
	return append(b, s...)
}

// requestProtobuf is an envelope with event, field 1, and data, field 3, whose own
// field 3 is the JSON text.
func requestProtobuf(event string, data []byte) []byte {
	b := appendField(nil, 1, []byte("sockudo:"+event))
	return appendField(b, 3, appendField(nil, 3, data))
}

func appendField(b []byte, number byte, value []byte) []byte {
	b = binary.AppendUvarint(append(b, number<<3|2), uint64(len(value)))
	return append(b, value...)
}

var (
	markErrorV2      = []byte("sockudo:error")
	markEstablished  = []byte("sockudo:connection_established")
	markSubscribed   = []byte("sockudo_internal:subscription_succeeded")
	markDeltaEnabled = []byte("sockudo:delta_compression_enabled")
	markResumed      = []byte("sockudo:resume_success")
	markRewound      = []byte("sockudo:rewind_complete")
)

// onReply handles what a V2 server says to a connection that is not ready.
func (c *session) onReply(message []byte) error {
	switch {
	case c.state == stateGreeting && bytes.Contains(message, markEstablished):
		return c.onEstablished()
	case c.state == stateSubscribing && bytes.Contains(message, markSubscribed):
		return c.onSubscribedV2(message)
	case c.state == stateResuming && (bytes.Contains(message, markResumed) || bytes.Contains(message, markRewound)):
		c.swarm.becomeReady(c)
		return nil
	case bytes.Contains(message, markDeltaEnabled):
		return nil
	}
	return fmt.Errorf("%w: unexpected %.300q", errRefused, message)
}

// onSubscribedV2 takes the position in the channel, which only JSON tells here, and
// asks for what was missed since an earlier one.
func (c *session) onSubscribedV2(message []byte) error {
	channel := c.swarm.channels[c.channel]
	if c.swarm.dialect != V2JSON {
		if !bytes.Contains(message, []byte(channel)) {
			return fmt.Errorf("%w: asked for %q, got %.300q", errRefused, channel, message)
		}
		c.swarm.becomeReady(c)
		return nil
	}
	var e envelope
	if err := json.Unmarshal(message, &e); err != nil {
		return fmt.Errorf("message %.100q: %w", message, err)
	}
	if e.Channel != channel {
		return fmt.Errorf("%w: subscribed to %q, asked for %q", errRefused, e.Channel, channel)
	}
	c.position = position{e.StreamID, e.Serial}
	if c.swarm.positions == nil && !c.swarm.rewinds {
		c.swarm.becomeReady(c)
		return nil
	}
	c.state = stateResuming
	if c.swarm.rewinds {
		return nil
	}
	return c.send(c.swarm.positions[c.number].request(channel))
}

// position is how far a subscriber has come in its channel.
type position struct {
	stream string
	serial uint64
}

// request asks for everything after the position.
func (p position) request(channel string) []byte {
	data := fmt.Appendf(nil, `{"channel_positions":{%q:{"stream_id":%q,"serial":%d}}}`, channel, p.stream, p.serial)
	return dialects[V2JSON].request("resume", data)
}
