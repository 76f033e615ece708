package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// flow sends two numbered sequences until it is told to finish: one published over
// HTTP, one as client events of a socket.
type flow struct {
	publisher *publisher
	progress  chan int
	stop      chan struct{}
	ended     chan error
	last      int
}

func startFlow(t *testing.T, s *server, sender *socket, names reloadNames) *flow {
	t.Helper()
	f := &flow{newPublisher(s), make(chan int, 1<<16), make(chan struct{}), make(chan error, 1), 0}
	run := fmt.Sprintf("reload-%d-%d-", os.Getpid(), time.Now().UnixNano())
	go func() {
		defer close(f.ended)
		for n := 1; ; n++ {
			text := fmt.Sprintf(`{"n":%d}`, n)
			err := f.publisher.publish(event{"n", names.HTTP, text, run + strconv.Itoa(n)})
			if err == nil {
				err = sender.conn.WriteJSON(map[string]any{"event": "client-n", "channel": names.Client, "data": json.RawMessage(text)})
			}
			if err != nil {
				f.ended <- fmt.Errorf("message %d: %w", n, err)
				return
			}
			f.progress <- n
			select {
			case <-f.stop:
				return
			case <-time.After(pace):
			}
		}
	}()
	return f
}

// reach waits until a number has been sent.
func (f *flow) reach(t *testing.T, n int) {
	t.Helper()
	for f.last < n {
		select {
		case f.last = <-f.progress:
		case err := <-f.ended:
			t.Fatalf("sending ended at %d: %v", f.last, err)
		}
	}
}

// finish sends as many again as between two loads, stops, and returns the last number.
func (f *flow) finish(t *testing.T) int {
	t.Helper()
	f.reach(t, f.last+perLoad)
	close(f.stop)
	if err := <-f.ended; err != nil {
		t.Fatal(err)
	}
	close(f.progress)
	for n := range f.progress {
		f.last = n
	}
	return f.last
}
