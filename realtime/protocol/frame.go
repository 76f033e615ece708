package protocol

// Frame is one outbound message, framed for the socket: header and text, ready
// to be written. It is shared between connections and never changed.
type Frame []byte

// opcodes of RFC 6455, with the final bit set.
const (
	opText   = 0x81
	opBinary = 0x82
	opClose  = 0x88
)

// maxHeader is the room kept in front of a text for the longest frame header.
const maxHeader = 10

// newFrame starts a frame whose text is expected to have about size bytes.
func newFrame(size int) []byte { return make([]byte, maxHeader, maxHeader+size) }

// finish puts the header in front of the text that follows the first maxHeader bytes.
func finish(b []byte) Frame { return finishAs(opText, b) }

// finishBinary does so for a message that is not text.
func finishBinary(b []byte) Frame { return finishAs(opBinary, b) }

func finishAs(opcode byte, b []byte) Frame {
	n := len(b) - maxHeader
	switch {
	case n < 126:
		b = b[maxHeader-2:]
		b[0], b[1] = opcode, byte(n)
	case n < 1<<16:
		b = b[maxHeader-4:]
		b[0], b[1], b[2], b[3] = opcode, 126, byte(n>>8), byte(n)
	default:
		b[0], b[1] = opcode, 127
		for i := range 8 {
			b[2+i] = byte(n >> (8 * (7 - i)))
		}
	}
	return b
}

// Text is the payload of a frame made by this package.
func (f Frame) Text() []byte {
	switch f[1] & 0x7f {
	case 126:
		return f[4:]
	case 127:
		return f[maxHeader:]
	default:
		return f[2:]
	}
}

// CloseFrame is the control frame that ends a connection. The reason is cut to
// the 123 bytes a control frame can hold.
func CloseFrame(code int, reason string) Frame {
	if len(reason) > 123 {
		reason = reason[:123]
	}
	b := make([]byte, 0, 4+len(reason))
	b = append(b, opClose, byte(2+len(reason)), byte(code>>8), byte(code))
	return append(b, reason...)
}

// TextFrame frames a message that is already encoded.
func TextFrame(text []byte) Frame { return finish(append(newFrame(len(text)), text...)) }
