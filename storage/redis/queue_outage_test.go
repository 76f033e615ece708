package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

func redisScore(score float64, member string) redis.Z { return redis.Z{Score: score, Member: member} }

// lastOf is the number of the last job of a queue.
func lastOf(t *testing.T, q *Queue) string {
	t.Helper()
	n, err := q.client.Get(t.Context(), q.base+"seq").Int64()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%016d", n)
}

// A Push whose answer is lost says so, within its bound, and is not done twice.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	o := at(server)
	o.ReplyTimeout = 300 * time.Millisecond
	q := openQueue(t, o, QueueOptions{Timeout: 300 * time.Millisecond})
	if err := q.Push(t.Context(), jobOf("before")); err != nil {
		t.Fatal(err)
	}
	server.Freeze()
	start := time.Now()
	err := q.Push(t.Context(), jobOf("a"), jobOf("b"))
	if err == nil || !strings.Contains(err.Error(), "the answer was lost, and the jobs may be queued or not") || !strings.Contains(err.Error(), server.Addr()) {
		t.Errorf("while the server stands still: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("that took %v", took)
	}
	server.Thaw()
	until(t, "late acceptance", func() bool { return statsOf(t, q).Ready == 3 })
	if err := q.Push(t.Context(), jobOf("a"), jobOf("b")); err != nil {
		t.Fatal(err)
	}
	if s := statsOf(t, q); s.Ready != 3 {
		t.Errorf("after the same again there are %+v", s)
	}
	server.Stop()
	start = time.Now()
	if err := q.Push(t.Context(), jobOf("c")); err == nil || strings.Contains(err.Error(), "the answer was lost") {
		t.Errorf("without a server: %v", err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("that took %v", took)
	}
	if err := q.Check(t.Context()); err == nil {
		t.Error("the check passes without a server")
	}
}

// What a worker says in an outage reaches the server after it, and new jobs run.
func TestWorkersOutliveAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for name, breaks := range map[string][2]func(*outage.Proxy){
		"cut": {(*outage.Proxy).Cut, (*outage.Proxy).Mend}, "stalled": {(*outage.Proxy).Stall, (*outage.Proxy).Mend},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := outage.NewProxy(t, server.Addr())
			prefix := ownPrefix(t, at(server))
			o := Options{Addresses: []string{proxy.Addr()}, ReplyTimeout: 300 * time.Millisecond}
			q := openQueue(t, o, QueueOptions{Prefix: prefix, Timeout: 500 * time.Millisecond})
			near := openQueue(t, at(server), QueueOptions{Prefix: prefix})
			var mu sync.Mutex
			ran := map[string]int{}
			entered, release := make(chan struct{}, 9), make(chan struct{})
			stop, err := q.Work("q", 2, func(_ context.Context, j storage.Job) error {
				mu.Lock()
				ran[j.ID]++
				mu.Unlock()
				entered <- struct{}{}
				<-release
				if j.ID == "fails" && j.Attempt == 1 {
					return errors.New("it fails")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := near.Push(t.Context(), jobOf("done"), jobOf("fails")); err != nil {
				t.Fatal(err)
			}
			<-entered
			<-entered
			breaks[0](proxy)
			close(release)
			if err := near.Push(t.Context(), jobOf("meanwhile")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // of outage
			if s := statsOf(t, near); s.Active != 2 || s.Ready != 1 {
				t.Errorf("in the outage there are %+v", s)
			}
			breaks[1](proxy)
			until(t, "end of all jobs", func() bool { return statsOf(t, near) == storage.QueueStats{} })
			if err := stop(t.Context()); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ran["done"] != 1 || ran["fails"] != 2 || ran["meanwhile"] != 1 {
				t.Errorf("the runs are %v", ran)
			}
		})
	}
}

// A claim whose answer is lost is asked again for the same jobs.
func TestRepeatedTurn(t *testing.T) {
	t.Parallel()
	o := standing(t)
	q := openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o)})
	if err := q.Push(t.Context(), jobOf("a"), jobOf("b"), jobOf("c")); err != nil {
		t.Fatal(err)
	}
	first, err := q.turnAs(t.Context(), "q", nil, 1, "one", false)
	if err != nil || len(first.jobs) != 1 || !first.more {
		t.Fatal(first, err)
	}
	end := &ending{job: first.jobs[0], word: "done"}
	second, err := q.turnAs(t.Context(), "q", end, 1, "two", false)
	if err != nil || !second.ours || len(second.jobs) != 1 || second.jobs[0].ID != "b" {
		t.Fatal(second, err)
	}
	again, err := q.turnAs(t.Context(), "q", end, 1, "two", true)
	if err != nil || again.ours || len(again.jobs) != 1 || again.jobs[0].ID != "b" || again.jobs[0].Attempt != 1 || again.jobs[0].seq != second.jobs[0].seq {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	if s := statsOf(t, q); s != (storage.QueueStats{Active: 1, Ready: 1, Bytes: 2}) {
		t.Errorf("there are %+v", s)
	}
}

