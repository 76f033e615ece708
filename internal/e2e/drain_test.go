package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exitMost is far above what an end of the process may take in these tests, and far below for ever.
const exitMost = 60 * time.Second

// term asks the process to end.
func (c *caddy) term(signal syscall.Signal) time.Time {
	c.t.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	return time.Now()
}

// ends waits for the end of the process.
func (c *caddy) ends(since time.Time, most time.Duration) time.Duration {
	c.t.Helper()
	select {
	case <-c.exited:
		return time.Since(since)
	case <-time.After(time.Until(since.Add(most))):
		stacks := c.get("/debug/pprof/goroutine?debug=2")
		c.t.Fatalf("the process has not ended after %v:\n%s", most, stacks[:min(len(stacks), 20000)])
		return 0
	}
}

// Sockets are closed in no order that they have, over the whole period and not at once, also on request.
func TestDrainSpreads(t *testing.T) {
	t.Parallel()
	c := start(t, config{block: "drain_period 3s\ndrain_timeout 20s"})
	const n = 60
	order := make(chan int, n)
	for i := range n {
		k := c.dial("http")
		go func() {
			for k.closed() == nil {
				time.Sleep(time.Millisecond)
			}
			order <- i
		}()
	}
	began := time.Now()
	if _, err := c.adminCall("POST", "/sockudo/hubs/default/drain", "", ""); err != nil {
		t.Fatal(err)
	}
	var closed []int
	var at []time.Duration
	for range n {
		closed, at = append(closed, <-order), append(at, time.Since(began))
	}
	rising := 0
	for i := 1; i < n; i++ {
		if closed[i] == closed[i-1]+1 {
			rising++
		}
	}
	if rising > n/2 {
		t.Errorf("closed in order: %v", closed)
	}
	// A third of the sockets takes about a third of the time. A machine under load may be late, never early.
	for _, third := range []int{1, 2} {
		if early := at[third*n/3]; early < time.Duration(third)*500*time.Millisecond {
			t.Errorf("%d of %d sockets were closed after %v already", third*n/3, n, early)
		}
	}
	status, err := c.status("/up")
	if err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("/up while draining: %d, %v", status, err)
	}
	c.ends(c.term(syscall.SIGTERM), exitMost)
}

// While the process drains it admits nobody, and says so.
func TestDrainRefuses(t *testing.T) {
	t.Parallel()
	c := start(t, config{block: "drain_period 4s\ndrain_timeout 20s"})
	for range 40 {
		c.dial("http")
	}
	began := c.term(syscall.SIGTERM)
	c.waitFor("the drain", func() bool {
		status, err := c.status("/up")
		return err == nil && status == http.StatusServiceUnavailable
	})
	resp, err := publishClient.Do(upgradeRequest(t, "http://127.0.0.1:"+c.port+path))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a handshake while draining: %s", resp.Status)
	}
	c.ends(began, exitMost)
}

func upgradeRequest(t *testing.T, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	return r
}

// The grace period of Caddy bounds the drain, and the drain timeout does where there is none.
func TestDrainIsBounded(t *testing.T) {
	t.Parallel()
	for global, block := range map[string]string{
		"grace_period 2s": "drain_period 10m\ndrain_timeout 20m",
		"grace_period 0":  "drain_period 2s\ndrain_timeout 2s",
		"":                "drain_period 2s\ndrain_timeout 2s",
	} {
		c := start(t, config{global: global, block: block})
		var conns []*conn
		for range 30 {
			conns = append(conns, c.dial("http"))
		}
		began := c.term(syscall.SIGTERM)
		for _, k := range conns {
			k.expectClose(4200)
		}
		t.Logf("FIGURE SIGTERM with %q and %q: ended in %v", global, block, c.ends(began, exitMost).Round(time.Millisecond))
	}
}

// A second SIGINT ends the process at once, as it does every Caddy.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	c := start(t, config{block: "drain_period 10m\ndrain_timeout 20m"})
	for range 600 { // a minute's worth
		c.dial("http")
	}
	began := c.term(syscall.SIGINT)
	c.waitFor("the drain", func() bool { return strings.Contains(c.log.String(), "draining") })
	c.term(syscall.SIGINT)
	c.ends(began, 30*time.Second)
	if code := c.cmd.ProcessState.ExitCode(); code != 2 {
		t.Errorf("exit code %d, want that of a forced quit", code)
	}
}
