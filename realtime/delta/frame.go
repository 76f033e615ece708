package delta

import (
	"encoding/base64"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// AppendMembers appends the full frame of a message: its text, with its number and,
// where the sequences of a channel have keys, its key as the last members (section
// 6.5). A text that is not an object is appended as it is.
func AppendMembers(dst, text []byte, seq uint64, key string, hasKey bool) []byte {
	if !extensible(text) {
		return append(dst, text...)
	}
	dst = append(dst, text[:len(text)-1]...)
	dst = append(dst, ',')
	dst = append(dst, memberSeq...)
	dst = strconv.AppendUint(dst, seq, 10)
	if hasKey {
		dst = append(dst, ',')
		dst = append(dst, memberKey...)
		dst = protocol.AppendString(dst, key)
	}
	return append(dst, '}')
}

// Frame is a delta frame (section 6.5).
type Frame struct {
	Channel string
	// Event is the event name of the hidden message.
	Event string
	// Delta is as Encode makes it.
	Delta []byte
	// Seq is the number of the message, BaseIndex that of its base.
	Seq, BaseIndex uint64
	Algorithm      Algorithm
	// OmitAlgorithm leaves the algorithm out: the one confirmed last applies.
	OmitAlgorithm bool
	// Key is the conflation key, written when HasKey is set, even if it is empty.
	Key    string
	HasKey bool

	// MessageID, StreamID and Serial repeat those of the hidden message: clients look
	// for them in frames, not in what they rebuild. Empty ids are left out, and so is
	// the serial unless HasSerial is set.
	MessageID, StreamID string
	Serial              uint64
	HasSerial           bool
}

// AppendFrame appends the frame as JSON text.
func AppendFrame(dst []byte, f Frame) []byte {
	dst = append(dst, `{"event":"`+protocol.PrefixSystemV2+`delta","channel":`...)
	dst = protocol.AppendString(dst, f.Channel)
	dst = append(dst, `,"data":{"event":`...)
	dst = protocol.AppendString(dst, f.Event)
	dst = append(dst, `,"delta":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, f.Delta)
	dst = append(dst, `","seq":`...)
	dst = strconv.AppendUint(dst, f.Seq, 10)
	if !f.OmitAlgorithm {
		dst = append(dst, `,"algorithm":"`...)
		dst = append(dst, f.Algorithm.String()...)
		dst = append(dst, '"')
	}
	if f.HasKey {
		dst = append(dst, `,"conflation_key":`...)
		dst = protocol.AppendString(dst, f.Key)
	}
	dst = append(dst, `,"base_index":`...)
	dst = strconv.AppendUint(dst, f.BaseIndex, 10)
	dst = append(dst, '}')
	if f.MessageID != "" {
		dst = append(dst, `,"message_id":`...)
		dst = protocol.AppendString(dst, f.MessageID)
	}
	if f.StreamID != "" {
		dst = append(dst, `,"stream_id":`...)
		dst = protocol.AppendString(dst, f.StreamID)
	}
	if f.HasSerial {
		dst = append(dst, `,"serial":`...)
		dst = strconv.AppendUint(dst, f.Serial, 10)
	}
	return append(dst, '}')
}
