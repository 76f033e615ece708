package surrealdb

import (
	"encoding/binary"
	"errors"
	"math"
)

// maxDepth is how deep values may be nested.
const maxDepth = 128

var (
	errUnsound = errors.New("the answer is no whole CBOR")
	errDeep    = errors.New("the answer is nested too deeply")
)

// sound checks that bytes are one whole value of CBOR, not nested deeply, and with no
// list that claims more than there is. The codec believes all of this: it would run out
// of stack or of memory.
func sound(data []byte) error {
	var open []uint64 // how many values are missing in each list around
	for {
		head, n, rest, err := nextHead(data)
		if err != nil {
			return err
		}
		data = rest
		switch major := head >> 5; {
		case head == 0xff: // the end of a list without a length
			if len(open) == 0 || open[len(open)-1] != endless {
				return errUnsound
			}
			open = open[:len(open)-1]
		case major == 2 || major == 3:
			if n == endless {
				open = append(open, endless)
				break
			}
			if n > uint64(len(data)) {
				return errUnsound
			}
			data = data[n:]
		case major == 4 || major == 5 || major == 6:
			if n, err = inside(major, n, len(data)); err != nil {
				return err
			}
			open = append(open, n)
		}
		if len(open) > maxDepth {
			return errDeep
		}
		if open = closed(open, head); len(open) == 0 {
			if len(data) > 0 {
				return errUnsound
			}
			return nil
		}
	}
}

// endless is the length of what has none.
const endless = math.MaxUint64

// inside is how many values a list, a map or a tag holds.
func inside(major byte, n uint64, left int) (uint64, error) {
	switch {
	case major == 6 && n == endless:
		return 0, errUnsound
	case major == 6:
		return 1, nil
	case n == endless:
		return endless, nil
	case n > uint64(left): // each is a byte at least
		return 0, errUnsound
	case major == 5:
		return 2 * n, nil
	}
	return n, nil
}

// closed counts a value that has ended, and closes the lists that it was the last one
// of. One that has just been opened has not ended unless it is empty.
func closed(open []uint64, head byte) []uint64 {
	major := head >> 5
	opened := head != 0xff && (major == 4 || major == 5 || major == 6 || head == 0x5f || head == 0x7f)
	if opened && open[len(open)-1] > 0 {
		return open
	}
	if opened {
		open = open[:len(open)-1]
	}
	for len(open) > 0 {
		last := &open[len(open)-1]
		if *last == endless {
			return open
		}
		if *last--; *last > 0 {
			return open
		}
		open = open[:len(open)-1]
	}
	return open
}

// nextHead is the first byte of a value, the number in it or behind it, and what
// follows.
func nextHead(data []byte) (head byte, n uint64, rest []byte, err error) {
	if len(data) == 0 {
		return 0, 0, nil, errUnsound
	}
	head, rest = data[0], data[1:]
	info := head & 0x1f
	switch {
	case info < 24:
		return head, uint64(info), rest, nil
	case info == 31 && (head>>5 >= 2 && head>>5 != 6):
		return head, endless, rest, nil
	case info > 27:
		return 0, 0, nil, errUnsound
	}
	size := 1 << (info - 24)
	if len(rest) < size {
		return 0, 0, nil, errUnsound
	}
	var wide [8]byte
	copy(wide[8-size:], rest[:size])
	if n = binary.BigEndian.Uint64(wide[:]); n == endless && head>>5 != 7 && head>>5 > 1 {
		return 0, 0, nil, errUnsound
	}
	return head, n, rest[size:], nil
}
