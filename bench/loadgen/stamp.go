//go:build linux

package loadgen

import (
	"bytes"
	"time"
)

// The stamp that opens every event's data has fixed columns:
//
//	seq=LL.CCCCC.SSSSSSSSSS.WWW at=NNNNNNNNNNNNNNNNNNN
//
// lane, channel, sequence number, window slot, Unix nanoseconds.
const (
	stampLayout = "seq=00.00000.0000000000.000 at=0000000000000000000"
	stampLen    = len(stampLayout)
	// noSlot is the slot of a publish that no window counts.
	noSlot = 999
)

var stampMark = []byte("seq=")

// stamp identifies one publish.
type stamp struct {
	lane    int
	channel int
	seq     uint32 // from 0 in its lane and channel
	slot    int    // position in the closed loop's window, or noSlot
	at      int64  // when the publish was due, Unix nanoseconds
}

// appendData appends event data of the given size in bytes that opens with the
// stamp. Smaller sizes are raised to the stamp's own.
func (s stamp) appendData(b []byte, size int) []byte {
	start := len(b)
	b = append(b, stampLayout...)
	field := b[start:]
	putDigits(field[4:6], int64(s.lane))
	putDigits(field[7:12], int64(s.channel))
	putDigits(field[13:23], int64(s.seq))
	putDigits(field[24:27], int64(s.slot))
	putDigits(field[31:50], s.at)
	for len(b)-start < size {
		b = append(b, 'x')
	}
	return b
}

// parseStamp reads a stamp from the start of b.
func parseStamp(b []byte) (s stamp, ok bool) {
	if len(b) < stampLen || !bytes.HasPrefix(b, stampMark) ||
		b[6] != '.' || b[12] != '.' || b[23] != '.' || string(b[27:31]) != " at=" {
		return stamp{}, false
	}
	lane, ok1 := digits(b[4:6])
	channel, ok2 := digits(b[7:12])
	seq, ok3 := digits(b[13:23])
	slot, ok4 := digits(b[24:27])
	at, ok5 := digits(b[31:50])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || seq > 1<<32-1 {
		return stamp{}, false
	}
	return stamp{lane: int(lane), channel: int(channel), seq: uint32(seq), slot: int(slot), at: at}, true
}

// stampFinder finds stamps in messages. Messages of one run look alike, so it
// tries the place of the last stamp before it searches.
type stampFinder struct{ hint int }

func (f *stampFinder) find(message []byte) (stamp, bool) {
	if h := f.hint; h+len(stampMark) <= len(message) && bytes.HasPrefix(message[h:], stampMark) {
		return parseStamp(message[h:])
	}
	i := bytes.Index(message, stampMark)
	if i < 0 {
		return stamp{}, false
	}
	f.hint = i
	return parseStamp(message[i:])
}

// putDigits fills b with v in decimal, zeros in front.
func putDigits(b []byte, v int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
}

// digits reads b as one decimal number.
func digits(b []byte) (v int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int64(c-'0')
	}
	return v, true
}

func nanos() int64 { return time.Now().UnixNano() }
