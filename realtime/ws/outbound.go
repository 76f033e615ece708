package ws

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// writePiece is the most that is written under one deadline, so that a slow
	// but steady client is not taken for a dead one.
	writePiece = 64 << 10
	// closeGrace ends a socket whose closing handshake does not.
	closeGrace = 5 * time.Second
)

// outbound is the queue of one socket. While it is empty, frames are written
// straight to the descriptor without blocking; once something waits, everything
// goes through the queue and one goroutine writes it.
type outbound struct {
	mu      sync.Mutex
	queue   [][]byte
	frames  int       // queued or being written
	bytes   int       // queued or being written
	partial bool      // queue[0] is the rest of a frame that is half written
	writing bool      // the writer runs
	since   time.Time // when it took what it writes now
	closing bool      // nothing more is taken
	away    bool      // closed by the server with a code that means "do not come back"
	shut    bool      // the connection is closed
	grace   *time.Timer
}

// Send queues a frame for this socket alone.
func (s *socket) Send(f protocol.Frame) {
	s.out.mu.Lock()
	full := !s.out.closing && !s.push(f, 1, false)
	s.out.mu.Unlock()
	if full {
		s.overflow()
	}
}

// Deliver queues frames that other sockets share.
func (s *socket) Deliver(joined []byte, frames int, off *atomic.Bool) {
	s.out.mu.Lock()
	if s.out.closing || off != nil && off.Load() {
		s.out.mu.Unlock()
		return
	}
	full := !s.push(joined, frames, true)
	s.out.mu.Unlock()
	if full {
		s.overflow()
	}
}

// DeliverPieces queues frames of several channels with one write.
func (s *socket) DeliverPieces(pieces []realtime.Piece) {
	s.out.mu.Lock()
	if s.out.closing {
		s.out.mu.Unlock()
		return
	}
	size, frames := 0, 0
	for _, p := range pieces {
		size += len(p.Frame)
	}
	joined := make([]byte, 0, size)
	for i := range pieces {
		if p := &pieces[i]; !p.Withdrawn() {
			joined = append(joined, p.Frame...)
			frames++
		}
	}
	full := frames > 0 && !s.push(joined, frames, true)
	s.out.mu.Unlock()
	if full {
		s.overflow()
	}
}

// Silence sets off, so that no later Deliver with it reaches the client.
func (s *socket) Silence(off *atomic.Bool) {
	s.out.mu.Lock()
	off.Store(true)
	s.out.mu.Unlock()
}

// Ping sends a control ping with a nonce of 8 bytes.
func (s *socket) Ping() {
	f := protocol.Frame{0x89, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	_, _ = rand.Read(f[2:]) // never fails
	s.Send(f)
}

// push writes b at once or queues it. It reports false when the queue is full
// and the socket must be closed. The caller holds out.mu.
func (s *socket) push(b []byte, frames int, droppable bool) bool {
	o := &s.out
	if !o.writing && s.fd >= 0 {
		n, err := writeNow(s.fd, b)
		if err != nil {
			s.shutLocked()
			return true
		}
		if n == len(b) {
			return true
		}
		o.partial = n > 0
		b = b[n:]
	}
	// The rest of a half-written frame must follow, whatever the bounds. One frame
	// larger than the bound may wait alone.
	if limits := s.hub.SocketSettings(); o.bytes > 0 && o.over(limits, len(b)) {
		if droppable && limits.DropWhenFull && !s.lossless() {
			s.dropped(frames)
			return true
		}
		return false
	}
	o.queue = append(o.queue, b)
	o.frames += frames
	o.bytes += len(b)
	s.startWriter()
	return true
}

const (
	// burstTime is how long a write must have lasted before a full queue counts as
	// a slow client: a burst may fill the queue before the writer has even run.
	burstTime = 200 * time.Millisecond
	// burstFactor bounds what may wait meanwhile, as a multiple of the bounds.
	burstFactor = 4
)

// over reports whether n more bytes are too much for what waits already.
func (o *outbound) over(limits realtime.SocketSettings, n int) bool {
	over := func(factor int) bool {
		return limits.MaxMessages > 0 && o.frames >= factor*limits.MaxMessages ||
			limits.MaxBytes > 0 && o.bytes+n > factor*limits.MaxBytes
	}
	return over(1) && (time.Since(o.since) > burstTime || over(burstFactor))
}

func (s *socket) startWriter() {
	if !s.out.writing && !s.out.shut {
		s.out.writing, s.out.since = true, time.Now()
		go s.write(s.hub.SocketSettings().WriteTimeout)
	}
}

// write empties the queue. There is one at a time, and only while something waits.
func (s *socket) write(timeout time.Duration) {
	defer s.hub.Recovered("writer")
	var buffer []byte
	_, vector := s.raw.(*net.TCPConn)
	for {
		queue, frames, bytes := s.takeQueue()
		if queue == nil {
			return
		}
		var err error
		if vector || s.fd >= 0 {
			err = s.writeVector(queue, timeout)
		} else {
			buffer, err = s.writeJoined(queue, buffer, timeout)
		}
		s.out.mu.Lock()
		s.out.frames -= frames
		s.out.bytes -= bytes
		if err != nil {
			s.shutLocked()
		}
		s.out.mu.Unlock()
	}
}

// takeQueue takes all that waits, or ends the writer.
func (s *socket) takeQueue() (queue [][]byte, frames, bytes int) {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut || len(o.queue) == 0 {
		o.writing, o.queue = false, nil
		return nil, 0, 0
	}
	queue, o.queue, o.partial, o.since = o.queue, nil, false, time.Now()
	return queue, o.frames, o.bytes
}

// writeVector writes without copying, in pieces.
func (s *socket) writeVector(queue [][]byte, timeout time.Duration) error {
	for len(queue) > 0 {
		n, size := 0, 0
		for n < len(queue) && (n == 0 || size+len(queue[n]) <= writePiece) {
			size += len(queue[n])
			n++
		}
		piece := net.Buffers(queue[:n:n])
		if err := s.raw.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if _, err := piece.WriteTo(s.raw); err != nil {
			return err
		}
		queue = queue[n:]
	}
	return nil
}

// writeJoined joins small frames first: each write of TLS or of a stream costs
// far more than a copy.
func (s *socket) writeJoined(queue [][]byte, buffer []byte, timeout time.Duration) ([]byte, error) {
	for i := 0; i < len(queue); {
		buffer = append(buffer[:0], queue[i]...)
		for i++; i < len(queue) && len(buffer)+len(queue[i]) <= writePiece; i++ {
			buffer = append(buffer, queue[i]...)
		}
		_ = s.raw.SetWriteDeadline(time.Now().Add(timeout))
		if _, err := s.raw.Write(buffer); err != nil {
			return buffer, err
		}
	}
	// On HTTP/2 a deadline is a timer that ends the stream when it fires, with or
	// without a write.
	return buffer, s.raw.SetWriteDeadline(time.Time{})
}

// Close sends an error frame and a close frame of equal code and ends the socket
// when they are written. Codes below 4000 are those of WebSocket itself, which have no
// error frame.
func (s *socket) Close(e *protocol.Error) {
	var last []byte
	if e.Code >= 4000 {
		o := *protocol.ErrorMessage(e)
		if s.format != protocol.FormatV1 {
			o.MessageID = protocol.NewMessageID()
		}
		last = append(last, o.Frame(s.format)...)
	}
	if e.Code >= 4000 && e.Code < 4100 {
		s.out.mu.Lock()
		s.out.away = true
		s.out.mu.Unlock()
	}
	s.finish(append(last, protocol.CloseFrame(e.Code, e.Message)...))
}

// sentAway reports whether the server has told the client not to come back.
func (o *outbound) sentAway() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.away
}

