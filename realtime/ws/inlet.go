package ws

import (
	"bytes"
	"net"
	"time"

	"github.com/gorilla/websocket"
)

// inlet is the connection that gorilla sees: it reads from the real one, and
// what it writes, which are control frames only, goes through the socket's
// queue like everything else.
type inlet struct{ s *socket }

func (i inlet) Read(p []byte) (int, error) {
	s := i.s
	if len(s.early) > 0 {
		n := copy(p, s.early)
		if s.early = s.early[n:]; len(s.early) == 0 {
			s.early = nil
		}
		return n, nil
	}
	return s.raw.Read(p)
}

// Write takes the response of the handshake first, and control frames after it:
// a pong, or gorilla's half of a closing handshake.
func (i inlet) Write(p []byte) (int, error) {
	if hs := i.s.opening; hs != nil {
		if err := hs.respond(p); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	if p[0]&0x0f == websocket.CloseMessage {
		i.s.finish(bytes.Clone(p)) // nothing may follow it
	} else {
		i.s.Send(bytes.Clone(p))
	}
	return len(p), nil
}

func (i inlet) Close() error {
	if i.s.raw != nil {
		i.s.shut()
	}
	return nil
}

func (inlet) LocalAddr() net.Addr              { return streamAddr{} }
func (inlet) RemoteAddr() net.Addr             { return streamAddr{} }
func (inlet) SetDeadline(time.Time) error      { return nil }
func (inlet) SetReadDeadline(time.Time) error  { return nil }
func (inlet) SetWriteDeadline(time.Time) error { return nil }
