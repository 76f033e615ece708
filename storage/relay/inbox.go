package relay

import (
	"fmt"
	"hash/maphash"
	"sync"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// envelopeCost is what a waiting envelope takes beside its bytes, roughly.
const envelopeCost = 256

// inbox delivers envelopes of other nodes. Each channel belongs to one worker, so
// that its order is kept and a slow one holds up few others. What is for every node
// has a worker of its own. A worker that has too much waiting takes
// nothing more.
type inbox struct {
	seed    maphash.Seed
	workers []*worker // the last one is for the zero Topic
}

// worker delivers what belongs to it, one after the other.
type worker struct {
	max     int
	deliver func(*protocol.Envelope)
	log     *zap.Logger

	mu      sync.Mutex
	moved   sync.Cond // signalled with waiting and closed
	closed  bool
	waiting []incoming
	bytes   int
}

type incoming struct {
	envelope *protocol.Envelope
	size     int
}

// newInbox starts n workers and one for the zero Topic, which share limit bytes.
func newInbox(n, limit int, log *zap.Logger, deliver func(*protocol.Envelope)) *inbox {
	in := &inbox{seed: maphash.MakeSeed()}
	for range n + 1 {
		w := &worker{max: limit / (n + 1), deliver: deliver, log: log}
		w.moved.L = &w.mu
		in.workers = append(in.workers, w)
		go w.run()
	}
	return in
}

// add hands an envelope of a size to its worker. It reports false when that has
// too much waiting.
func (in *inbox) add(e *protocol.Envelope, size int) bool {
	return in.workerOf(e).add(incoming{e, size + envelopeCost})
}

func (in *inbox) workerOf(e *protocol.Envelope) *worker {
	last := len(in.workers) - 1
	var h maphash.Hash
	h.SetSeed(in.seed)
	_, _ = h.WriteString(e.App)
	_ = h.WriteByte(0)
	switch e.Kind {
	case protocol.KindControl, protocol.KindRevoke:
		return in.workers[last]
	case protocol.KindUserEvent, protocol.KindCloseUser: // as their Topic
		_, _ = h.WriteString(protocol.ServerToUser)
		_, _ = h.WriteString(e.User)
	case protocol.KindEvent, protocol.KindReset, protocol.KindAnnotation:
		_, _ = h.WriteString(e.Channel)
	}
	return in.workers[h.Sum64()%uint64(last)]
}

// close ends the workers. It does not wait for a delivery that is under way.
func (in *inbox) close() {
	for _, w := range in.workers {
		w.mu.Lock()
		w.closed, w.waiting = true, nil
		w.mu.Unlock()
		w.moved.Signal()
	}
}

func (w *worker) add(item incoming) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.bytes > 0 && w.bytes+item.size > w.max {
		return false
	}
	w.waiting = append(w.waiting, item)
	w.bytes += item.size
	w.moved.Signal()
	return true
}

func (w *worker) run() {
	var done []incoming
	for {
		w.mu.Lock()
		for len(w.waiting) == 0 && !w.closed {
			w.moved.Wait()
		}
		if w.closed {
			w.mu.Unlock()
			return
		}
		batch := w.waiting
		w.waiting = done[:0]
		w.mu.Unlock()
		for i := range batch {
			if !w.one(&batch[i]) {
				return
			}
		}
		if done = batch; cap(done) > 4096 {
			done = nil
		}
	}
}

// one delivers an envelope. It reports false when the inbox is closed.
func (w *worker) one(item *incoming) (more bool) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("recovered from a panic", zap.String("in", "delivering an envelope of another node"), zap.String("panic", fmt.Sprint(p)), zap.Stack("stack"))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.bytes -= item.size
		*item = incoming{}
		more = !w.closed
	}()
	w.deliver(item.envelope)
	return true
}