// A server that is killed and keeps a log loses nothing that it has accepted, and
// those that push and run go on by themselves.
func TestKilledServerKeepsJobs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	options := QueueOptions{Timeout: time.Second, Lease: 2 * time.Second, MaxAttempts: 1000}
	producer, consumer := openQueue(t, at(server), options), openQueue(t, at(server), options)
	var mu sync.Mutex
	ran := map[string]int{}
	stop, err := consumer.Work("q", 4, func(_ context.Context, j storage.Job) error {
		mu.Lock()
		defer mu.Unlock()
		ran[j.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pushing sync.WaitGroup
	var accepted []string
	var unknown int
	for p := range 3 {
		pushing.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				j := jobOf(fmt.Sprint(p, "-", n))
				for {
					err := producer.Push(context.WithoutCancel(ctx), j)
					mu.Lock()
					if err == nil {
						accepted = append(accepted, j.ID)
					} else {
						unknown++
					}
					mu.Unlock()
					if err == nil || ctx.Err() != nil {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	const rounds = 8
	for round := range rounds {
		until(t, "acceptance of jobs", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(accepted) >= 30*(round+1)
		})
		server.Kill()
		server.Restart()
	}
	cancel()
	pushing.Wait()
	until(t, "end of all jobs", func() bool {
		s, err := consumer.Stats(t.Context(), "q")
		return err == nil && s == storage.QueueStats{}
	})
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	lost, twice := 0, 0
	for _, id := range accepted {
		switch n := ran[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost > 0 {
		t.Errorf("of %d accepted jobs %d never ran", len(accepted), lost)
	}
	t.Logf("FIGURE kill -9 of the server of the Redis queue (appendfsync always): %d rounds, %d jobs accepted, %d lost, %d ran more than once, %d pushes failed and were repeated",
		rounds, len(accepted), lost, twice, unknown)
}

// A server without memory refuses jobs and runs those it has, which makes room.
func TestQueueOfAFullServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--maxmemory", "12mb", "--maxmemory-policy", "noeviction")
	q := openQueue(t, at(server), QueueOptions{MaxBytes: 1 << 30, Lease: time.Second})
	n := 0
	var err error
	for ; n < 1000; n++ {
		if err = q.Push(t.Context(), storage.Job{Queue: "q", ID: fmt.Sprint(n), Payload: make([]byte, 64<<10)}); err != nil {
			break
		}
	}
	if !errors.Is(err, storage.ErrFull) || strings.Contains(err.Error(), "the answer was lost") || n == 0 {
		t.Fatalf("after %d jobs: %v", n, err)
	}
	if s := statsOf(t, q); s != (storage.QueueStats{Ready: n, Bytes: int64(n) << 16}) {
		t.Errorf("the refused Push has left %+v of %d jobs", s, n)
	}
	again := openQueue(t, at(server), QueueOptions{}) // one can be opened all the same
	release := make(chan struct{})
	stop, err := again.Work("q", 4, func(context.Context, storage.Job) error {
		<-release
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "work", func() bool { return statsOf(t, q).Active == 4 })
	if err := again.renew(t.Context()); err != nil {
		t.Errorf("renewing: %v", err)
	}
	close(release)
	until(t, "end of the jobs", func() bool { return statsOf(t, q) == storage.QueueStats{} })
	if err := errors.Join(stop(t.Context()), q.Push(t.Context(), jobOf("more"))); err != nil {
		t.Error(err)
	}
}

// The log warns of servers that lose jobs.
func TestWarningsOfLoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		user []string
		want string
	}{
		"nothing kept":    {want: "the server keeps nothing over a restart"},
		"snapshots":       {args: []string{"--save", "60 1"}, want: "a crash loses the jobs since its last snapshot"},
		"a log":           {args: []string{"--appendonly", "yes"}},
		"never written":   {args: []string{"--appendonly", "yes", "--appendfsync", "no"}, want: "appendfsync no"},
		"evicted":         {args: []string{"--appendonly", "yes", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru"}, want: "the server drops any key when its memory is full"},
		"not evicted":     {args: []string{"--appendonly", "yes", "--maxmemory", "1gb", "--maxmemory-policy", "volatile-lru"}},
		"without CONFIG":  {user: []string{"~*", "&*", "+@all", "-config"}, want: "a crash loses the jobs since its last snapshot"},
		"without INFO":    {user: []string{"~*", "&*", "+@all", "-info"}, want: "the server keeps nothing over a restart"},
		"without the two": {user: []string{"~*", "&*", "+@all", "-info", "-config"}, want: "the server does not tell whether it keeps jobs"},
	} {
		server := redistest.Start(t, c.args...)
		o := at(server)
		if c.user != nil {
			server.MustDo(append([]string{"ACL", "SETUSER", "u", "on", ">hush"}, c.user...)...)
			o.Username, o.Password = "u", "hush"
		}
		core, logs := observer.New(zap.WarnLevel)
		q, err := OpenQueue(t.Context(), o, QueueOptions{}, zap.New(core))
		if err != nil {
			t.Fatal(name, err)
		}
		_ = q.Close()
		var texts []string
		for _, entry := range logs.All() {
			texts = append(texts, entry.Message)
		}
		if c.want == "" && len(texts) > 0 || c.want != "" && (len(texts) != 1 || !strings.Contains(texts[0], c.want)) {
			t.Errorf("%s: the log says %q, want %q", name, texts, c.want)
		}
	}
}

// The rights that the documents name are enough, and each of them is missed when the
// queue is opened.
func TestQueueRights(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	commands := strings.Fields("evalsha eval time get set incrby hget hset hdel hkeys hincrby zadd zrem zscore zcard zcount zrange zrangebyscore publish subscribe ping")
	open := func(without string) (*Queue, error) {
		rights := []string{"ACL", "SETUSER", "u", "reset", "on", ">hush", "~sockudo_queue:*", "&sockudo_queue:{default}:ready"}
		for _, command := range commands {
			if command != without {
				rights = append(rights, "+"+command)
			}
		}
		server.MustDo(rights...)
		server.MustDo("SCRIPT", "FLUSH")
		o := at(server)
		o.Username, o.Password = "u", "hush"
		return OpenQueue(t.Context(), o, QueueOptions{Retry: storage.Retry{Base: time.Millisecond}}, nil)
	}
	for _, command := range commands {
		switch command {
		case "get", "set", "hkeys", "ping", "subscribe": // of the check, of a Handover, of clusters, and by follow
			continue
		}
		q, err := open(command)
		if err == nil {
			_ = q.Close()
		}
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("without %s: %v", command, err)
		}
	}
	q, err := open("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	if err := q.Push(t.Context(), jobOf("a"), storage.Job{Queue: "q", ID: "dies", MaxAttempts: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Work("q", 1, func(_ context.Context, j storage.Job) error {
		if j.ID == "dies" {
			return errors.New("it dies")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	until(t, "dead letter", func() bool { return statsOf(t, q) == storage.QueueStats{Dead: 1} })
	letters, err := q.DeadLetters(t.Context(), "q", 9)
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	_, purged := q.Purge(t.Context(), "q")
	_, oldest := q.Oldest(t.Context(), "q")
	other := openQueue(t, at(server), QueueOptions{Prefix: "other:"})
	pushed := q.Push(t.Context(), storage.Job{Queue: "q", ID: "moves", Delay: time.Hour})
	moved, handed := q.Handover(t.Context(), other)
	if err := errors.Join(purged, oldest, pushed, handed, q.Check(t.Context())); err != nil || moved != 1 {
		t.Error(moved, err)
	}
}
