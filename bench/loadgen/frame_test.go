//go:build linux

package loadgen

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// serverFrame is an unmasked frame, as a server sends it.
func serverFrame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// Every way of cutting the stream into reads must give the same frames.
func TestFrameReaderAnySplit(t *testing.T) {
	payloads := []string{"", "a", strings.Repeat("b", 125), strings.Repeat("c", 126), strings.Repeat("d", 70_000), "end"}
	var stream []byte
	for _, p := range payloads {
		stream = append(stream, serverFrame(opText, p)...)
	}
	for _, size := range []int{1, 2, 3, 5, 7, 127, 128, 129, 130, 4096, len(stream)} {
		var reader frameReader
		var got []string
		for rest := stream; len(rest) > 0; {
			n := min(size, len(rest))
			err := reader.feed(rest[:n], func(opcode byte, payload []byte) error {
				if opcode != opText {
					t.Fatalf("reads of %d: opcode %#x", size, opcode)
				}
				got = append(got, string(payload))
				return nil
			})
			if err != nil {
				t.Fatalf("reads of %d: %v", size, err)
			}
			rest = rest[n:]
		}
		if strings.Join(got, "|") != strings.Join(payloads, "|") {
			t.Errorf("reads of %d: %d frames, want %d, or their payloads differ", size, len(got), len(payloads))
		}
		if len(reader.partial) != 0 {
			t.Errorf("reads of %d: %d bytes left over", size, len(reader.partial))
		}
	}
}

func TestFrameReaderRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"reserved bit": {0xC1, 0},
		"fragment":     {0x01, 0},
		"continuation": {0x80, 0},
		"masked":       {0x81, 0x80, 0, 0, 0, 0},
		"too large":    {0x81, 127, 0, 0, 0, 1, 0, 0, 0, 0},
		"negative":     {0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var reader frameReader
		if err := reader.feed(b, func(byte, []byte) error { return nil }); !errors.Is(err, errFrame) {
			t.Errorf("%s at once: %v, want %v", name, err, errFrame)
		}
		var slow frameReader
		var err error
		for i := range b {
			err = errors.Join(err, slow.feed(b[i:i+1], func(byte, []byte) error { return nil }))
		}
		if !errors.Is(err, errFrame) {
			t.Errorf("%s byte by byte: %v, want %v", name, err, errFrame)
		}
	}
}

func TestFrameReaderStopsAtVisitError(t *testing.T) {
	stop := errors.New("stop")
	stream := append(serverFrame(opText, "one"), serverFrame(opText, "two")...)
	var reader frameReader
	visits := 0
	err := reader.feed(stream, func(byte, []byte) error { visits++; return stop })
	if !errors.Is(err, stop) || visits != 1 {
		t.Errorf("%d visits, error %v; want 1 and %v", visits, err, stop)
	}
}

func TestAppendFrameMasks(t *testing.T) {
	for _, n := range []int{0, 5, 125, 126, 0xffff, 0x10000} {
		payload := bytes.Repeat([]byte("xyz"), n)[:n]
		frame := appendFrame(nil, opText, payload, clientMask)
		header := headerSize(frame[1] & 0x7f)
		if frame[0] != 0x80|opText || frame[1]&0x80 == 0 {
			t.Fatalf("%d bytes: header % x", n, frame[:2])
		}
		key, body := frame[header:header+4], frame[header+4:]
		for i := range body {
			body[i] ^= key[i%4]
		}
		if !bytes.Equal(body, payload) {
			t.Errorf("%d bytes: payload differs once unmasked", n)
		}
	}
}

func FuzzFrameReader(f *testing.F) {
	f.Add(serverFrame(opText, "hello"), uint8(1))
	f.Add(append(serverFrame(opPing, "x"), serverFrame(opText, strings.Repeat("y", 300))...), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		read := func(step int) (out []byte, failed bool) {
			var reader frameReader
			for rest := stream; len(rest) > 0; {
				n := min(step, len(rest))
				err := reader.feed(rest[:n], func(opcode byte, payload []byte) error {
					out = append(append(out, opcode), payload...)
					return nil
				})
				if err != nil {
					return out, true
				}
				rest = rest[n:]
			}
			return out, false
		}
		whole, failed := read(len(stream))
		cut, failedCut := read(int(size) + 1)
		if failed != failedCut || !bytes.Equal(whole, cut) {
			t.Errorf("reads of %d bytes give %q (%v), one read %q (%v)", int(size)+1, cut, failedCut, whole, failed)
		}
	})
}
