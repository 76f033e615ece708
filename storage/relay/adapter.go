package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/rounds"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Options are those of an Adapter.
type Options struct {
	// Driver is the driver's word in the configuration, and Place the engine's
	// address, for errors, logs and counters. Neither holds a secret. Required.
	Driver, Place string
	// QueueBytes bounds what waits to be sent, in bytes, and so the size of one
	// envelope. Zero means 16 MiB.
	QueueBytes int
	// InboxBytes bounds what has come and waits to be delivered, in bytes. Zero means
	// 64 MiB.
	InboxBytes int
	// Workers is the number of channels that are delivered at a time. Zero means one
	// for each CPU, and 2 at the least.
	Workers int
	// Linger is how long a topic that nobody wants any more is kept. Zero means 10s.
	Linger time.Duration
	// ProbeInterval is the time between two looks whether the engine answers. Zero
	// means 3s.
	ProbeInterval time.Duration
	Tuning
	// Log is told of outages. Nil logs nothing.
	Log *zap.Logger
}

// Tuning are options that may change while an adapter runs.
type Tuning struct {
	// AnswerTimeout bounds the wait for an answer of the engine; without one the link
	// is lost. Zero means 5s.
	AnswerTimeout time.Duration
	// MaxReconnects is the number of attempts to connect again, after which the
	// adapter stays alone until SetTuning. Zero means that it never gives up.
	MaxReconnects int
}

func (t Tuning) withDefaults() Tuning {
	t.AnswerTimeout = cmp.Or(t.AnswerTimeout, 5*time.Second)
	return t
}

func (o Options) withDefaults() Options {
	o.QueueBytes = cmp.Or(o.QueueBytes, 16<<20)
	o.InboxBytes = cmp.Or(o.InboxBytes, 64<<20)
	o.Workers = cmp.Or(o.Workers, max(runtime.GOMAXPROCS(0), 2))
	o.Linger = cmp.Or(o.Linger, 10*time.Second)
	o.ProbeInterval = cmp.Or(o.ProbeInterval, 3*time.Second)
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	return o
}

// Adapter carries envelopes between nodes by way of links. Open makes it.
//
// What one caller publishes on a channel reaches everybody in that order. Of two
// calls at the same time, this node's subscribers and other nodes may see either
// first.
type Adapter struct {
	dial        Dial
	options     Options
	log         *zap.Logger
	id          sender
	subscribers *rounds.Subscribers[*protocol.Envelope]
	outbox      *outbox
	inbox       *inbox
	topics      *topics
	echoes      *echoes
	links       links
	watchers    watchers
	counts      counts
	maxSize     atomic.Int64
	tuning      atomic.Pointer[Tuning]
	retuned     chan struct{} // signalled by SetTuning
	lapse       chan struct{} // signalled when something was missed

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	done chan struct{} // closed when run has ended

	mu      sync.Mutex
	closed  bool
	session *session
	cause   error  // why there is no session
	dialed  uint32 // numbers links
}

var (
	_ storage.Clustered = (*Adapter)(nil)
	_ storage.Checker   = (*Adapter)(nil)
	_ storage.Drainer   = (*Adapter)(nil)
	_ storage.LinkMeter = (*Adapter)(nil)
)

// Open connects to the engine and makes sure that it answers, within a minute at
// most. An error is final: later outages are mended, this one is not.
func Open(ctx context.Context, dial Dial, o Options) (*Adapter, error) {
	o = o.withDefaults()
	a := &Adapter{
		dial: dial, options: o, subscribers: rounds.New[*protocol.Envelope](), outbox: newOutbox(o.QueueBytes),
		links: links{newest: map[sender]uint32{}}, lapse: make(chan struct{}, 1), retuned: make(chan struct{}, 1), done: make(chan struct{}),
		log: o.Log.With(zap.String("adapter", o.Driver), zap.String("engine", o.Place)),
	}
	_, _ = rand.Read(a.id[:]) // never fails
	a.SetTuning(o.Tuning)
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.echoes = newEchoes(a.id)
	a.topics = newTopics(o.Linger, protocol.Topic{}, a.echoes.topic)
	a.inbox = newInbox(o.Workers, o.InboxBytes, a.log, func(e *protocol.Envelope) { a.subscribers.Deliver(e) })
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s, err := a.connect(ctx)
	if err == nil {
		if err = s.echo(ctx); err != nil {
			s.end(err)
		}
	}
	if err != nil {
		a.stop()
		a.inbox.close()
		return nil, a.errorf("%w", err)
	}
	go a.run(s)
	return a, nil
}

