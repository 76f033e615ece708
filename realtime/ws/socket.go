package ws

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// socket is one WebSocket. It is the hub's Transport.
type socket struct {
	hub      *realtime.Hub
	conn     atomic.Pointer[realtime.Conn] // nil for a refused connection
	ws       *websocket.Conn
	br       *bufio.Reader
	raw      net.Conn
	fd       int // for direct writes and readiness; -1 when there is none
	early    []byte
	portable bool // reads with a waiting goroutine
	// graceful says that the client has taken its leave, or that the server has sent it
	// away. Only the reading goroutine changes it.
	graceful bool
	format   protocol.Format
	opening  *handshake // until the response is written
	release  func()
	watch    watch
	out      outbound
}

// take makes conn the socket's connection.
func (s *socket) take(conn net.Conn) {
	s.raw, s.fd = unwrap(conn)
	s.opening = nil
}

// start begins reading. It blocks on streams, whose handler must not return.
func (s *socket) start(limit int64) {
	s.ws.SetReadLimit(limit)
	s.ws.SetPongHandler(func(string) error {
		s.heard()
		return nil
	})
	pong := s.ws.PingHandler()
	s.ws.SetPingHandler(func(data string) error {
		s.heard()
		return pong(data)
	})
	if st, ok := s.raw.(*stream); ok {
		s.readAll()
		<-st.done
		s.out.idle()
		return
	}
	if len(s.early) > 0 {
		go s.ready()
		return
	}
	s.arm()
}

func (s *socket) heard() {
	if c := s.conn.Load(); c != nil {
		c.Heard()
	}
}

// readAll reads until the connection ends, for streams, whose handler must wait.
func (s *socket) readAll() {
	defer s.end()
	defer s.hub.Recovered("connection")
	for s.readMessage() {
	}
}

// ready reads what has arrived, then waits for more without a goroutine.
func (s *socket) ready() {
	open := false
	defer func() {
		if open {
			s.arm()
		} else {
			s.end()
		}
	}()
	defer s.hub.Recovered("connection")
	for s.readMessage() {
		if s.br.Buffered() == 0 && len(s.early) == 0 {
			open = true
			return
		}
	}
}

// messages are buffers for inbound messages, of the usual size.
var messages = sync.Pool{New: func() any { return &message{make([]byte, 0, 1024)} }}

type message struct{ text []byte }

// readMessage reads and handles one message. It reports false when the
// connection has ended.
func (s *socket) readMessage() bool {
	kind, r, err := s.ws.NextReader()
	if err != nil {
		var closed *websocket.CloseError
		s.graceful = errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure
		return false
	}
	m := messages.Get().(*message)
	defer func() {
		if cap(m.text) <= 64<<10 {
			messages.Put(m)
		}
	}()
	m.text, err = readText(m.text[:0], r, kind == websocket.TextMessage && !s.format.Binary())
	switch {
	case errors.Is(err, errNotUTF8):
		s.closeWith(protocol.CloseInvalidUTF8, "invalid UTF-8")
		return false
	case err != nil:
		return false
	}
	if c := s.conn.Load(); c != nil && !s.out.isClosing() {
		c.Receive(m.text)
	}
	return true
}

var errNotUTF8 = errors.New("text is not valid UTF-8")

// readText reads a message to its end. Text is checked as it comes, so a
// fragmented message fails with its first bad fragment (RFC 6455, 8.1).
func readText(text []byte, r io.Reader, check bool) ([]byte, error) {
	valid := 0
	for {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if check {
			var ok bool
			if valid, ok = checkUTF8(text, valid); !ok {
				return text, errNotUTF8
			}
		}
		if err == io.EOF {
			if check && valid < len(text) {
				return text, errNotUTF8
			}
			return text, nil
		}
		if err != nil {
			return text, err
		}
	}
}

// checkUTF8 checks text from offset and returns the offset behind the last
// complete character. An unfinished character at the end is fine for now, if it
// can still become valid.
func checkUTF8(text []byte, offset int) (int, bool) {
	for offset < len(text) {
		if text[offset] < utf8.RuneSelf {
			offset++
			continue
		}
		rest := text[offset:]
		if r, size := utf8.DecodeRune(rest); r != utf8.RuneError || size > 1 {
			offset += size
			continue
		}
		return offset, !utf8.FullRune(rest)
	}
	return offset, true
}

// closeWith starts the closing handshake with a code that has no error frame.
func (s *socket) closeWith(code int, reason string) {
	s.finish(protocol.CloseFrame(code, reason))
}

// end takes the connection out of the hub and closes it when what is queued has
// been written.
func (s *socket) end() {
	defer s.hub.Recovered("connection")
	defer s.linger()
	defer s.finish(nil)
	if s.release != nil {
		defer s.release()
	}
	if c := s.conn.Load(); c != nil {
		c.Disconnect(s.graceful || s.out.sentAway())
	}
}

// lingerTime bounds how long a closed socket waits for the other side.
const lingerTime = 2 * time.Second

// linger lets the other side read the close frame: closing a TCP connection
// with unread input would reset it and destroy what is on its way.
func (s *socket) linger() {
	if _, ok := s.raw.(*stream); ok {
		s.out.waitIdle(lingerTime)
		s.shut()
		return
	}
	s.out.waitIdle(lingerTime)
	if half, ok := s.raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = s.raw.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, s.raw, 1<<20)
	}
	s.shut()
}
