package eventstream

import (
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// writeBytes is how much is written to a reader at once.
	writeBytes = 64 << 10
	// sendBuffer is how much the system keeps for a reader beside that.
	sendBuffer = 128 << 10
	// acceptPause is the time after a connection that could not be accepted, because the
	// process has no file descriptors left, for one.
	acceptPause = 100 * time.Millisecond
)

// client is one reader.
type client struct {
	conn   net.Conn
	events *buffer
	gone   chan struct{} // closed by end
	ended  sync.Once

	mu       sync.Mutex
	metadata [][]byte // still to be written; never dropped
}

// accept takes readers until the listener is closed.
func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			s.log.Load().Warn("a reader of the metrics could not be accepted", zap.Error(err))
			select {
			case <-s.stop:
				return
			case <-time.After(acceptPause):
			}
		default:
			s.admit(conn)
		}
	}
}

// admit begins to serve a reader, if there may be one more.
func (s *Server) admit(conn net.Conn) {
	c := &client{conn: conn, gone: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		_ = conn.Close()
		return
	case len(s.clients) >= s.options.MaxClients:
		s.stats.Refused++
		_ = conn.Close()
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	c.events = newBuffer(s.size, true)
	all, _ := s.metadata()
	for _, m := range all {
		c.metadata = append(c.metadata, m.metadata)
	}
	s.clients[c] = struct{}{}
	if len(s.clients) == 1 {
		for _, f := range s.feeds {
			f.source.SetRecorder(f)
		}
	}
	s.run("reading from a reader of metrics", func() { s.watch(c) })
	s.run("writing metrics", func() { s.write(c) })
}

// leave forgets a reader. With the last one, nothing is recorded any more.
func (s *Server) leave(c *client) {
	c.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, here := s.clients[c]; !here {
		return
	}
	delete(s.clients, c)
	s.stats.DroppedClients += c.events.drops()
	c.events.close()
	if len(s.clients) == 0 {
		for _, f := range s.feeds {
			f.source.SetRecorder(nil)
		}
	}
}

// end closes the connection, which ends the goroutines of the reader.
func (c *client) end() {
	c.ended.Do(func() {
		close(c.gone)
		_ = c.conn.Close()
	})
}

// describe puts metadata in line, before the events that follow.
func (c *client) describe(metadata [][]byte) {
	if len(metadata) == 0 {
		return
	}
	c.mu.Lock()
	c.metadata = append(c.metadata, metadata...)
	c.mu.Unlock()
	c.events.wake()
}

// watch waits until a reader goes away. It has nothing to say: one that says something,
// or will not say any more, is disconnected.
func (s *Server) watch(c *client) {
	defer s.leave(c)
	var one [1]byte
	if n, _ := c.conn.Read(one[:]); n > 0 {
		s.disconnected(c, "it has sent something")
	}
}

// write sends what is in line until the reader goes away.
func (s *Server) write(c *client) {
	defer s.leave(c)
	for {
		batch := c.take()
		if len(batch) == 0 {
			select {
			case <-c.events.ready:
				continue
			case <-c.gone:
				return
			}
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(s.options.WriteTimeout))
		buffers := net.Buffers(batch)
		if _, err := buffers.WriteTo(c.conn); err != nil {
			if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
				s.disconnected(c, "it is too slow")
			}
			return
		}
	}
}

// take is what to write next. Events are taken before the metadata that may belong to
// them, and written after it.
func (c *client) take() [][]byte {
	events := c.events.take(nil, writeBytes)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.metadata) == 0 {
		return events
	}
	all := append(c.metadata, events...)
	c.metadata = nil
	return all
}

// disconnected counts a reader that was disconnected for a reason.
func (s *Server) disconnected(c *client, reason string) {
	s.mu.Lock()
	s.stats.Disconnected++
	s.mu.Unlock()
	s.log.Load().Info("disconnecting a reader of the metrics", zap.String("reason", reason), zap.Stringer("remote", c.conn.RemoteAddr()))
}
