package surrealdb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// pingPause is the time between two pings, and silence how long nothing may be
	// heard before the connection is taken for dead.
	pingPause = 2 * time.Second
	silence   = 6 * time.Second
	// writeTimeout bounds how long the connection may take nothing.
	writeTimeout = 5 * time.Second
	// maxAnswer is the size of the largest answer that is read, in bytes.
	maxAnswer = 128 << 20
)

// socket is one connection. Several requests may be under way at a time.
type socket struct {
	ws   *websocket.Conn
	ids  atomic.Uint64
	out  chan []byte   // requests, taken by the writer
	gone chan struct{} // closed when the connection has ended

	mu      sync.Mutex
	cause   error                  // why it has ended
	retired bool                   // it ends when nobody waits any more
	waiting map[string]chan []byte // for answers, by the id of the request
}

// lostError is a request whose answer does not come any more.
type lostError struct {
	sent  bool // so that it may have been carried out
	cause error
}

func (e *lostError) Error() string { return e.cause.Error() }
func (e *lostError) Unwrap() error { return e.cause }

// dial connects to a server. The context bounds the handshake only. What runs until
// the connection has ended is counted in loops.
func dial(ctx context.Context, endpoint *url.URL, secure *tls.Config, loops *sync.WaitGroup) (*socket, error) {
	quiet, shaken := new(patient), func() bool { return true }
	dialer := websocket.Dialer{
		Subprotocols: []string{"cbor"}, TLSClientConfig: secure,
		NetDialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			shaken = context.AfterFunc(ctx, func() { _ = conn.Close() })
			quiet.Conn = conn
			return quiet, nil
		},
	}
	ws, answer, err := dialer.DialContext(ctx, endpoint.String(), nil)
	switch inTime := shaken(); {
	case err != nil && answer != nil:
		_ = answer.Body.Close()
		return nil, fmt.Errorf("no SurrealDB at %s: the answer to the handshake is %d %s", endpoint.Path, answer.StatusCode, http.StatusText(answer.StatusCode))
	case err != nil:
		return nil, err
	case !inTime:
		_ = ws.Close()
		return nil, ctx.Err()
	case ws.Subprotocol() != "cbor":
		_ = ws.Close()
		return nil, errors.New("the server does not speak CBOR")
	}
	quiet.begin()
	s := &socket{ws: ws, out: make(chan []byte), gone: make(chan struct{}), waiting: map[string]chan []byte{}}
	ws.SetReadLimit(maxAnswer)
	loops.Go(s.read)
	loops.Go(s.write)
	return s, nil
}

// patient is a connection that gives up when nothing moves for too long.
type patient struct {
	net.Conn
	begun atomic.Bool // until then deadlines are those of the handshake
}

func (p *patient) begin() {
	_ = p.SetDeadline(time.Time{})
	p.begun.Store(true)
}

func (p *patient) Read(b []byte) (int, error) {
	if p.begun.Load() {
		_ = p.SetReadDeadline(time.Now().Add(silence))
	}
	return p.Conn.Read(b)
}

func (p *patient) Write(b []byte) (int, error) {
	if p.begun.Load() {
		_ = p.SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	return p.Conn.Write(b)
}

// ask sends a request and waits for its answer.
func (s *socket) ask(ctx context.Context, method string, params ...any) ([]byte, error) {
	id := strconv.FormatUint(s.ids.Add(1), 10)
	text, err := codec.Marshal(request{id, method, params})
	if err != nil {
		return nil, err
	}
	answer, err := s.await(id)
	if err != nil {
		return nil, &lostError{cause: err}
	}
	defer s.forget(id)
	select {
	case s.out <- text:
	case <-s.gone:
		return nil, &lostError{cause: s.why()}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case data := <-answer:
		return data, nil
	case <-s.gone:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case data := <-answer: // it has come just before the end
		return data, nil
	default:
		return nil, &lostError{sent: true, cause: s.why()}
	}
}

// await says that somebody waits for an answer.
func (s *socket) await(id string) (<-chan []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return nil, s.cause
	}
	if s.retired {
		return nil, errRetired
	}
	answer := make(chan []byte, 1)
	s.waiting[id] = answer
	return answer, nil
}

func (s *socket) forget(id string) {
	s.mu.Lock()
	delete(s.waiting, id)
	over := s.retired && len(s.waiting) == 0
	s.mu.Unlock()
	if over {
		s.end(errRetired)
	}
}

// errRetired is the end of a connection that another one has replaced.
var errRetired = errors.New("the connection is not used any more")

// retire ends the connection when the requests that are under way are answered.
func (s *socket) retire() {
	s.mu.Lock()
	s.retired = true
	over := len(s.waiting) == 0
	s.mu.Unlock()
	if over {
		s.end(errRetired)
	}
}

// end ends the connection at once.
func (s *socket) end(cause error) {
	s.mu.Lock()
	first := s.cause == nil
	if first {
		s.cause = cause
	}
	s.mu.Unlock()
	if first {
		close(s.gone)
		_ = s.ws.Close()
	}
}

// ended reports whether the connection can be used no more.
func (s *socket) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired || s.cause != nil
}

func (s *socket) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// read hands answers to those who wait for them, until the connection ends.
func (s *socket) read() {
	for {
		_, data, err := s.ws.ReadMessage()
		if err != nil {
			if isTimeout(err) {
				err = fmt.Errorf("nothing was heard for %v", silence)
			}
			s.end(fmt.Errorf("the connection is lost: %w", err))
			return
		}
		var head struct {
			ID any `json:"id"`
		}
		if err = sound(data); err == nil {
			err = read(data, &head)
		}
		if err != nil {
			s.end(fmt.Errorf("the connection is given up: %w", err))
			return
		}
		id, ok := head.ID.(string)
		if !ok {
			continue // news that nobody has asked for
		}
		s.mu.Lock()
		if answer := s.waiting[id]; answer != nil {
			delete(s.waiting, id)
			answer <- data // there is room
		}
		s.mu.Unlock()
	}
}

// write sends requests, and pings, until the connection ends.
func (s *socket) write() {
	pings := time.NewTicker(pingPause)
	defer pings.Stop()
	for {
		var err error
		select {
		case text := <-s.out:
			err = s.ws.WriteMessage(websocket.BinaryMessage, text)
		case <-pings.C:
			err = s.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTimeout))
		case <-s.gone:
			return
		}
		if err != nil {
			s.end(fmt.Errorf("the connection is lost: %w", err))
			return
		}
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
