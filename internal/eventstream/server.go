package eventstream

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

const (
	// DefaultBufferSize is how many events wait at most, in each of the buffers.
	DefaultBufferSize = 1024
	// defaultMaxClients is how many readers there may be.
	defaultMaxClients = 32
	// defaultWriteTimeout is how long one write to a reader may take.
	defaultWriteTimeout = 10 * time.Second
)

// Options are those of a server. The zero value has all defaults.
type Options struct {
	// BufferSize is how many events wait at most: from the hubs together, and for each
	// reader. They may have 1 KiB each on average. Default: 1024.
	BufferSize int
	// MaxClients is how many readers there may be. Default: 32.
	MaxClients int
	// WriteTimeout is how long one write of at most 64 KiB to a reader may take before it
	// is disconnected. Default: 10s.
	WriteTimeout time.Duration
}

// Stats are what a server has counted since it began.
type Stats struct {
	Clients        int    // readers connected now
	Refused        uint64 // readers that were too many
	Disconnected   uint64 // readers that were disconnected for what they did, or did not
	DroppedInbound uint64 // events that came faster than they could be handed on
	DroppedClients uint64 // events that readers were too slow for
}

// Server sends operations on metrics to the readers that connect to a listener.
type Server struct {
	listener net.Listener
	options  Options
	inbound  *buffer
	log      atomic.Pointer[zap.Logger]
	done     sync.WaitGroup
	stop     chan struct{} // closed by Close

	mu      sync.Mutex
	feeds   []*Feed
	clients map[*client]struct{}
	stats   Stats // without what is in buffers
	size    int   // of each buffer
	closed  bool
}

// Serve starts to serve a listener, which it closes in the end.
func Serve(listener net.Listener, o Options) *Server {
	if o.BufferSize <= 0 {
		o.BufferSize = DefaultBufferSize
	}
	if o.MaxClients <= 0 {
		o.MaxClients = defaultMaxClients
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	s := &Server{
		listener: listener, options: o, size: o.BufferSize, inbound: newBuffer(o.BufferSize, false),
		clients: map[*client]struct{}{}, stop: make(chan struct{}),
	}
	s.log.Store(zap.NewNop())
	s.run("accepting readers of metrics", s.accept)
	s.run("handing on metrics", s.handOn)
	return s
}

// SetLog replaces the log.
func (s *Server) SetLog(log *zap.Logger) { s.log.Store(log) }

// SetBufferSize changes how many events wait at most. It drops none that wait.
func (s *Server) SetBufferSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = n
	s.inbound.resize(n)
	for c := range s.clients {
		c.events.resize(n)
	}
}

// Stats are what has been counted.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Clients = len(s.clients)
	stats.DroppedInbound = s.inbound.drops()
	for c := range s.clients {
		stats.DroppedClients += c.events.drops()
	}
	return stats
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close ends the server, its listener and its readers.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, f := range s.feeds {
		f.source.SetRecorder(nil)
	}
	s.feeds = nil
	for c := range s.clients {
		c.end()
	}
	s.mu.Unlock()
	close(s.stop)
	err := s.listener.Close()
	s.done.Wait()
	return err
}

// run starts a goroutine that Close waits for.
func (s *Server) run(what string, f func()) {
	s.done.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				s.log.Load().Error("recovered from a panic", zap.String("in", what), zap.Any("panic", p), zap.Stack("stack"))
			}
		}()
		f()
	})
}

// handOn gives each event to every reader.
func (s *Server) handOn() {
	var batch [][]byte
	for {
		select {
		case <-s.stop:
			return
		case <-s.inbound.ready:
		}
		for more := true; more; {
			batch, more = s.spread(batch)
		}
	}
}

// spread gives some events to every reader, and reports whether there were any. batch is
// used again.
func (s *Server) spread(batch [][]byte) (again [][]byte, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	batch = s.inbound.take(batch[:0], maxEvent)
	for c := range s.clients {
		for _, event := range batch {
			c.events.put(event)
		}
	}
	more = len(batch) > 0
	clear(batch)
	return batch, more
}