// errorf makes an error that names the engine.
func (a *Adapter) errorf(format string, args ...any) error {
	return fmt.Errorf("%s %s: "+format, append([]any{a.options.Driver, a.options.Place}, args...)...)
}

// MaxSize is the size in bytes of what the engine takes, an envelope with all its
// fields.
func (a *Adapter) MaxSize() int64 { return a.maxSize.Load() }

// SetTuning changes options of a running adapter. One that has given up connecting
// begins again.
func (a *Adapter) SetTuning(t Tuning) {
	t = t.withDefaults()
	a.tuning.Store(&t)
	select {
	case a.retuned <- struct{}{}:
	default:
	}
}

func (a *Adapter) answerTimeout() time.Duration { return a.tuning.Load().AnswerTimeout }

// Publish delivers an envelope to the subscribers of this node and puts it in line
// for the others. It waits while the line is full and the engine takes what is in
// it.
func (a *Adapter) Publish(ctx context.Context, e *protocol.Envelope) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A leave waits until the envelope is in line, too.
	round, ok := a.subscribers.Enter()
	if !ok {
		return a.errorf("%w", storage.ErrClosed)
	}
	defer round.Exit()
	data := a.id.envelope(e)
	if limit := a.maxSize.Load(); int64(len(data)) > limit {
		return a.errorf("an envelope of %d bytes, where at most %d are taken: %w", len(data), limit, storage.ErrTooLarge)
	}
	round.Deliver(e)
	if err := a.outbox.add(ctx, Packet{Topic: e.Topic(), Data: data}); err != nil {
		return a.errorf("too much waits to be sent: %w", err)
	}
	return nil
}

// Subscribe registers deliver under the name of a subscriber, see
// rounds.Subscribers. leave waits for deliveries that have begun, and until the
// engine has all that this node has published, or is away.
func (a *Adapter) Subscribe(subscriber string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	leave, ok := a.subscribers.Add(subscriber, deliver)
	if !ok {
		return nil, a.errorf("%w", storage.ErrClosed)
	}
	return func(ctx context.Context) error { return errors.Join(leave(ctx), a.Drain(ctx)) }, nil
}

// Drain waits, bounded by ctx, until the engine has all that this node has
// published, or is away.
func (a *Adapter) Drain(ctx context.Context) error {
	if err := a.outbox.flush(ctx); err != nil {
		return a.errorf("waiting until everything is sent: %w", err)
	}
	return nil
}

// Want asks for topics.
func (a *Adapter) Want(ctx context.Context, topics ...protocol.Topic) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := a.topics.want(ctx, topics); err != nil {
		return a.errorf("asking for channels: %w", err)
	}
	return nil
}

// Unwant lets go of topics. Asking for them again soon costs nothing.
func (a *Adapter) Unwant(topics ...protocol.Topic) { a.topics.unwant(topics) }

// received takes the data of a packet.
func (a *Adapter) received(data []byte) {
	p, err := open(data)
	switch own := p.from == a.id; {
	case err != nil:
	case p.kind == kindProbe && own:
		err = a.echoes.received(p.rest)
	case p.kind == kindEnvelope && !own && a.links.late(p):
		a.counts.missed.Add(1)
	case p.kind == kindEnvelope && !own:
		var e *protocol.Envelope
		if e, err = protocol.DecodeEnvelope(p.rest); err == nil {
			a.counts.received.Add(1)
			if !a.inbox.add(e, len(data)) {
				a.missed(1)
			}
		}
	}
	if err != nil && a.counts.malformed.Add(1) == 1 {
		a.log.Warn("a message that is none of ours was skipped, and so will be others; they are counted", zap.Error(err))
	}
}

// missed counts envelopes of other nodes that were lost, and lets the watchers
// know.
func (a *Adapter) missed(n int) {
	a.counts.missed.Add(uint64(n))
	select {
	case a.lapse <- struct{}{}:
	default:
	}
}

// Close ends the adapter. It does not wait for deliveries; a leave does.
func (a *Adapter) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.subscribers.Close()
	a.topics.close()
	a.stop()
	<-a.done
	a.inbox.close()
	return nil
}
