package nats

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// link is one connection to a server.
type link struct {
	in      *relay.Inlet
	log     *zap.Logger
	conn    *nats.Conn
	wire    *wire
	prefix  string
	timeout time.Duration
	// incoming is shared by all subscriptions, so that the order of the server is
	// kept and none of them needs a goroutine.
	incoming chan *nats.Msg
	stop     chan struct{}
	loops    sync.WaitGroup
	// subscriptions are used by one call at a time.
	subscriptions map[protocol.Topic]*nats.Subscription
	warned        sync.Once
}

// silentLink is a link that the server does not send back what it has sent.
type silentLink struct{ *link }

// Probe asks the server for an answer. While the connection is stuck the library
// may keep it waiting, but not the caller.
func (l silentLink) Probe(ctx context.Context) error {
	answered := make(chan error, 1)
	go func() { answered <- l.Flush(ctx) }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Send hands packets to the client library, which writes them as a stream.
func (l *link) Send(_ context.Context, packets []relay.Packet) error {
	for i := range packets {
		if err := l.conn.Publish(subjectOf(l.prefix, packets[i].Topic), packets[i].Data); err != nil {
			return err
		}
	}
	return nil
}

// Flush waits for an answer of the server to what comes last.
func (l *link) Flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return l.conn.FlushWithContext(ctx)
}

// Subscribe returns when the server has all subscriptions.
func (l *link) Subscribe(ctx context.Context, topics []protocol.Topic) error {
	for _, topic := range topics {
		if l.subscriptions[topic] != nil {
			continue
		}
		s, err := l.conn.ChanSubscribe(subjectOf(l.prefix, topic), l.incoming)
		if err != nil {
			return err
		}
		l.subscriptions[topic] = s
	}
	if err := l.Flush(ctx); err != nil {
		return err
	}
	if err := l.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), "Subscription") {
		return err
	}
	return nil
}

// Unsubscribe lets go of topics.
func (l *link) Unsubscribe(_ context.Context, topics []protocol.Topic) error {
	for _, topic := range topics {
		s := l.subscriptions[topic]
		if s == nil {
			continue
		}
		delete(l.subscriptions, topic)
		if err := s.Unsubscribe(); err != nil {
			return err
		}
	}
	return nil
}

// MaxSize is what the server takes.
func (l *link) MaxSize() int { return int(l.conn.MaxPayload()) }

// Close ends the connection. The wire comes first, because the library might wait
// for it otherwise.
func (l *link) Close() error {
	err := l.wire.Close()
	l.conn.Close()
	close(l.stop)
	l.loops.Wait()
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

// receive hands on what the server brings.
func (l *link) receive() {
	for {
		select {
		case <-l.stop:
			return
		case m := <-l.incoming:
			l.in.Received(m.Data)
		}
	}
}

// mayPublish checks the rights of the login, on a subject that nobody listens to.
func (l *link) mayPublish(ctx context.Context) error {
	if err := l.conn.Publish(subjectOf(l.prefix, protocol.Topic{Channel: "check"}), nil); err != nil {
		return err
	}
	if err := l.Flush(ctx); err != nil {
		return err
	}
	if err := l.conn.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nil
}

// closed is called when the connection is lost.
func (l *link) closed(conn *nats.Conn) {
	l.in.Event("disconnected")
	cause := conn.LastError()
	if cause == nil {
		cause = nats.ErrConnectionClosed
	}
	l.in.Lost(cause)
}

// failed is called for what goes wrong while the connection goes on.
func (l *link) failed(conn *nats.Conn, _ *nats.Subscription, err error) {
	switch {
	case errors.Is(err, nats.ErrSlowConsumer):
		l.in.Event("slow_consumer")
		l.in.Missed(1)
		return
	case errors.Is(err, nats.ErrPermissionViolation), errors.Is(err, nats.ErrMaxSubscriptionsExceeded):
		l.in.Event("server_error")
	default:
		l.in.Event("client_error")
	}
	l.warned.Do(func() {
		l.log.Error("NATS has refused something; what is refused later is only counted", zap.Error(fmt.Errorf("nats %s: %w", conn.ConnectedAddr(), err)))
	})
}
