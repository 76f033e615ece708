package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// verifyInterval is the time between two looks at whether a server is still what it
// was.
const verifyInterval = 3 * time.Second

// pair is a pair of connections to one server, one that publishes and one that
// listens. They live once and die together.
type pair struct {
	pairOptions
	address    string
	timeout    time.Duration
	publisher  *redis.Client
	listener   *redis.Client
	wires      [2]*wire
	subscribed *redis.PubSub
	verified   time.Time // used by one publish at a time

	ctx   context.Context // ends with the pair
	stop  context.CancelCauseFunc
	loops sync.WaitGroup
	heard atomic.Bool // since the last look

	mu      sync.Mutex
	waiting map[string]*asked // by channel
	leaving map[string]int    // how often an end was asked for
}

// pairOptions say what a pair is for.
type pairOptions struct {
	// verify adds to what is published a question whether the server is what it should
	// be. It may be nil.
	verify func(context.Context, redis.Pipeliner) func() error
	// received takes what comes, lost is told once why the pair is lost.
	received func(data []byte)
	lost     func(error)
	// sharded says that channels belong to slots. ended is told of a channel that the
	// server has let go of, and moved of those that belong elsewhere.
	sharded bool
	ended   func(from *pair, channel string)
	moved   func(from *pair, err error, channels map[string]*asked)
}

// asked is somebody who waits until channels are subscribed to.
type asked struct {
	since time.Time
	left  atomic.Int64
	done  func()
}

func newAsked(channels int, done func()) *asked {
	a := &asked{since: time.Now(), done: done}
	a.left.Store(int64(channels))
	return a
}

// answered is called for each channel.
func (a *asked) answered() {
	if a.left.Add(-1) == 0 {
		a.done()
	}
}

