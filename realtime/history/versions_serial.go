package history

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// MaxSerial is the length of the longest serial of a message or a version, in bytes.
const MaxSerial = 128

// serialDigits are those of the time and of the counter in a serial.
const serialDigits = 20

// serials counts the serials of this process, so that no two of a millisecond are
// equal.
var serials atomic.Uint64

// NewSerial makes a serial of a message or a version: the time, the node and a counter
// (HTTP API, section 6.2). It is greater than after, as texts are compared, even if the
// clock of whoever has made after was ahead.
func NewSerial(now time.Time, node, after string) string {
	ms := uint64(max(now.UnixMilli(), 0))
	serial := serialAt(ms, node)
	if serial > after {
		return serial
	}
	if then, err := strconv.ParseUint(after[:min(serialDigits, len(after))], 10, 64); err == nil && then+1 > then {
		if serial = serialAt(then+1, node); serial > after {
			return serial
		}
	}
	return above(after)
}

func serialAt(ms uint64, node string) string {
	return fmt.Sprintf("%0*d:%s:%0*d", serialDigits, ms, serialNode(node), serialDigits, serials.Add(1))
}

// maxSerialNode is what the rest of a serial leaves to the name of a node.
const maxSerialNode = MaxSerial - 2*(serialDigits+1)

// serialNode is the name of a node as it can stand in a serial. A name that has to
// change gets a digest at its end, so that it is still not that of another node.
func serialNode(node string) string {
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return r
		}
		return '-'
	}, node)
	if name == node && name != "" && len(name) <= maxSerialNode {
		return name
	}
	digest := sha256.Sum256([]byte(node))
	end := "-" + hex.EncodeToString(digest[:8])
	return name[:min(len(name), maxSerialNode-len(end))] + end
}

// above is a text that is greater than one which this server has not made.
func above(after string) string {
	if len(after) < MaxSerial {
		return after + "0"
	}
	for i := MaxSerial - 1; i >= 0; i-- {
		if after[i] < '~' {
			return after[:i] + string(rune(max(after[i], ' ')+1))
		}
	}
	return after // nothing of these bytes is greater
}

// CheckSerial reports what is wrong with a serial, which is called by its label in
// front of a text for people.
func CheckSerial(label, serial string) error {
	switch {
	case strings.TrimSpace(serial) == "":
		return errors.New(label + " must not be empty")
	case strings.ContainsFunc(serial, unicode.IsSpace):
		return errors.New(label + " must not contain whitespace")
	case len(serial) > MaxSerial:
		return fmt.Errorf("%s must be at most %d bytes", label, MaxSerial)
	}
	return nil
}

// ValidSerial reports whether a text can be a serial.
func ValidSerial(serial string) bool { return CheckSerial("", serial) == nil }
