package ws

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// stream is a WebSocket on a stream of an HTTP/2 or HTTP/3 connection, as a
// net.Conn. The handler must not return before done is closed.
type stream struct {
	w       http.ResponseWriter
	body    io.ReadCloser
	control *http.ResponseController
	once    sync.Once
	done    chan struct{}
}

func newStream(w http.ResponseWriter, body io.ReadCloser, control *http.ResponseController) *stream {
	return &stream{w: w, body: body, control: control, done: make(chan struct{})}
}

func (s *stream) Read(p []byte) (int, error) { return s.body.Read(p) }

// Write sends p as it is: every write is flushed.
func (s *stream) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err == nil {
		err = s.control.Flush()
	}
	return n, err
}

// Close makes pending reads and writes fail. The stream itself ends when the
// handler returns.
func (s *stream) Close() error {
	s.once.Do(func() {
		_ = s.control.SetWriteDeadline(time.Unix(1, 0))
		_ = s.body.Close()
		close(s.done)
	})
	return nil
}

func (s *stream) LocalAddr() net.Addr                { return streamAddr{} }
func (s *stream) RemoteAddr() net.Addr               { return streamAddr{} }
func (s *stream) SetDeadline(time.Time) error        { return nil }
func (s *stream) SetReadDeadline(time.Time) error    { return nil }
func (s *stream) SetWriteDeadline(t time.Time) error { return s.control.SetWriteDeadline(t) }

type streamAddr struct{}

func (streamAddr) Network() string { return "stream" }
func (streamAddr) String() string  { return "stream" }
