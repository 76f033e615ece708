//go:build linux

package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of RFC 6455.
const (
	opText   = 0x1
	opBinary = 0x2
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xA
)

// maxFrame is the largest payload in bytes that the generator takes from a
// server. The member list of a full presence channel is the largest in use.
const maxFrame = 4 << 20

// errFrame is wrapped by every complaint about the server's framing.
var errFrame = errors.New("bad frame")

// frameReader cuts a stream of server frames into payloads. It keeps bytes only
// while a frame is split between two reads, so an idle connection owns none.
type frameReader struct{ partial []byte }

// feed takes the next bytes of the stream and calls visit with each complete
// frame. The payload is valid during the call only. An error of visit ends the
// feeding.
func (r *frameReader) feed(chunk []byte, visit func(opcode byte, payload []byte) error) error {
	for len(r.partial) > 0 && len(chunk) > 0 {
		size, err := frameSize(r.partial)
		if err != nil {
			return err
		}
		take := min(size-len(r.partial), len(chunk))
		r.partial, chunk = append(r.partial, chunk[:take]...), chunk[take:]
		if size, err = frameSize(r.partial); err != nil {
			return err
		}
		if len(r.partial) < size {
			continue
		}
		whole := r.partial
		r.partial = nil
		if err := visitFrame(whole, visit); err != nil {
			return err
		}
	}
	for len(chunk) > 0 {
		size, err := frameSize(chunk)
		if err != nil {
			return err
		}
		if len(chunk) < size {
			r.partial = append(r.partial, chunk...)
			return nil
		}
		if err := visitFrame(chunk[:size], visit); err != nil {
			return err
		}
		chunk = chunk[size:]
	}
	return nil
}

// frameSize is the size in bytes of the frame that b begins, header included.
// While the header itself is incomplete it is the least size that tells more.
func frameSize(b []byte) (int, error) {
	if len(b) < 2 {
		return 2, nil
	}
	switch {
	case b[0]&0x70 != 0:
		return 0, fmt.Errorf("%w: reserved bits in %#x", errFrame, b[0])
	case b[0]&0x80 == 0 || b[0]&0x0f == 0:
		return 0, fmt.Errorf("%w: fragmented message", errFrame)
	case b[1]&0x80 != 0:
		return 0, fmt.Errorf("%w: masked by the server", errFrame)
	}
	header := headerSize(b[1])
	if len(b) < header {
		return header, nil
	}
	length := uint64(b[1])
	switch header {
	case 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		length = binary.BigEndian.Uint64(b[2:])
	}
	if length > maxFrame {
		return 0, fmt.Errorf("%w: payload of %d bytes", errFrame, length)
	}
	return header + int(length), nil
}

// headerSize is the size of an unmasked header with the given length byte.
func headerSize(length byte) int {
	switch length {
	case 126:
		return 4
	case 127:
		return 10
	default:
		return 2
	}
}

func visitFrame(frame []byte, visit func(byte, []byte) error) error {
	return visit(frame[0]&0x0f, frame[headerSize(frame[1]):])
}

// appendFrame appends one masked client frame.
func appendFrame(b []byte, opcode byte, payload []byte, mask uint32) []byte {
	b = append(b, 0x80|opcode)
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = binary.BigEndian.AppendUint32(b, mask)
	key := b[len(b)-4:]
	for i, c := range payload {
		b = append(b, c^key[i&3])
	}
	return b
}
