package e2e

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
)

// wire is the client's side of a WebSocket over any byte stream, so that one
// client serves HTTP/1.1, 2 and 3.
type wire struct {
	rw io.ReadWriteCloser
	br *bufio.Reader
	mu sync.Mutex // one write at a time: pings are answered while tests send
}

func newWire(rw io.ReadWriteCloser) *wire { return &wire{rw: rw, br: bufio.NewReader(rw)} }

// closedError is the close frame that ended a connection.
type closedError struct {
	code   int
	reason string
}

func (e closedError) Error() string { return fmt.Sprintf("closed with %d %s", e.code, e.reason) }

func (w *wire) write(opcode byte, payload []byte) error {
	b := []byte{0x80 | opcode}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	}
	b = append(b, 0, 0, 0, 0) // a mask of zeros changes nothing
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.rw.Write(append(b, payload...))
	return err
}

// read returns the next text message. Pings are answered.
func (w *wire) read() (string, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(w.br, head[:]); err != nil {
			return "", err
		}
		size := uint64(head[1] & 0x7f)
		switch size {
		case 126:
			var n uint16
			if err := binary.Read(w.br, binary.BigEndian, &n); err != nil {
				return "", err
			}
			size = uint64(n)
		case 127:
			if err := binary.Read(w.br, binary.BigEndian, &size); err != nil {
				return "", err
			}
		}
		payload := make([]byte, size)
		if _, err := io.ReadFull(w.br, payload); err != nil {
			return "", err
		}
		switch head[0] & 0x0f {
		case 1:
			return string(payload), nil
		case 8:
			e := closedError{code: 1005}
			if len(payload) >= 2 {
				e = closedError{int(payload[0])<<8 | int(payload[1]), string(payload[2:])}
				_ = w.write(8, payload[:2])
			}
			return "", e
		case 9:
			if err := w.write(10, payload); err != nil {
				return "", err
			}
		}
	}
}

func (w *wire) send(text string) error { return w.write(1, []byte(text)) }

// isClosed reports whether err is a close frame of the given code.
func isClosed(err error, code int) bool {
	var closed closedError
	return errors.As(err, &closed) && closed.code == code
}

func socketIDOf(frame string) (string, error) {
	_, rest, ok := strings.Cut(frame, `\"socket_id\":\"`)
	id, _, ok2 := strings.Cut(rest, `\"`)
	if !ok || !ok2 {
		return "", fmt.Errorf("not a connection_established frame: %s", frame)
	}
	return id, nil
}
