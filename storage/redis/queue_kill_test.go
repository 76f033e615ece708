package redis

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// queueVariable makes the test binary a process that pushes and works jobs until it
	// is killed. Its value is the address of the server, or those of a cluster.
	queueVariable = "SOCKUDO_KILL_QUEUE"
	// queueName begins the ids of its jobs.
	queueName = "SOCKUDO_KILL_NAME"
)

// killOptions let a job that is killed many times while it runs come to an end by
// success and not by its attempts.
var killOptions = QueueOptions{
	MaxAttempts: 1000, Retry: storage.Retry{Base: 10 * time.Millisecond, Max: 50 * time.Millisecond},
	Lease: time.Second, Renew: 300 * time.Millisecond,
}

func queueOptionsOf(addresses string) Options {
	list := strings.Split(addresses, ",")
	return Options{Addresses: list, Cluster: len(list) > 1}
}

// workUntilKilled prints "pushed ID" when a Push has returned and "ran ID" when a job
// has run well.
func workUntilKilled(addresses string) error {
	q, err := OpenQueue(context.Background(), queueOptionsOf(addresses), killOptions, nil)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	say := func(word, id string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintln(os.Stdout, word, id)
	}
	_, err = q.Work("q", 4, func(_ context.Context, j storage.Job) error {
		if strings.HasSuffix(j.ID, "7") && j.Attempt == 1 {
			return errors.New("the first run fails")
		}
		say("ran", j.ID)
		return nil
	})
	if err != nil {
		return err
	}
	failed := make(chan error)
	for p := range 2 {
		go func() {
			for n := 0; ; n++ {
				var jobs []storage.Job
				for k := range 1 + n%3 {
					j := jobOf(fmt.Sprintf("%s.%d.%d.%d", os.Getenv(queueName), p, n, k))
					if n%10 == 5 {
						j.Delay = 20 * time.Millisecond
					}
					jobs = append(jobs, j)
				}
				if err := q.Push(context.Background(), jobs...); err != nil {
					failed <- err
				}
				for _, j := range jobs {
					say("pushed", j.ID)
				}
			}
		}()
	}
	return <-failed
}

// victim is a process that will be killed.
type victim struct {
	command *exec.Cmd
	first   chan struct{} // closed with the first line
	done    chan struct{}
	lines   []string
	failure strings.Builder
}

func startVictim(t *testing.T, addresses, name string) *victim {
	t.Helper()
	return startProcess(t, queueVariable, addresses, name)
}

// startProcess starts this test binary as what a variable makes of it.
func startProcess(t *testing.T, variable, addresses, name string) *victim {
	t.Helper()
	v := &victim{command: exec.CommandContext(t.Context(), os.Args[0]), first: make(chan struct{}), done: make(chan struct{})}
	v.command.Env = append(os.Environ(), variable+"="+addresses, queueName+"="+name)
	v.command.Stderr = &v.failure
	out, err := v.command.StdoutPipe()
	if err == nil {
		err = v.command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(v.done)
		scanner := bufio.NewScanner(out)
		for scanner.Scan() {
			if v.lines = append(v.lines, scanner.Text()); len(v.lines) == 1 {
				close(v.first)
			}
		}
	}()
	return v
}

// kill ends the process and returns what it said.
func (v *victim) kill(t *testing.T) []string {
	t.Helper()
	select {
	case <-v.first:
	case <-v.done:
	case <-time.After(30 * time.Second):
	}
	time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
	_ = v.command.Process.Kill()
	<-v.done
	_ = v.command.Wait()
	if v.failure.Len() > 0 || len(v.lines) == 0 {
		t.Errorf("a process said %d lines, and complained: %s", len(v.lines), &v.failure)
	}
	// The pipe ends within a line when the process does.
	if n := len(v.lines); n > 0 && strings.Count(v.lines[n-1], ".") != 3 {
		return v.lines[:n-1]
	}
	return v.lines
}

// TestKilledQueueProcesses has two processes push and work jobs of one queue, and
// kills one after the other, again and again, at any moment. Whatever Push has
// accepted must run in the end.
//
// Checklist: configuration 79
func TestKilledQueueProcesses(t *testing.T) {
	t.Parallel()
	rounds := 20
	if text := os.Getenv("SOCKUDO_KILL_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{"single", "cluster"} {
		t.Run(kind, func(t *testing.T) {
			var addresses string
			if kind == "single" {
				addresses = redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always").Addr()
			} else {
				addresses = strings.Join(redistest.StartCluster(t, "--appendonly", "yes", "--appendfsync", "always").Addrs(), ",")
			}
			killThem(t, kind, addresses, rounds)
		})
	}
}

func killThem(t *testing.T, kind, addresses string, rounds int) {
	t.Helper()
	accepted, ran := map[string]bool{}, map[string]int{}
	crossed := 0 // jobs that ran in another process than the one that pushed them
	hear := func(name string, lines []string) {
		for _, line := range lines {
			switch word, id, _ := strings.Cut(line, " "); word {
			case "pushed":
				accepted[id] = true
			case "ran":
				ran[id]++
				if !strings.HasPrefix(id, name+".") {
					crossed++
				}
			}
		}
	}
	old := startVictim(t, addresses, "p0")
	for round := range rounds {
		next := startVictim(t, addresses, fmt.Sprint("p", round+1))
		select {
		case <-next.first: // both are at work
		case <-next.done: // which kill complains of
		}
		hear(fmt.Sprint("p", round), old.kill(t))
		old = next
	}
	hear(fmt.Sprint("p", rounds), old.kill(t))
	q := openQueue(t, queueOptionsOf(addresses), killOptions)
	left := statsOf(t, q)
	var mu sync.Mutex
	stop, err := q.Work("q", 4, func(_ context.Context, j storage.Job) error {
		mu.Lock()
		defer mu.Unlock()
		ran[j.ID]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "end of the jobs that were left", func() bool { return statsOf(t, q) == storage.QueueStats{} })
	if err := stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost, twice := 0, 0
	for id := range accepted {
		if ran[id] == 0 {
			lost++
			t.Errorf("job %s was accepted and never ran", id)
		}
	}
	for _, n := range ran {
		if n > 1 {
			twice++
		}
	}
	if len(accepted) < rounds*10 || crossed == 0 {
		t.Errorf("only %d jobs were accepted in %d rounds, and %d ran in another process", len(accepted), rounds, crossed)
	}
	t.Logf("FIGURE kill -9 of processes with the Redis queue (%s, two at a time): %d rounds, %d jobs accepted, %d left after the last round, %d lost, %d ran more than once, %d ran in another process than pushed them",
		kind, rounds, len(accepted), left.Ready+left.Delayed+left.Active, lost, twice, crossed)
}