// openPair connects to a server.
func (d *dialer) openPair(ctx context.Context, address string, o pairOptions) (*pair, error) {
	l := &pair{pairOptions: o, address: address, timeout: time.Duration(d.timeout.Load()), waiting: map[string]*asked{}, leaving: map[string]int{}}
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	l.publisher, l.wires[0] = d.client(address)
	l.listener, l.wires[1] = d.client(address)
	l.subscribed = l.listener.Subscribe(l.ctx)
	defer context.AfterFunc(ctx, l.cut)()
	err := l.verifyNow(ctx)
	if err == nil {
		err = l.subscribed.Ping(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	l.loops.Go(l.receive)
	l.loops.Go(l.watch)
	return l, nil
}

// verifyNow connects, and asks the server what it is.
func (l *pair) verifyNow(ctx context.Context) error {
	if l.verify == nil {
		return l.publisher.Ping(ctx).Err()
	}
	pipe := l.publisher.Pipeline()
	ping := pipe.Ping(ctx)
	verdict := l.verify(ctx, pipe)
	if err := execute(ctx, pipe); err != nil {
		return err
	}
	l.verified = time.Now()
	if err := ping.Err(); err != nil {
		return err
	}
	return verdict()
}

// execute sends commands in one go. Its error is one that no command has, such as that
// of connecting.
func execute(ctx context.Context, pipe redis.Pipeliner) error {
	commands, err := pipe.Exec(ctx)
	if slices.ContainsFunc(commands, func(c redis.Cmder) bool { return c.Err() != nil }) {
		err = nil
	}
	return err
}

// publish sends packets under their names in one go. moved are the indexes of those
// that belong elsewhere.
func (l *pair) publish(ctx context.Context, names []string, packets []relay.Packet) (moved []int, cause error, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	pipe := l.publisher.Pipeline()
	verb := "publish"
	if l.sharded {
		verb = "spublish"
	}
	commands := make([]*redis.Cmd, len(packets))
	for i := range packets {
		commands[i] = pipe.Do(ctx, verb, names[i], packets[i].Data)
	}
	verdict := func() error { return nil }
	if l.verify != nil && time.Since(l.verified) >= verifyInterval {
		l.verified = time.Now()
		verdict = l.verify(ctx, pipe)
	}
	if err := execute(ctx, pipe); err != nil {
		return nil, nil, l.because(err)
	}
	for i, command := range commands {
		err := command.Err()
		if _, is := redis.IsMovedError(err); is && l.sharded {
			moved, cause = append(moved, i), err
			l.moved(l, err, nil)
			continue
		}
		if err != nil {
			return nil, nil, l.because(err)
		}
	}
	return moved, cause, verdict()
}

// because is why the pair is lost, if that has ended a call.
func (l *pair) because(err error) error {
	if cause := context.Cause(l.ctx); cause != nil {
		return cause
	}
	return err
}

// subscribe asks for channels, and returns when the server has answered.
func (l *pair) subscribe(ctx context.Context, channels []string) error {
	if len(channels) == 0 {
		return nil
	}
	done := make(chan struct{})
	a := newAsked(len(channels), func() { close(done) })
	all := make(map[string]*asked, len(channels))
	for _, channel := range channels {
		all[channel] = a
	}
	if err := l.ask(ctx, all); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

// ask asks for channels. Each answer is told to who waits for it.
func (l *pair) ask(ctx context.Context, channels map[string]*asked) error {
	l.mu.Lock()
	groups := map[int][]string{}
	for channel, a := range channels {
		l.waiting[channel] = a
		slot := 0
		if l.sharded { // one command names channels of one slot
			slot = slotOf(channel)
		}
		groups[slot] = append(groups[slot], channel)
	}
	l.mu.Unlock()
	for _, group := range groups {
		call := l.subscribed.Subscribe
		if l.sharded {
			call = l.subscribed.SSubscribe
		}
		if err := call(ctx, group...); err != nil {
			return l.because(err)
		}
	}
	return nil
}

// unsubscribe lets go of channels.
func (l *pair) unsubscribe(ctx context.Context, channels []string) error {
	l.mu.Lock()
	groups := map[int][]string{}
	for _, channel := range channels {
		l.leaving[channel]++
		slot := 0
		if l.sharded {
			slot = slotOf(channel)
		}
		groups[slot] = append(groups[slot], channel)
	}
	l.mu.Unlock()
	for _, group := range groups {
		call := l.subscribed.Unsubscribe
		if l.sharded {
			call = l.subscribed.SUnsubscribe
		}
		if err := call(ctx, group...); err != nil {
			return l.because(err)
		}
	}
	return nil
}

// receive takes what the server brings until the connection ends.
func (l *pair) receive() {
	defer func() {
		if p := recover(); p != nil { // the client library trusts the server
			l.lose(fmt.Errorf("recovered from a panic: %v", p))
		}
	}()
	for {
		message, err := l.subscribed.Receive(l.ctx)
		if _, moved := redis.IsMovedError(err); moved && l.sharded {
			l.elsewhere(err)
			continue
		}
		if err != nil {
			l.lose(err)
			return
		}
		if !l.heard.Load() {
			l.heard.Store(true)
		}
		switch m := message.(type) {
		case *redis.Message:
			l.received([]byte(m.Payload))
		case *redis.Subscription:
			l.take(m)
		}
	}
}

// take takes the answer to a subscription, or word of its end.
func (l *pair) take(m *redis.Subscription) {
	l.mu.Lock()
	a, ended := l.waiting[m.Channel], false
	switch m.Kind {
	case "subscribe", "ssubscribe":
		delete(l.waiting, m.Channel)
	default:
		a = nil
		if l.leaving[m.Channel]--; l.leaving[m.Channel] <= 0 {
			ended = l.leaving[m.Channel] < 0
			delete(l.leaving, m.Channel)
		}
	}
	l.mu.Unlock()
	if a != nil {
		a.answered()
	}
	if ended && l.ended != nil {
		l.ended(l, m.Channel)
	}
}

// elsewhere hands on the channels that belong to another server, by what this one
// has said.
func (l *pair) elsewhere(err error) {
	slot, _ := movedSlot(err)
	l.mu.Lock()
	channels := map[string]*asked{}
	for channel, a := range l.waiting {
		if slotOf(channel) == slot {
			channels[channel] = a
			delete(l.waiting, channel)
		}
	}
	l.mu.Unlock()
	l.moved(l, err, channels)
}

// watch asks a server from which nothing comes whether it is there.
func (l *pair) watch() {
	quiet := time.Duration(0)
	for wait.For(l.ctx, silence) {
		if l.heard.Swap(false) {
			quiet = 0
			continue
		}
		if quiet += silence; quiet > silence+l.timeout {
			l.lose(fmt.Errorf("%s: nothing heard for %v", l.address, quiet))
			return
		}
		if err := l.subscribed.Ping(l.ctx); err != nil {
			l.lose(err)
			return
		}
	}
}

// lose says why the pair is lost, once.
func (l *pair) lose(err error) {
	if l.ctx.Err() == nil {
		l.stop(err)
		l.lost(err)
	}
}

// cut ends both connections.
func (l *pair) cut() {
	for _, w := range l.wires {
		w.close()
	}
}

// close ends the pair. The connections come first, because the client library might
// wait for them otherwise.
func (l *pair) close() error {
	l.stop(errLinkOver)
	l.cut()
	err := errors.Join(ignoreClosed(l.subscribed.Close()), ignoreClosed(l.listener.Close()), ignoreClosed(l.publisher.Close()))
	l.loops.Wait()
	return err
}
