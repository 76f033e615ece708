package relay

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// steady is how long a link must have lasted for the next one to be dialed
	// without the delay of those before.
	steady = 30 * time.Second
	// calm is how long nothing must have been missed until all is well again.
	calm = time.Second
	// dialTimeout bounds one attempt to connect again, and to ask for all topics.
	dialTimeout = time.Minute
)

// redial is the pause before a link is dialed again (configuration 4.9, O2).
var redial = storage.Retry{Base: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.5}

// session is the life of one link.
type session struct {
	a      *Adapter
	number uint32
	link   Link
	// ctx ends with the link; its cause says why.
	ctx   context.Context
	lose  context.CancelCauseFunc
	tasks sync.WaitGroup

	receiving sync.RWMutex
	over      bool // nothing is taken from the link any more
}

// connect dials a link and asks it for all that is wanted. Then envelopes go out
// by way of it.
func (a *Adapter) connect(ctx context.Context) (*session, error) {
	a.mu.Lock()
	a.dialed++
	s := &session{a: a, number: a.dialed}
	a.mu.Unlock()
	s.ctx, s.lose = context.WithCancelCause(a.ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	link, err := a.dial(ctx, &Inlet{s})
	if err != nil {
		s.lose(err)
		return nil, err
	}
	s.link = link
	a.maxSize.Store(int64(min(link.MaxSize(), a.options.QueueBytes)))
	if err := a.topics.begin(ctx, link.Subscribe); err != nil {
		if s.ctx.Err() != nil {
			err = context.Cause(s.ctx)
		}
		s.end(err)
		return nil, fmt.Errorf("subscribing: %w", err)
	}
	a.outbox.begin()
	a.setSession(s, nil)
	s.tasks.Go(s.send)
	s.tasks.Go(s.ask)
	s.tasks.Go(s.watch)
	return s, nil
}

// end closes the link and waits until nobody uses it.
func (s *session) end(cause error) {
	s.lose(cause)
	s.a.setSession(nil, context.Cause(s.ctx))
	s.receiving.Lock()
	s.over = true
	s.receiving.Unlock()
	s.a.outbox.end()
	s.a.topics.end()
	if err := s.link.Close(); err != nil {
		s.a.log.Debug("closing a link", zap.Error(err))
	}
	s.tasks.Wait()
}

// run keeps the adapter connected until it is closed.
func (a *Adapter) run(s *session) {
	defer close(a.done)
	attempt := 0
	for s != nil {
		begun := time.Now()
		s.attend()
		cause := context.Cause(s.ctx)
		s.end(cause)
		if a.ctx.Err() != nil {
			return
		}
		a.log.Warn("connection lost", zap.Error(cause))
		a.watchers.tell(false)
		if time.Since(begun) > steady {
			attempt = 0
		}
		if s = a.reconnect(&attempt); s != nil {
			a.counts.reconnects.Add(1)
			a.log.Info("connected again", zap.Int("topics", a.topics.count()))
			a.watchers.tell(true)
		}
	}
}

// reconnect dials until there is a session. It is nil when the adapter is closed.
func (a *Adapter) reconnect(attempt *int) *session {
	select {
	case <-a.retuned: // by what has happened before
	default:
	}
	for n := 1; ; n++ {
		*attempt++
		if !wait.For(a.ctx, redial.Delay(a.echoes.topic.Channel, *attempt)) {
			return nil
		}
		ctx, cancel := context.WithTimeout(a.ctx, dialTimeout)
		s, err := a.connect(ctx)
		cancel()
		if err == nil {
			return s
		}
		if a.ctx.Err() != nil {
			return nil
		}
		a.setSession(nil, err)
		a.log.Debug("connecting again", zap.Int("attempt", n), zap.Error(err))
		if most := a.tuning.Load().MaxReconnects; most > 0 && n >= most {
			a.counts.event("max_reconnects")
			a.log.Error("gave up connecting again; the next reload begins anew", zap.Int("attempts", n), zap.Error(err))
			select {
			case <-a.ctx.Done():
				return nil
			case <-a.retuned:
				n, *attempt = 0, 0
			}
		}
	}
}

// attend returns when the link is lost. While packets are missed all the time the
// watchers are told that the link is down: what others have published is not
// complete.
func (s *session) attend() {
	for s.ctx.Err() == nil {
		select {
		case <-s.ctx.Done():
			return
		case <-s.a.lapse:
		}
		s.a.log.Warn("messages of other nodes come faster than they can be delivered; some are lost")
		s.a.watchers.tell(false)
		for wait.For(s.ctx, calm) {
			select {
			case <-s.a.lapse:
				continue
			default:
			}
			s.a.watchers.tell(true)
			break
		}
	}
}

// send sends what waits in the outbox.
func (s *session) send() {
	o := s.a.outbox
	for {
		probes, envelopes, flush := o.take()
		if len(probes)+len(envelopes) == 0 && !flush {
			select {
			case <-s.ctx.Done():
				return
			case <-o.wake:
			}
			continue
		}
		if err := s.sendAll(probes, envelopes, flush); err != nil {
			s.lose(fmt.Errorf("sending: %w", err))
			return
		}
		o.done(envelopes, flush)
	}
}

func (s *session) sendAll(probes, envelopes []Packet, flush bool) error {
	for _, packets := range [][]Packet{probes, envelopes} {
		if len(packets) == 0 {
			continue
		}
		stamp(packets, s.number)
		if err := s.link.Send(s.ctx, packets); err != nil {
			return err
		}
	}
	if flush {
		return s.link.Flush(s.ctx)
	}
	return nil
}

// ask asks the link for topics, and lets go of others.
func (s *session) ask() {
	t := s.a.topics
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-t.wake:
		case <-timer.C:
		}
		ask, end, next := t.due(time.Now())
		if err := s.change(end, s.link.Unsubscribe); err != nil {
			s.lose(fmt.Errorf("unsubscribing: %w", err))
			return
		}
		if err := s.change(ask, s.link.Subscribe); err != nil {
			s.lose(fmt.Errorf("subscribing: %w", err))
			return
		}
		t.activate(ask)
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

func (s *session) change(list []protocol.Topic, by func(context.Context, []protocol.Topic) error) error {
	for len(list) > 0 {
		n := min(len(list), askBatch)
		ctx, cancel := context.WithTimeout(s.ctx, s.a.answerTimeout())
		err := by(ctx, list[:n])
		cancel()
		if err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// watch probes the link from time to time. One that does not answer is lost, even
// if the connection seems to be there.
func (s *session) watch() {
	for wait.For(s.ctx, s.a.options.ProbeInterval) {
		ctx, cancel := context.WithTimeout(s.ctx, s.a.answerTimeout())
		err := s.echo(ctx)
		cancel()
		if err != nil {
			s.lose(fmt.Errorf("probing: %w", err))
			return
		}
	}
}
