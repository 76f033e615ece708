package redis

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

func jobOf(id string) storage.Job { return storage.Job{Queue: "q", ID: id, Payload: []byte(id)} }

func statsOf(t *testing.T, q storage.Queue) storage.QueueStats {
	t.Helper()
	s, err := q.Stats(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestJobsMoveBetweenQueues(t *testing.T) {
	single, cluster := standing(t), Options{Cluster: true, Addresses: clusterOf().Addrs()}
	inMemory := func() storage.Queue { return memory.NewQueue(memory.QueueOptions{}) }
	onOne := func() storage.Queue { return openQueue(t, single, QueueOptions{Prefix: ownPrefix(t, single)}) }
	onMany := func() storage.Queue { return openQueue(t, cluster, QueueOptions{Prefix: ownPrefix(t, cluster)}) }
	want := storage.QueueStats{Ready: 250, Delayed: 1, Dead: 2, Bytes: 4 + 5 + 5 + 10 + 90*2 + 150*3}
	for name, queues := range map[string][2]func() storage.Queue{
		"from memory": {inMemory, onOne}, "to memory": {onOne, inMemory}, "to a cluster": {onOne, onMany}, "from a cluster": {onMany, onOne},
		"to another prefix": {onOne, onOne},
	} {
		from, to := queues[0](), queues[1]()
		jobs := []storage.Job{{Queue: "q", ID: "late", Payload: []byte("late"), Delay: time.Hour}, {Queue: "other", Payload: []byte("x")}}
		for n := range 250 {
			jobs = append(jobs, jobOf(fmt.Sprint(n)))
		}
		if err := from.Push(t.Context(), jobs...); err != nil {
			t.Fatal(err)
		}
		begun := jobOf("begun")
		begun.Queue, begun.Attempt, begun.MaxAttempts = "begun", 3, 7
		var letters []storage.DeadLetter
		for i := range 2 {
			letters = append(letters, storage.DeadLetter{Job: jobOf(fmt.Sprint("dead", i)), Reason: "because", FailedAt: time.Now().Add(time.Duration(i-9) * time.Second)})
		}
		if err := from.(storage.Adopter).Adopt(t.Context(), []storage.Job{begun}, letters); err != nil {
			t.Fatal(err)
		}
		moved, err := from.(storage.Handover).Handover(t.Context(), to)
		if err != nil || moved != 253 {
			t.Errorf("%s: moved %d, %v", name, moved, err)
		}
		if s := statsOf(t, to); s != want {
			t.Errorf("%s: there are %+v, want %+v", name, s, want)
		}
		if s := statsOf(t, from); s != (storage.QueueStats{}) {
			t.Errorf("%s: left are %+v", name, s)
		}
		if err := from.Push(t.Context(), jobOf("more")); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s: a Push after that: %v", name, err)
		}
		if err := to.Push(t.Context(), storage.Job{Queue: "q", ID: "7", Payload: []byte("other")}); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%s: an id that has moved: %v", name, err)
		}
		ran := make(chan storage.Job, 1)
		if _, err := to.Work("begun", 1, func(_ context.Context, j storage.Job) error {
			ran <- j
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if j := <-ran; j.Attempt != 4 || j.MaxAttempts != 7 || j.ID != "begun" {
			t.Errorf("%s: the job that had run before is %+v", name, j)
		}
		got, err := to.(storage.DeadLetters).DeadLetters(t.Context(), "q", 10)
		if err != nil || len(got) != 2 || got[0].ID != "dead0" || got[0].Reason != "because" || time.Since(got[0].FailedAt) < 5*time.Second {
			t.Errorf("%s: the dead letters are %+v, %v", name, got, err)
		}
	}
}

// A queue that is opened anew with other words for the same server has the jobs
// already. They are not moved upon themselves, which would lose them.
func TestHandoverToTheSameKeys(t *testing.T) {
	o := standing(t)
	prefix := ownPrefix(t, o)
	from := openQueue(t, o, QueueOptions{Prefix: prefix})
	entered, release := make(chan struct{}), make(chan struct{})
	stop, err := from.Work("q", 1, func(_ context.Context, j storage.Job) error {
		if j.ID == "runs" {
			close(entered)
			<-release
		}
		return errors.New("it fails")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Push(t.Context(), jobOf("runs")); err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := from.Push(t.Context(), jobOf("1"), storage.Job{Queue: "q", Payload: []byte("no id")}, storage.Job{Queue: "q", ID: "late", Payload: []byte("late"), Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	o.PoolSize = 7
	to := openQueue(t, o, QueueOptions{Prefix: prefix})
	if moved, err := from.Handover(t.Context(), to); err != nil || moved != 0 {
		t.Errorf("moved %d, %v", moved, err)
	}
	if s := statsOf(t, to); s != (storage.QueueStats{Active: 1, Ready: 2, Delayed: 1, Bytes: 14}) {
		t.Errorf("there are %+v", s)
	}
	close(release) // it fails, and is tried again by the other
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statsOf(t, to); s != (storage.QueueStats{Ready: 2, Delayed: 2, Bytes: 14}) {
		t.Errorf("after the run there are %+v", s)
	}
}

// Jobs that run at the Handover and fail afterwards go where the others are.
func TestRunsEndAfterTheHandover(t *testing.T) {
	o := standing(t)
	from, to := openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)}), openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)})
	entered, release := make(chan struct{}, 4), make(chan struct{})
	stop, err := from.Work("q", 4, func(_ context.Context, j storage.Job) error {
		entered <- struct{}{}
		<-release
		if j.ID == "done" {
			return nil
		}
		return errors.New("it fails")
	})
	if err != nil {
		t.Fatal(err)
	}
	last := jobOf("last")
	last.MaxAttempts = 1
	if err := from.Push(t.Context(), jobOf("done"), jobOf("again"), last); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-entered
	}
	if moved, err := from.Handover(t.Context(), to); moved != 0 || err != nil {
		t.Errorf("moved %d, %v", moved, err)
	}
	close(release)
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statsOf(t, from); s != (storage.QueueStats{}) {
		t.Errorf("left are %+v", s)
	}
	if s := statsOf(t, to); s != (storage.QueueStats{Delayed: 1, Dead: 1, Bytes: 9}) {
		t.Errorf("there are %+v", s)
	}
}

