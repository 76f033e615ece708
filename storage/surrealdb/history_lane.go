package surrealdb

import (
	"bytes"
	"context"
	"maps"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxBatch and maxBatchBytes bound what one transaction adds.
	maxBatch      = 500
	maxBatchBytes = 16 << 20
	// maxHeads bounds how many logs are remembered as they were left.
	maxHeads = 4096
)

// lane puts the changes of one log in order, so that only those of other nodes are in
// their way. What is appended while a transaction is under way goes into the next one.
type lane struct {
	gate    chan struct{} // holds a value while somebody changes the log
	users   int           // who hold the lane or wait for it
	queue   []*item
	writing bool // a goroutine takes from the queue
}

// item is one append on its way. The lane sets its Entry, Stream and Err before done
// is closed, and nothing of the caller's is touched after that one has left.
type item struct {
	storage.LogAppend

	done chan struct{}
	of   *storage.LogAppend
}

func newItem(a *storage.LogAppend) *item {
	i := &item{LogAppend: *a, done: make(chan struct{}), of: a}
	i.Payload = bytes.Clone(a.Payload)
	if a.After != nil {
		after := *a.After
		i.After = &after
	}
	i.Entry, i.Stream, i.Err = storage.LogEntry{}, "", nil
	return i
}

// Append implements storage.History.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	ctx, done, err := h.begin(ctx)
	if err != nil {
		for _, a := range appends {
			a.Err = err
		}
		return
	}
	defer done()
	var under []*item
	logs := map[storage.LogKey][]*item{}
	for _, a := range appends {
		if a.Err = a.Check(); a.Err == nil {
			i := newItem(a)
			under, logs[a.Key] = append(under, i), append(logs[a.Key], i)
		}
	}
	for key, items := range logs {
		h.enqueue(key, items)
	}
	for _, i := range under {
		select {
		case <-i.done:
		case <-ctx.Done():
		}
		select {
		case <-i.done:
			i.of.Entry, i.of.Stream, i.of.Err = i.Entry, i.Stream, i.Err
		default: // it may be done later, or not
			i.of.Err = h.fail(ctx, ctx.Err())
		}
	}
	if ctx.Err() != nil {
		h.withdraw(logs)
	}
}

// enqueue hands appends to the lane of their log, and sees that somebody takes them.
func (h *History) enqueue(key storage.LogKey, items []*item) {
	id := logID(key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		for _, i := range items {
			i.Err = h.fail(h.link.open, storage.ErrClosed)
			close(i.done)
		}
		return
	}
	l := h.enter(id)
	l.queue = append(l.queue, items...)
	if l.writing {
		h.leave(id, l)
		return
	}
	l.writing = true
	h.loops.Go(func() { h.write(key, id, l) }) // which leaves
}

// withdraw takes back what no transaction has taken yet.
func (h *History) withdraw(logs map[storage.LogKey][]*item) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, items := range logs {
		l := h.lanes[logID(key)]
		if l == nil {
			continue
		}
		mine := map[*item]bool{}
		for _, i := range items {
			mine[i] = true
		}
		kept := l.queue[:0:0]
		for _, i := range l.queue {
			if !mine[i] {
				kept = append(kept, i)
			}
		}
		l.queue = kept
	}
}

// enter is the lane of a log, with one user more. leave is the end of one.
func (h *History) enter(id string) *lane {
	l := h.lanes[id]
	if l == nil {
		l = &lane{gate: make(chan struct{}, 1)}
		h.lanes[id] = l
	}
	l.users++
	return l
}

func (h *History) leave(id string, l *lane) {
	if l.users--; l.users == 0 {
		delete(h.lanes, id)
	}
}

// hold makes the caller the only one from here who changes a log, until it lets go.
func (h *History) hold(ctx context.Context, id string) (letGo func(), err error) {
	h.mu.Lock()
	l := h.enter(id)
	h.mu.Unlock()
	select {
	case l.gate <- struct{}{}:
	case <-ctx.Done():
		err = ctx.Err()
	}
	letGo = func() {
		if err == nil {
			<-l.gate
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.leave(id, l)
	}
	if err != nil {
		letGo()
		return nil, err
	}
	return letGo, nil
}

// write appends what is in a lane until there is nothing left.
func (h *History) write(key storage.LogKey, id string, l *lane) {
	for {
		l.gate <- struct{}{} // whoever has it is bounded by callTimeout, and by Close
		h.mu.Lock()
		items := take(l)
		if len(items) == 0 {
			l.writing = false
			<-l.gate
			h.leave(id, l)
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		h.appendAll(key, id, items)
		<-l.gate
		for _, i := range items {
			close(i.done)
		}
	}
}

// take takes as much of the queue of a lane as one transaction may add.
func take(l *lane) []*item {
	n, size := 0, 0
	for n < len(l.queue) && n < maxBatch && (n == 0 || size+len(l.queue[n].Payload) <= maxBatchBytes) {
		size += len(l.queue[n].Payload)
		n++
	}
	items := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return items
}

// remembered is a log as it was left by the last change from here. It is to be had
// once: whoever takes it puts back what has become of it.
func (h *History) remembered(id string) (s headState, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok = h.heads[id]
	delete(h.heads, id)
	return s, ok
}

// remember keeps how a log was left. When there are too many, any other one goes.
func (h *History) remember(id string, s headState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.heads) >= maxHeads {
		for other := range maps.Keys(h.heads) {
			delete(h.heads, other)
			break
		}
	}
	h.heads[id] = s
}
