package protocol

import (
	"strconv"
	"unicode/utf8"
)

// The members of an envelope in the binary formats: their numbers in Protobuf, and
// their places in the array of MessagePack, counted from 1 (section 0.3).
const (
	slotEvent = 1 + iota
	slotChannel
	slotData
	slotName
	slotUserID
	slotTags
	slotSequence      // never sent
	slotConflationKey // never sent
	slotMessageID
	slotStreamID
	slotSerial
	slotIdempotencyKey // never sent
	slotExtras
	slotDeltaSequence
	slotDeltaKey
	envelopeSlots = slotDeltaKey
)

// extrasSlots is the number of the members of extras in the binary formats.
const extrasSlots = 5

// slotNames are the names of the members in a map of MessagePack.
var slotNames = [envelopeSlots]string{
	"event", "channel", "data", "name", "user_id", "tags", "sequence", "conflation_key", "message_id", "stream_id", "serial",
	"idempotency_key", "extras", "delta_sequence", "delta_conflation_key",
}

// Kinds of data and of headers in the binary formats (section 1.4).
const (
	kindString     = "string"
	kindJSON       = "json"
	kindBinary     = "binary"
	kindStructured = "structured"
	kindNumber     = "number"
	kindBool       = "bool"
)

// inBinary reports whether anything of the extras exists in the binary formats,
// which know neither members of other names nor a false ephemeral.
func (x *Extras) inBinary() bool {
	return x != nil && (len(x.Headers) > 0 || x.Ephemeral || x.Echo != nil || x.AI.inBinary())
}

func (ai *AIExtras) inBinary() bool { return ai != nil && len(ai.Transport)+len(ai.Codec) > 0 }

func (h Header) kind() string {
	switch h.Value[0] {
	case '"':
		return kindString
	case 't', 'f':
		return kindBool
	default:
		return kindNumber
	}
}

func (h Header) truth() bool { return h.Value[0] == 't' }

// number is the nearest double: infinite for what is larger than all of them.
func (h Header) number() float64 {
	n, _ := strconv.ParseFloat(string(h.Value), 64)
	return n
}

// quoted is a name out of a message, cut to what an error may show of it.
func quoted(name []byte) string {
	const most = 40
	if len(name) <= most {
		return strconv.Quote(string(name))
	}
	end := most
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return strconv.Quote(string(name[:end])) + "…"
}