// What the other queue does not take stays, and does not hold up what it takes.
func TestHandoverLeavesWhatIsNotTaken(t *testing.T) {
	o := standing(t)
	from, to := openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)}), openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)})
	var jobs []storage.Job
	for n := range 250 {
		jobs = append(jobs, jobOf(fmt.Sprint(n)))
	}
	late := jobOf("7")
	late.Payload = []byte("other")
	if err := errors.Join(from.Push(t.Context(), jobs...), to.Push(t.Context(), late)); err != nil {
		t.Fatal(err)
	}
	moved, err := from.Handover(t.Context(), to)
	if moved != 249 || !errors.Is(err, storage.ErrConflict) {
		t.Errorf("moved %d, %v", moved, err)
	}
	if s := statsOf(t, from); s != (storage.QueueStats{Ready: 1, Bytes: 1}) {
		t.Errorf("left are %+v", s)
	}
	// A queue that is full, and one that is closed.
	from, to = openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)}), openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o), MaxJobs: 120})
	if err := from.Push(t.Context(), jobs...); err != nil {
		t.Fatal(err)
	}
	if moved, err = from.Handover(t.Context(), to); moved != 120 || !errors.Is(err, storage.ErrFull) {
		t.Errorf("moved %d, %v", moved, err)
	}
	closed := memory.NewQueue(memory.QueueOptions{})
	_ = closed.Close()
	if moved, err = from.Handover(t.Context(), closed); moved != 0 || !errors.Is(err, storage.ErrClosed) {
		t.Errorf("moved %d, %v", moved, err)
	}
	if s := statsOf(t, from); s.Ready != 130 || s.Active != 0 {
		t.Errorf("left are %+v", s)
	}
}
