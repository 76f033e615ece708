//go:build unix

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
	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

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
	c := start(t, config{block: "drain_period 1s\ndrain_timeout 3s\nwebsocket {\n\t\t\tmax_messages 100000\n\t\t\tmax_bytes 64MiB\n\t\t}"})
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
		t.Cleanup(func() { _ = body.Close() })
	}
	resp, err := http.Get("http://" + c.admin + "/sockudo/hubs/default/tail")
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
	req, err := http.NewRequest(http.MethodPost, "https://localhost:"+c.secure+target, r)
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

// A push provider that never answers does not keep the process.
func TestExitWithStuckProvider(t *testing.T) {
	t.Parallel()
	f := pushtest.NewFCM(t)
	f.Script("phone", pushtest.FCMAnswer{Hang: true})
	c := start(t, config{block: "drain_period 1s\ndrain_timeout 3s\n" + pushBlock(t, f, "")})
	c.devices("room", "phone")
	if ok, err := c.notify("room", "stuck"); err != nil || !ok {
		t.Fatalf("publishing: %v", err)
	}
	c.waitFor("the attempt", func() bool { return f.Attempts("phone") > 0 })
	t.Logf("FIGURE SIGTERM with a stuck provider: ended in %v", c.ends(c.term(syscall.SIGTERM), exitMost).Round(time.Millisecond))
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
