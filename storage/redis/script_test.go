package redis

import (
	"bytes"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

// swallower passes everything on to a server, but for the replies to what holds a
// word while it is on: it closes the connection instead, when the server has done
// what it was told.
type swallower struct {
	net.Listener
	target, word string
	on           atomic.Bool
	swallowed    atomic.Int32
}

func newSwallower(t *testing.T, port int, target, word string) *swallower {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{Listener: l, target: target, word: word}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(client)
		}
	}()
	return s
}

func (s *swallower) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", s.target)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var swallow atomic.Bool
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, err := client.Read(buffer)
			if bytes.Contains(buffer[:n], []byte(s.word)) && s.on.Load() {
				swallow.Store(true)
			}
			if _, e := server.Write(buffer[:n]); err != nil || e != nil {
				_ = server.Close()
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if swallow.Load() {
			s.swallowed.Add(1)
			return
		}
		if _, e := client.Write(buffer[:n]); err != nil || e != nil {
			return
		}
	}
}

// A script whose reply is lost has run, and is not run again.
func TestScriptsRunOnce(t *testing.T) {
	count := newScript("return redis.call('INCR', KEYS[1])")
	for _, cluster := range []bool{false, true} {
		t.Run(map[bool]string{false: "single", true: "cluster"}[cluster], func(t *testing.T) {
			port := redistest.FreePort(t)
			var args []string
			if cluster { // whose node says that it is at the swallower
				args = []string{"--cluster-enabled", "yes", "--cluster-port", "FREE", "--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", strconv.Itoa(port)}
			}
			server := redistest.Start(t, args...)
			if cluster {
				server.MustDo("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
				until(t, "cluster", func() bool { _, err := server.Do("GET", "n"); return err == nil })
			}
			between := newSwallower(t, port, server.Addr(), count.hash)
			c := connect(t, Options{Cluster: cluster, Addresses: []string{between.Addr().String()}})
			if n, err := c.run(t.Context(), count, []string{"n"}); err != nil || n != int64(1) {
				t.Fatalf("%v, %v", n, err)
			}
			between.on.Store(true)
			if _, err := c.run(t.Context(), count, []string{"n"}); err == nil {
				t.Error("a reply that was lost is no error")
			}
			between.on.Store(false)
			if n, err := c.run(t.Context(), count, []string{"n"}); err != nil || n != int64(3) || between.swallowed.Load() != 1 {
				t.Errorf("%v, %v, %d replies lost; want 3 with one", n, err, between.swallowed.Load())
			}
		})
	}
}
