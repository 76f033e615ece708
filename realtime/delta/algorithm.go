package delta

import (
	"errors"
	"strings"
)

// Algorithm is a delta format.
type Algorithm uint8

const (
	// Fossil is the delta format of the Fossil SCM, with its trailing checksum.
	Fossil Algorithm = iota
	// XDelta3 is VCDIFF (RFC 3284) without secondary compression, application header
	// and checksums, in one window, with the base as the only source segment.
	XDelta3
)

// ErrCorrupt is in the chain of every error of Decode that is the delta's fault.
var ErrCorrupt = errors.New("corrupt delta")

// ErrTooLarge is returned by Decode for a delta whose target is larger than asked for.
var ErrTooLarge = errors.New("the target of the delta is too large")

// Parse finds an algorithm by one of its names: "fossil", "xdelta3" or its alias
// "vcdiff", in any case.
func Parse(name string) (Algorithm, bool) {
	switch strings.ToLower(name) {
	case "fossil":
		return Fossil, true
	case "xdelta3", "vcdiff":
		return XDelta3, true
	default:
		return Fossil, false
	}
}

// String is the name of the algorithm in frames: "fossil" or "xdelta3".
func (a Algorithm) String() string {
	if a == XDelta3 {
		return "xdelta3"
	}
	return "fossil"
}

// Encode makes the delta that turns base into target. It takes time in proportion
// to the length of both whatever they hold, keeps neither, and always succeeds; when
// they have nothing in common the delta is longer than the target. Texts are meant
// to be far below 1 GiB, where the integers of both formats end.
func Encode(a Algorithm, base, target []byte) []byte {
	m := matchers.Get().(*matcher)
	defer m.release()
	if a == XDelta3 {
		m.match(base, target, vcdiffCosts)
		return m.appendVCDIFF(nil, base, target)
	}
	m.match(base, target, fossilCosts)
	return m.appendFossil(nil, target)
}

// Decode applies a delta to its base. The delta may come from anywhere: an invalid
// one is an error, and nothing is allocated for a target of more than maxSize bytes.
// Only Fossil deltas show that they were applied to the wrong base.
func Decode(a Algorithm, base, delta []byte, maxSize int) ([]byte, error) {
	if a == XDelta3 {
		return decodeVCDIFF(base, delta, maxSize)
	}
	return decodeFossil(base, delta, maxSize)
}
