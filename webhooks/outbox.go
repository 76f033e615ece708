package webhooks

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// overhead is what an event takes in memory beside its text and channel, in bytes.
const overhead = 160

// outbox keeps events until they are in the queue.
type outbox struct {
	delivery *Delivery

	mu     sync.Mutex
	boxes  map[string]*box // by app
	bytes  int             // of all events that have not been settled
	closed bool
	// ended cuts off what still waits when a Stop gives up.
	ended context.Context //nolint:containedctx // it is the outbox's life
	end   context.CancelFunc
	done  sync.WaitGroup
}

// box holds the events of one app, and is emptied by one goroutine, so that they
// get into the queue in their order. Both end when it is empty.
type box struct {
	app   string
	items []item
	bytes int // of their texts
	wake  chan struct{}
}

// item is one event.
type item struct {
	text    []byte
	set     protocol.WebhookSet
	channel string
	timeMS  int64
	came    time.Time
	of      *telling
}

func (i *item) cost() int { return len(i.text) + len(i.channel) + overhead }

// telling is one call of Tell.
type telling struct {
	left    int
	lost    bool
	settled func(kept bool)
}

func newOutbox(d *Delivery) *outbox {
	o := &outbox{delivery: d, boxes: map[string]*box{}}
	o.ended, o.end = context.WithCancel(context.Background())
	return o
}

// tell takes events. It waits for nothing.
func (o *outbox) tell(app string, events []protocol.WebhookEvent, settled func(kept bool)) {
	if settled == nil {
		settled = func(bool) {}
	}
	if len(events) == 0 {
		settled(true)
		return
	}
	m := o.delivery.board.Metrics
	m.events.WithLabelValues(app).Add(float64(len(events)))
	t := &telling{left: len(events), settled: settled}
	items, cost, now := make([]item, len(events)), 0, time.Now()
	for i := range events {
		e := &events[i]
		items[i] = item{e.AppendJSON(nil), protocol.WebhookSetOf(e.Name), e.Channel, e.TimeMS, now, t}
		cost += items[i].cost()
	}
	if !o.add(app, items, cost) {
		m.dropped.WithLabelValues(app, "outbox").Add(float64(len(events)))
		settled(false)
	}
}

// add puts events into the app's box. It does not if there is no room.
func (o *outbox) add(app string, items []item, cost int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed || o.bytes+cost > maxPending {
		return false
	}
	o.bytes += cost
	o.delivery.board.Metrics.pending.Set(float64(o.bytes))
	b := o.boxes[app]
	if b == nil {
		b = &box{app: app, wake: make(chan struct{}, 1)}
		o.boxes[app] = b
		o.done.Go(func() { o.empty(b) })
	}
	b.items = append(b.items, items...)
	for i := range items {
		b.bytes += len(items[i].text)
	}
	if o.fullLocked(b) {
		b.nudge()
	}
	return true
}

func (b *box) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// fullLocked reports whether the box holds a whole request.
func (o *outbox) fullLocked(b *box) bool {
	s := &o.delivery.settings
	return s.Single || o.closed || len(b.items) >= s.MaxBatch || b.bytes >= maxRequest
}

// empty takes requests out of a box until nothing is left.
func (o *outbox) empty(b *box) {
	for {
		batches, due := o.take(b)
		switch {
		case len(batches) > 0:
			o.keep(b.app, batches)
			continue
		case due.IsZero():
			return
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-timer.C:
		case <-b.wake:
		}
		timer.Stop()
	}
}

// take takes the requests that are ready, each a batch of events, out of a box.
// If there are none, it says when there will be; zero means that the box is empty
// and gone.
func (o *outbox) take(b *box) (batches [][]item, due time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(b.items) == 0 {
		delete(o.boxes, b.app)
		return nil, time.Time{}
	}
	s := &o.delivery.settings
	due = b.items[0].came.Add(s.FlushInterval)
	all := o.closed || s.Single || !time.Now().Before(due)
	taken := 0
	for len(batches) < maxBatches {
		n, whole := nextBatch(b.items[taken:], s)
		if n == 0 || !whole && !all {
			break
		}
		batches = append(batches, b.items[taken:taken+n:taken+n])
		taken += n
	}
	for i := range b.items[:taken] {
		b.bytes -= len(b.items[i].text)
	}
	b.items = b.items[taken:]
	return batches, due
}

// maxBatches is how many requests are put into the queue together.
const maxBatches = 64

// nextBatch is how many events the next request has, and whether no further one
// fits.
func nextBatch(items []item, s *Settings) (n int, whole bool) {
	most, bytes := s.MaxBatch, 0
	if s.Single {
		most = 1
	}
	for n < len(items) {
		bytes += len(items[n].text)
		if n == most || n > 0 && bytes > maxRequest {
			return n, true
		}
		n++
	}
	return n, n == most || bytes >= maxRequest
}

// settle tells the callers what has become of their events.
func (o *outbox) settle(app string, items []item, kept bool) {
	var calls []*telling
	cost := 0
	o.mu.Lock()
	for i := range items {
		t := items[i].of
		cost += items[i].cost()
		t.left--
		t.lost = t.lost || !kept
		if t.left == 0 {
			calls = append(calls, t)
		}
	}
	o.bytes -= cost
	o.delivery.board.Metrics.pending.Set(float64(o.bytes))
	o.mu.Unlock()
	if !kept {
		o.delivery.board.Metrics.dropped.WithLabelValues(app, "queue").Add(float64(len(items)))
	}
	for _, t := range calls {
		o.call(t)
	}
}

func (o *outbox) call(t *telling) {
	defer func() {
		if p := recover(); p != nil {
			o.delivery.settings.Log.Error("recovered from a panic", zap.String("in", "telling what has become of events"), zap.Any("panic", p), zap.Stack("stack"))
		}
	}()
	t.settled(!t.lost)
}

// close refuses events from now on and waits until all are settled. When ctx ends,
// those that are left are lost, of which their callers hear.
func (o *outbox) close(ctx context.Context) error {
	o.mu.Lock()
	o.closed = true
	for _, b := range o.boxes {
		b.nudge()
	}
	o.mu.Unlock()
	err := wait.Done(ctx, &o.done)
	o.end()
	o.done.Wait() // every wait of theirs ends with it
	return err
}
