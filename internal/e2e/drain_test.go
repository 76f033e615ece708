package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
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

// rawSocket opens a WebSocket by hand and reads its first frame.
func rawSocket(t *testing.T, c *caddy) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", "127.0.0.1:"+c.port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second)) // reading reports
	if err := upgradeRequest(t, "http://127.0.0.1:"+c.port+path).Write(conn); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(err, resp)
	}
	if _, err := r.Peek(2); err != nil {
		t.Fatal(err)
	}
	return conn, r
}

// Clients that do not answer a close frame, that do not read, that end no request, and those who listen at the admin
// endpoint do not keep the process.
func TestExitWithStuckClients(t *testing.T) {
	t.Parallel()
	c := start(t, config{block: "drain_period 1s\ndrain_timeout 3s\nwebsocket {\n\t\t\tmax_messages 0\n\t\t\tmax_bytes 0\n\t\t}"})
	rawSocket(t, c) // it reads no more, and never answers
	stalled, _ := rawSocket(t, c)
	subscribe := []byte(`{"event":"pusher:subscribe","data":{"channel":"flood"}}`)
	frame := append([]byte{0x81, 0x80 | byte(len(subscribe)), 0, 0, 0, 0}, subscribe...)
	if _, err := stalled.Write(frame); err != nil {
		t.Fatal(err)
	}
	c.waitFor("the subscription", func() bool {
		return strings.Contains(c.get("/sockudo/hubs/default/channels?app=app-id"), `"flood"`)
	})
	for i := range 600 { // more than the buffers between hold
		if err := c.publish("flood", "e", strings.Repeat("x", 9000), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, secure := range []bool{false, true} {
		body, err := dialBody(c, secure)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
	}
	resp, err := http.Get("http://" + c.admin + "/sockudo/hubs/default/tail") //nolint:noctx // it ends with the process
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	took := c.ends(c.term(syscall.SIGTERM), exitMost)
	rest, _ := io.ReadAll(resp.Body) // it ends with the process
	if !strings.Contains(string(rest), `"ended"`) || !strings.Contains(string(rest), "drain_started") {
		t.Errorf("a tail ends with %s", rest[max(0, len(rest)-500):])
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("FIGURE SIGTERM with stuck clients: ended in %v", took.Round(time.Millisecond))
}

// dialBody begins a call whose body does not come.
func dialBody(c *caddy, secure bool) (io.Closer, error) {
	target := signed("POST", "/apps/app-id/events", []byte("{}"))
	if !secure {
		conn, err := net.Dial("tcp", "127.0.0.1:"+c.port)
		if err != nil {
			return nil, err
		}
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", target, c.port)
		return conn, err
	}
	r, w := io.Pipe()
	req, err := http.NewRequest(http.MethodPost, "https://localhost:"+c.secure+target, r) //nolint:noctx // it ends with the process
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{TLSClientConfig: insecure("h2"), ForceAttemptHTTP2: true}
	go func() {
		resp, err := transport.RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
	}()
	_, err = io.WriteString(w, "{")
	return w, err
}

// Stores, adapters, queues, receivers of webhooks and push providers that hang do not keep the process.
func TestExitWithStuckBackends(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t)
	proxy := outage.NewProxy(t, store.Addr())
	silent := silentServer(t)
	redis := func(kind string) string { return kind + " redis {\naddress " + proxy.Addr() + "\n}\n" }
	c := start(t, config{
		block: "drain_period 1s\ndrain_timeout 3s\n" + redis("adapter") + redis("cache") + redis("queue") + redis("history") + "webhooks {\nallow_private on\n}\n",
		app:   "webhook http://" + silent + "/ {\nevents channel_occupied channel_vacated\n}",
	})
	var conns []*conn
	for _, transport := range transports {
		k := c.dial(transport)
		k.subscribe("room-" + transport)
		conns = append(conns, k)
	}
	proxy.Stall()
	go func() { _ = c.publish("room-http", "e", "x", "stuck-key") }()
	began := c.term(syscall.SIGTERM)
	for _, k := range conns {
		k.expectClose(4200)
	}
	t.Logf("FIGURE SIGTERM with stuck backends: ended in %v", c.ends(began, exitMost).Round(time.Millisecond))
}

// silentServer accepts connections and says nothing.
func silentServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return l.Addr().String()
}
