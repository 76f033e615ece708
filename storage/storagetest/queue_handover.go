package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// TestQueueHandover hands queues over while producers push into them, workers come and go, and
// runs are cut off and fail. Whatever was accepted has run, or is in the other queue. open
// should set a delay before retries of some 20 ms.
func TestQueueHandover(t *testing.T, open func(t *testing.T) storage.Queue) {
	t.Helper()
	for round := range 12 {
		from, to := open(t), open(t)
		h := &handedOver{accepted: map[string]bool{}, ran: map[string]bool{}}
		ctx, end := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for p := range 3 {
			all.Go(func() { h.produce(ctx, from, fmt.Sprint(p, "-")) })
		}
		all.Go(func() { h.comeAndGo(ctx, from) })
		eventually(t, "jobs before the handover", func() bool { return h.count() >= 20 })
		if round%3 == 0 {
			time.Sleep(time.Duration(round) * time.Millisecond)
		}
		if _, err := from.(storage.Handover).Handover(t.Context(), to); err != nil {
			t.Errorf("round %d: Handover: %v", round, err)
		}
		end()
		all.Wait()
		stop, err := to.Work(queueName, 8, func(_ context.Context, j storage.Job) error {
			h.note(h.ran, j.ID)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "end of all jobs that were accepted", func() bool { return h.missing() == "" })
		if err := stop(t.Context()); err != nil {
			t.Error(err)
		}
		if s, err := from.Stats(t.Context(), queueName); err != nil || s.Ready+s.Delayed+s.Active > 0 {
			t.Errorf("round %d: the queue that was replaced has %+v, %v", round, s, err)
		}
		_, _ = from.Close(), to.Close()
	}
}

// queueName is that of the jobs.
const queueName = "handed"

// handedOver are the jobs of one round.
type handedOver struct {
	mu            sync.Mutex
	accepted, ran map[string]bool
}

func (h *handedOver) note(set map[string]bool, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set[id] = true
}

// produce pushes until the queue is closed to it.
func (h *handedOver) produce(ctx context.Context, q storage.Queue, prefix string) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprint(prefix, n)
		err := q.Push(context.WithoutCancel(ctx), storage.Job{Queue: queueName, ID: id, Payload: []byte(id), MaxAttempts: 1000})
		if errors.Is(err, storage.ErrClosed) {
			return
		}
		if err == nil {
			h.note(h.accepted, id)
		}
	}
}

// comeAndGo works the queue for short whiles, does not wait for its runs, and fails many.
func (h *handedOver) comeAndGo(ctx context.Context, q storage.Queue) {
	for n := 0; ctx.Err() == nil; n++ {
		stop, err := q.Work(queueName, 4, func(run context.Context, j storage.Job) error {
			switch len(j.Payload) % 3 {
			case 0:
				<-run.Done()
				return run.Err()
			case 1:
				return &storage.RetryAfterError{Cause: errors.New("not now"), Delay: time.Millisecond, Uncounted: true}
			}
			h.note(h.ran, j.ID)
			return nil
		})
		if err != nil {
			return
		}
		time.Sleep(time.Duration(n%4) * time.Millisecond)
		_ = stop(ended())
	}
}

// count is how many jobs have run.
func (h *handedOver) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ran)
}

// missing is one of the jobs that were accepted and have not run, or "".
func (h *handedOver) missing() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.accepted {
		if !h.ran[id] {
			return id
		}
	}
	return ""
}
