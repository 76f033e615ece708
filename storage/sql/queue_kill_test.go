package sql

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// killVariable makes the test binary the process that is killed. Its value is the
// file of the queue.
const killVariable = "SOCKUDO_KILL_QUEUE"

func TestMain(m *testing.M) {
	if path := os.Getenv(killVariable); path != "" {
		if err := beKilled(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if text := os.Getenv(historyKillVariable); text != "" {
		if err := beKilledWithHistory(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if text := os.Getenv(pushKillVariable); text != "" {
		if err := beKilledWithPush(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

var errFirst = errors.New("the first run fails")

// beKilled pushes jobs and works them until the process is killed. It prints
// "pushed ID" when a Push has returned and "ran ID" when a job has run well.
func beKilled(path string) error {
	q, err := OpenQueue(context.Background(), path, killOptions, nil)
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
			return errFirst
		}
		say("ran", j.ID)
		return nil
	})
	if err != nil {
		return err
	}
	round := os.Getenv("SOCKUDO_KILL_ROUND")
	for p := range 4 {
		go func() {
			for n := 0; ; n++ {
				var jobs []storage.Job
				for k := range 1 + n%3 {
					j := job(fmt.Sprintf("%s.%d.%d.%d", round, p, n, k))
					if n%10 == 5 {
						j.Delay = 20 * time.Millisecond
					}
					jobs = append(jobs, j)
				}
				if err := q.Push(context.Background(), jobs...); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				for _, j := range jobs {
					say("pushed", j.ID)
				}
			}
		}()
	}
	select {}
}

// killOptions let a job that is killed many times while it runs come to an end
// by success and not by its attempts.
var killOptions = QueueOptions{MaxAttempts: 1000, Retry: storage.Retry{Base: 10 * time.Millisecond, Max: 50 * time.Millisecond}}

// TestKilledProcessesLoseNothing kills a process that pushes and works jobs, again
// and again, at any moment. Whatever Push has accepted must run in the end.
//
// Checklist: configuration 79
func TestKilledProcessesLoseNothing(t *testing.T) {
	rounds := 20
	if text := os.Getenv("SOCKUDO_KILL_ROUNDS"); text != "" {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "queue.db")
	accepted, ran := map[string]bool{}, map[string]int{}
	for round := range rounds {
		for _, line := range killOnce(t, path, round) {
			switch word, id, _ := strings.Cut(line, " "); word {
			case "pushed":
				accepted[id] = true
			case "ran":
				ran[id]++
			}
		}
	}
	q := openQueue(t, path, killOptions)
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
	if len(accepted) < rounds*10 {
		t.Errorf("only %d jobs were accepted in %d rounds", len(accepted), rounds)
	}
	t.Logf("FIGURE kill -9 of a process with the SQLite queue: %d rounds, %d jobs accepted, %d left after the last round, %d lost, %d ran more than once",
		rounds, len(accepted), left.Ready+left.Delayed+left.Active, lost, twice)
}

// killOnce runs a process for a while, kills it, and returns what it said.
func killOnce(t *testing.T, path string, round int) (lines []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), killVariable+"="+path, "SOCKUDO_KILL_ROUND="+strconv.Itoa(round))
	var failure strings.Builder
	c.Stderr = &failure
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	first := make(chan struct{})
	go func() {
		<-first
		time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
		_ = c.Process.Kill()
	}()
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) == 1 {
			close(first)
		}
	}
	if len(lines) == 0 {
		close(first)
		t.Errorf("round %d said nothing: %s", round, &failure)
	}
	_ = c.Wait()
	if failure.Len() > 0 {
		t.Errorf("round %d: %s", round, &failure)
	}
	// The pipe ends within a line when the process does.
	if n := len(lines); n > 0 && strings.Count(lines[n-1], ".") != 3 {
		lines = lines[:n-1]
	}
	return lines
}
