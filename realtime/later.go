package realtime

import (
	"container/heap"
	"sync"
)

// later is what a hub has to do at some time, without a timer for each.
type later struct {
	mu    sync.Mutex
	queue dueQueue
}

type due struct {
	at int64 // by clock
	do func()
}

type dueQueue []due

func (q dueQueue) Len() int           { return len(q) }
func (q dueQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q dueQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *dueQueue) Push(x any)        { *q = append(*q, x.(due)) }

func (q *dueQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = due{}
	*q = old[:len(old)-1]
	return last
}

// at calls do at a time by clock, or up to a tick later.
func (w *wheel) at(at int64, do func()) {
	w.later.mu.Lock()
	defer w.later.mu.Unlock()
	heap.Push(&w.later.queue, due{at, do})
}

// doLater does what is due at now.
func (w *wheel) doLater(now int64) {
	for {
		w.later.mu.Lock()
		if len(w.later.queue) == 0 || w.later.queue[0].at > now {
			w.later.mu.Unlock()
			return
		}
		next := heap.Pop(&w.later.queue).(due)
		w.later.mu.Unlock()
		w.hub.guard("what is due", next.do)
	}
}
