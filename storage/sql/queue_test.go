package sql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openQueue(t *testing.T, path string, o QueueOptions) *Queue {
	t.Helper()
	q, err := OpenQueue(t.Context(), path, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// Checklist: configuration 81, 82, 83
func TestQueueSuite(t *testing.T) {
	storagetest.Engine(t, engineOf(t, servers(t)[SQLite]))
	storagetest.TestQueue(t, func(t *testing.T) storage.Queue {
		return openQueue(t, filepath.Join(t.TempDir(), "queue.db"), QueueOptions{
			Scope: "hub ключ/", MaxBytes: 1 << 20, Retry: storage.Retry{Base: 20 * time.Millisecond},
		})
	})
}

func TestHandoverLosesNothing(t *testing.T) {
	storagetest.TestQueueHandover(t, func(t *testing.T) storage.Queue {
		return openQueue(t, filepath.Join(t.TempDir(), "queue.db"), QueueOptions{Retry: storage.Retry{Base: 20 * time.Millisecond}})
	})
}

func job(id string) storage.Job { return storage.Job{Queue: "q", ID: id, Payload: []byte(id)} }

func statsOf(t *testing.T, q storage.Queue) storage.QueueStats {
	t.Helper()
	s, err := q.Stats(t.Context(), "q")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestQueueOutlivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path, QueueOptions{})
	if err := q.Push(t.Context(), job("a"), storage.Job{Queue: "q", ID: "late", Payload: []byte("late"), Delay: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := q.Adopt(t.Context(), nil, []storage.DeadLetter{{Job: job("dead"), Reason: "because", FailedAt: time.Now()}}); err != nil {
		t.Fatal(err)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	q = openQueue(t, path, QueueOptions{MaxJobs: 4})
	if s := statsOf(t, q); s != (storage.QueueStats{Ready: 1, Delayed: 1, Dead: 1, Bytes: 9}) {
		t.Errorf("after opening again: %+v", s)
	}
	if err := q.Push(t.Context(), storage.Job{Queue: "q", ID: "a", Payload: []byte("other")}); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a known id with another payload: %v", err)
	}
	if err := q.Push(t.Context(), job("b"), job("c")); !errors.Is(err, storage.ErrFull) {
		t.Errorf("more jobs than the bound: %v", err)
	}
	left, err := filepath.Glob(path + "-owner-*")
	if err != nil || len(left) != 1 {
		t.Errorf("owners' files are %v, want that of this process only", left)
	}
}

// Checklist: configuration 79, 80
func TestLostLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	o := QueueOptions{Lease: 300 * time.Millisecond, Renew: time.Hour} // a process that does not renew
	stuck := openQueue(t, path, o)
	other := openQueue(t, path, QueueOptions{})
	entered, release := make(chan struct{}), make(chan struct{})
	var late atomic.Int32
	_, err := stuck.Work("q", 1, func(context.Context, storage.Job) error {
		close(entered)
		<-release
		late.Add(1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := stuck.Push(t.Context(), job("a")); err != nil {
		t.Fatal(err)
	}
	<-entered
	var runs atomic.Int32
	hold := make(chan struct{})
	stop, err := other.Work("q", 1, func(_ context.Context, j storage.Job) error {
		if j.Attempt != 2 {
			t.Errorf("the second run is number %d", j.Attempt)
		}
		runs.Add(1)
		<-hold
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "run in the other process", func() bool {
		if err := other.reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		return runs.Load() == 1
	})
	close(release) // the first one ends its run, which is not its own any more
	until(t, "end of the late run", func() bool { return late.Load() == 1 })
	if err := stuck.recount(t.Context()); err != nil { // behind what the late run has written
		t.Fatal(err)
	}
	if s := statsOf(t, other); s.Active != 1 {
		t.Errorf("who lost the lease has settled the job: %+v", s)
	}
	close(hold)
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := statsOf(t, other); s != (storage.QueueStats{}) {
		t.Errorf("left is %+v", s)
	}
}

func TestLeasesAreRenewed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q := openQueue(t, path, QueueOptions{Lease: 400 * time.Millisecond, Renew: 50 * time.Millisecond})
	other := openQueue(t, path, QueueOptions{})
	entered, release := make(chan struct{}), make(chan struct{})
	_, err := q.Work("q", 1, func(context.Context, storage.Job) error {
		close(entered) // twice would panic
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Push(t.Context(), job("a")); err != nil {
		t.Fatal(err)
	}
	<-entered
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err := other.reclaim(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s := statsOf(t, other); s.Active != 1 {
			t.Fatalf("a running job lost its lease: %+v", s)
		}
	}
	close(release)
	until(t, "end of the job", func() bool { return statsOf(t, q) == storage.QueueStats{} })
}

func TestJobsMoveBetweenQueues(t *testing.T) {
	fill := func(q storage.Queue) {
		t.Helper()
		jobs := []storage.Job{{Queue: "q", ID: "late", Payload: []byte("late"), Delay: time.Hour}}
		for n := range 250 {
			jobs = append(jobs, job(fmt.Sprint(n)))
		}
		if err := q.Push(t.Context(), jobs...); err != nil {
			t.Fatal(err)
		}
		letter := storage.DeadLetter{Job: job("dead"), Reason: "because", FailedAt: time.Now()}
		if err := q.(storage.Adopter).Adopt(t.Context(), nil, []storage.DeadLetter{letter}); err != nil {
			t.Fatal(err)
		}
	}
	want := storage.QueueStats{Ready: 250, Delayed: 1, Dead: 1, Bytes: 4 + 4 + 10 + 90*2 + 150*3}
	for name, queues := range map[string][2]storage.Queue{
		"from memory": {memory.NewQueue(memory.QueueOptions{}), openQueue(t, filepath.Join(t.TempDir(), "q.db"), QueueOptions{})},
		"to memory":   {openQueue(t, filepath.Join(t.TempDir(), "q.db"), QueueOptions{}), memory.NewQueue(memory.QueueOptions{})},
		"to a file":   {openQueue(t, filepath.Join(t.TempDir(), "q.db"), QueueOptions{Scope: "a"}), openQueue(t, filepath.Join(t.TempDir(), "r.db"), QueueOptions{})},
	} {
		from, to := queues[0], queues[1]
		fill(from)
		moved, err := from.(storage.Handover).Handover(t.Context(), to)
		if err != nil || moved != 251 {
			t.Errorf("%s: moved %d, %v", name, moved, err)
		}
		if s := statsOf(t, to); s != want {
			t.Errorf("%s: there are %+v, want %+v", name, s, want)
		}
		if s := statsOf(t, from); s != (storage.QueueStats{}) {
			t.Errorf("%s: left are %+v", name, s)
		}
		if err := from.Push(t.Context(), job("more")); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("%s: a Push after that: %v", name, err)
		}
	}
}

func TestBadQueueFiles(t *testing.T) {
	dir := t.TempDir()
	for name, prepare := range map[string]func(path string) error{
		"not a database": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600)
		},
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a later version": func(path string) error {
			q, err := OpenQueue(t.Context(), path, QueueOptions{}, nil)
			if err == nil {
				_, err = q.db.ExecContext(t.Context(), "UPDATE sockudo_schema SET version = 99")
				err = errors.Join(err, q.Close())
			}
			return err
		},
	} {
		path := filepath.Join(dir, name+".db")
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		q, err := OpenQueue(t.Context(), path, QueueOptions{}, nil)
		if err == nil {
			_ = q.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestManyProducersShareCommits(t *testing.T) {
	q := openQueue(t, filepath.Join(t.TempDir(), "queue.db"), QueueOptions{})
	var producers sync.WaitGroup
	for p := range 32 {
		producers.Go(func() {
			for n := range 20 {
				if err := q.Push(t.Context(), job(fmt.Sprint(p, "-", n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	producers.Wait()
	if s := statsOf(t, q); s.Ready != 640 {
		t.Errorf("there are %+v", s)
	}
}

// BenchmarkQueuePush pushes jobs of 1 KiB from one producer and from 64.
func BenchmarkQueuePush(b *testing.B) {
	for _, producers := range []int{1, 64} {
		b.Run(fmt.Sprint("producers=", producers), func(b *testing.B) {
			q, err := OpenQueue(b.Context(), filepath.Join(b.TempDir(), "queue.db"), QueueOptions{MaxJobs: 1 << 30, MaxBytes: 1 << 40}, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = q.Close() })
			payload := make([]byte, 1024)
			var all sync.WaitGroup
			b.ResetTimer()
			for p := range producers {
				all.Go(func() {
					for i := p; i < b.N; i += producers {
						if err := q.Push(context.Background(), storage.Job{Queue: "q", Payload: payload}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pushes/s")
		})
	}
}

// BenchmarkQueueWork runs jobs that are there, 16 at once.
func BenchmarkQueueWork(b *testing.B) {
	q, err := OpenQueue(b.Context(), filepath.Join(b.TempDir(), "queue.db"), QueueOptions{MaxJobs: 1 << 30, MaxBytes: 1 << 40}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = q.Close() })
	for start := 0; start < b.N; start += 1000 {
		jobs := make([]storage.Job, min(1000, b.N-start))
		for i := range jobs {
			jobs[i] = storage.Job{Queue: "q", Payload: make([]byte, 1024)}
		}
		if err := q.Push(context.Background(), jobs...); err != nil {
			b.Fatal(err)
		}
	}
	var all sync.WaitGroup
	all.Add(b.N)
	b.ResetTimer()
	stop, err := q.Work("q", 16, func(context.Context, storage.Job) error {
		all.Done()
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	_ = stop(context.Background())
}

// Two users of one file do not see each other's jobs.
func TestScopes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	a, b := openQueue(t, path, QueueOptions{Scope: "a/"}), openQueue(t, path, QueueOptions{Scope: "b/"})
	if err := errors.Join(a.Push(t.Context(), job("1")), b.Push(t.Context(), storage.Job{Queue: "q", ID: "1", Payload: []byte("other")})); err != nil {
		t.Fatal(err)
	}
	if moved, err := a.Handover(t.Context(), memory.NewQueue(memory.QueueOptions{})); err != nil || moved != 1 {
		t.Errorf("moved %d, %v", moved, err)
	}
	if s := statsOf(t, b); s.Ready != 1 || s.Bytes != 5 {
		t.Errorf("the other user has %+v", s)
	}
}
