// Package outage stands between a driver and its server, for tests: it can cut
// the connections of the driver, or let them hang, and mend them again.
package outage

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// dialTimeout bounds the connecting to the server behind a proxy.
const dialTimeout = 5 * time.Second

// state is what a proxy does with the bytes that come.
type state int

const (
	passing state = iota
	cut           // new connections are closed at once
	stalled       // bytes are kept back, in both directions
)

// Proxy passes TCP connections on to a server. It ends with the test.
type Proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	moved sync.Cond // signalled with state
	state state
	ended bool
	pairs map[*pair]struct{}
	loops sync.WaitGroup
}

type pair struct{ client, server net.Conn }

func (p *pair) close() {
	_ = p.client.Close()
	if p.server != nil {
		_ = p.server.Close()
	}
}

// NewProxy listens on a free port of loopback for a server at target, which is
// HOST:PORT.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: listener, target: target, pairs: map[*pair]struct{}{}}
	p.moved.L = &p.mu
	p.loops.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

// Addr is where the proxy listens, HOST:PORT.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Port is that of Addr.
func (p *Proxy) Port() int {
	addr, ok := p.listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return addr.Port
}

// Cut closes all connections, and each new one at once.
func (p *Proxy) Cut() {
	p.set(cut)
	p.closeAll()
}

// Stall keeps all connections open and passes nothing on.
func (p *Proxy) Stall() { p.set(stalled) }

// Mend passes everything on again, what was kept back too.
func (p *Proxy) Mend() { p.set(passing) }

func (p *Proxy) set(s state) {
	p.mu.Lock()
	p.state = s
	p.mu.Unlock()
	p.moved.Broadcast()
}

func (p *Proxy) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pair := range p.pairs {
		pair.close()
	}
}

func (p *Proxy) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.moved.Broadcast()
	_ = p.listener.Close()
	p.closeAll()
	p.loops.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		pair := &pair{client: client}
		p.mu.Lock()
		refuse := p.state == cut || p.ended
		if !refuse {
			p.pairs[pair] = struct{}{}
		}
		p.mu.Unlock()
		if refuse {
			_ = client.Close()
			continue
		}
		p.loops.Go(func() { p.serve(pair) })
	}
}

func (p *Proxy) serve(pair *pair) {
	defer func() {
		p.mu.Lock()
		delete(p.pairs, pair)
		pair.close()
		p.mu.Unlock()
	}()
	if !p.open() {
		return
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	server, err := dialer.DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	p.mu.Lock()
	pair.server = server
	gone := p.state == cut || p.ended
	p.mu.Unlock()
	if gone {
		return
	}
	var ways sync.WaitGroup
	for _, way := range []struct{ from, to net.Conn }{{pair.client, server}, {server, pair.client}} {
		ways.Go(func() {
			p.pass(way.from, way.to)
			pair.close()
		})
	}
	ways.Wait()
}

// pass copies bytes while the proxy lets them through.
func (p *Proxy) pass(from io.Reader, to io.Writer) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !p.open() {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// open waits while the proxy stalls. It reports false when the proxy has ended.
func (p *Proxy) open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.state == stalled && !p.ended {
		p.moved.Wait()
	}
	return !p.ended
}
