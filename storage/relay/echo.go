package relay

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// echoes are the probes that this node has sent to itself.
type echoes struct {
	// topic is this node's own. No app has an empty id.
	topic protocol.Topic

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan struct{}
}

func newEchoes(id sender) *echoes {
	return &echoes{topic: protocol.Topic{Channel: "node-" + hex.EncodeToString(id[:])}, waiting: map[uint64]chan struct{}{}}
}

func (e *echoes) add() (number uint64, back chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last++
	back = make(chan struct{})
	e.waiting[e.last] = back
	return e.last, back
}

func (e *echoes) remove(number uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.waiting, number)
}

// received takes a probe that has come back.
func (e *echoes) received(rest []byte) error {
	if len(rest) != 8 {
		return errMalformed
	}
	number := binary.BigEndian.Uint64(rest)
	e.mu.Lock()
	defer e.mu.Unlock()
	if back, ok := e.waiting[number]; ok {
		close(back)
		delete(e.waiting, number)
	}
	return nil
}

// Echo sends a probe through the engine to this node, and tells how long it took.
// Where the engine does not bring a node what it has sent itself, the engine
// answers instead.
func (a *Adapter) Echo(ctx context.Context) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s, err := a.current()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	bounded, cancel := context.WithTimeout(ctx, a.answerTimeout())
	defer cancel()
	if err := s.echo(bounded); err != nil {
		return 0, a.errorf("no answer to a probe: %w", err)
	}
	return time.Since(start), nil
}

// Check reports whether envelopes can go through the engine.
func (a *Adapter) Check(ctx context.Context) error {
	_, err := a.Echo(ctx)
	return err
}

func (s *session) echo(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	err := s.probe(ctx)
	switch {
	case err != nil && s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("time is over: %w", err)
	}
	return err
}

func (s *session) probe(ctx context.Context) error {
	if p, ok := s.link.(Prober); ok {
		return p.Probe(ctx)
	}
	a := s.a
	number, back := a.echoes.add()
	defer a.echoes.remove(number)
	a.outbox.urge(Packet{Topic: a.echoes.topic, Data: a.id.probe(number)})
	select {
	case <-back:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// setSession notes the link that is used, or why there is none.
func (a *Adapter) setSession(s *session, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session, a.cause = s, cause
}

// current is the session, or why there is none.
func (a *Adapter) current() (*session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, a.errorf("%w", storage.ErrClosed)
	case a.session == nil:
		return nil, a.errorf("not connected: %w", a.cause)
	}
	return a.session, nil
}