// lossless reports whether nothing may be dropped.
func (s *socket) lossless() bool {
	c := s.conn.Load()
	return c != nil && c.Lossless()
}

// overflow closes a socket that is too slow. What waits for it is discarded.
func (s *socket) overflow() {
	o := &s.out
	o.mu.Lock()
	if !o.closing {
		kept := o.queue[:0]
		if o.partial && len(o.queue) > 0 {
			kept = o.queue[:1]
		}
		clear(o.queue[len(kept):])
		o.queue = kept
	}
	first := !o.closing
	o.mu.Unlock()
	if first {
		if c := s.conn.Load(); c != nil {
			c.SlowConsumer()
		}
		s.Close(protocol.ErrSlowConsumer)
	}
}

// finish queues a last frame, takes nothing more, and closes the connection
// after a while, whether or not the other side takes part.
func (s *socket) finish(last []byte) {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closing {
		return
	}
	o.closing = true
	if o.shut {
		return
	}
	if last != nil {
		if o.writing || s.fd < 0 {
			o.queue = append(o.queue, last)
			s.startWriter()
		} else if n, err := writeNow(s.fd, last); err == nil && n < len(last) {
			o.queue = append(o.queue, last[n:])
			s.startWriter()
		}
	}
	o.grace = time.AfterFunc(closeGrace, s.shut)
}

func (s *socket) shut() {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	s.shutLocked()
}

// shutLocked closes the connection. It is the only place that does, under the
// lock that direct writes hold, so no write can hit a reused descriptor.
func (s *socket) shutLocked() {
	if s.out.shut {
		return
	}
	s.out.shut, s.out.closing, s.out.queue = true, true, nil
	if s.out.grace != nil {
		s.out.grace.Stop()
	}
	s.disarm()
	if secure, ok := s.raw.(*tls.Conn); ok {
		// Closing TLS itself may wait seconds to write an alert, under this lock.
		_ = secure.NetConn().Close()
		return
	}
	_ = s.raw.Close()
}

func (s *socket) dropped(frames int) {
	if c := s.conn.Load(); c != nil {
		c.Dropped(frames)
	}
}

func (o *outbound) isClosing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closing
}

// idle waits until the writer has ended.
func (o *outbound) idle() { o.waitIdle(closeGrace) }

// waitIdle waits until nothing is left to write, at most d.
func (o *outbound) waitIdle(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		o.mu.Lock()
		done := !o.writing
		o.mu.Unlock()
		if done {
			return
		}
	}
}
