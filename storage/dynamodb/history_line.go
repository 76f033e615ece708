package dynamodb

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/sockudo/caddy-sockudo/storage"
)

// lines are where appends wait for the transaction of their log. One at a time is made
// for a log, so that those of one node do not make each other's fail, and all that has
// come meanwhile goes into the next one. A log that nobody appends to has no line.
type lines struct {
	mu     sync.Mutex
	of     map[storage.LogKey]*line
	closed bool
	work   sync.WaitGroup // of those who make transactions, one for each line
}

type line struct{ waiting []*ride }

// ride is what one caller adds in one transaction. It is the caller's copy, which may
// be used after the caller has left.
type ride struct {
	list []*storage.LogAppend
	done chan struct{} // closed when the list says what has become of it
	err  error         // why the transaction has failed
	trip *trip         // nil as long as it waits
}

// trip is a transaction that is made for as long as somebody waits for it.
type trip struct {
	riders int
	end    context.CancelFunc
}

func newRide(list []*storage.LogAppend) *ride {
	r := &ride{done: make(chan struct{})}
	for _, a := range list {
		c := *a
		if c.Payload = bytes.Clone(a.Payload); a.After != nil {
			after := *a.After
			c.After = &after
		}
		r.list = append(r.list, &c)
	}
	return r
}

// appendPortion adds entries in one transaction, to which those of others may belong.
func (h *History) appendPortion(ctx context.Context, key storage.LogKey, list []*storage.LogAppend) error {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	r := newRide(list)
	if !h.lines.join(key, r, h.drive) {
		return h.fail(ctx, nil)
	}
	select {
	case <-r.done:
	case <-ctx.Done():
		h.lines.leave(key, r)
		return h.fail(ctx, ctx.Err())
	}
	if r.err != nil {
		return r.err
	}
	for n, a := range list {
		a.Entry, a.Stream, a.Err = r.list[n].Entry, r.list[n].Stream, r.list[n].Err
	}
	return nil
}

// join lets a ride wait for its transaction, which drive makes. It is false after
// close.
func (l *lines) join(key storage.LogKey, r *ride, drive func(storage.LogKey)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	one := l.of[key]
	if one == nil {
		if l.of == nil {
			l.of = map[storage.LogKey]*line{}
		}
		one = new(line)
		l.of[key] = one
		l.work.Go(func() { drive(key) })
	}
	one.waiting = append(one.waiting, r)
	return true
}

// leave ends a ride. A transaction that is being made ends with its last rider.
func (l *lines) leave(key storage.LogKey, r *ride) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.trip != nil {
		if r.trip.riders--; r.trip.riders == 0 {
			r.trip.end()
		}
		return
	}
	if one := l.of[key]; one != nil {
		one.waiting = slices.DeleteFunc(one.waiting, func(w *ride) bool { return w == r })
	}
}

// next are the rides that go into one transaction, at least one. If none waits the line
// ends.
func (l *lines) next(key storage.LogKey, end context.CancelFunc) (rides []*ride) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.of[key]
	var c cargo
	for _, r := range one.waiting {
		if !c.takes(r.list) && len(rides) > 0 {
			break
		}
		rides = append(rides, r)
	}
	if len(rides) == 0 {
		delete(l.of, key)
		return nil
	}
	one.waiting = slices.Delete(one.waiting, 0, len(rides))
	t := &trip{riders: len(rides), end: end}
	for _, r := range rides {
		r.trip = t
	}
	return rides
}

// close waits until no transaction is being made. None is begun later.
func (l *lines) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.work.Wait()
}

// drive makes the transactions of a log until nobody waits for one.
func (h *History) drive(key storage.LogKey) {
	for h.driveOnce(key) {
	}
}

func (h *History) driveOnce(key storage.LogKey) bool {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	rides := h.lines.next(key, end)
	var list []*storage.LogAppend
	for _, r := range rides {
		list = append(list, r.list...)
	}
	if len(list) == 0 {
		return false
	}
	err := h.step(ctx, func(ctx context.Context) error { return h.tryAppend(ctx, key, list) })
	for _, r := range rides {
		r.err = err
		close(r.done)
	}
	return true
}

// cargo is what goes into one transaction.
type cargo struct {
	writes, size int
	subjects     map[string]bool
}

// takes adds entries of one log if there is room for them all.
func (c *cargo) takes(list []*storage.LogAppend) bool {
	for _, a := range list {
		if !c.add(a) {
			return false
		}
	}
	return true
}

// add adds an entry if there is room.
func (c *cargo) add(a *storage.LogAppend) bool {
	writes := 1
	if a.Once != "" {
		writes++
	}
	if a.Subject != "" {
		writes++
		if !c.subjects[a.Subject] {
			writes++
		}
	}
	size := len(a.Payload) + writes*(len(a.Key.App)+len(a.Key.Channel)+itemBytes)
	if 1+c.writes+writes > maxWrites || c.size+size > maxBytes {
		return false
	}
	if c.writes, c.size = c.writes+writes, c.size+size; a.Subject != "" {
		if c.subjects == nil {
			c.subjects = map[string]bool{}
		}
		c.subjects[a.Subject] = true
	}
	return true
}
