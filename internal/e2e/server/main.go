// Command server is Caddy with this module and with modules that fail or delay
// on demand, for the suite in the folder above.
package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // the usual modules

	_ "github.com/sockudo/caddy-sockudo" // the module under test
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

func init() {
	caddy.RegisterModule(new(failing))
	caddy.RegisterModule(new(broker))
	httpcaddyfile.RegisterGlobalOption("e2e_fail", func(d *caddyfile.Dispenser, _ any) (any, error) {
		d.Next()
		var f failing
		if !d.AllArgs(&f.At) {
			return nil, d.ArgErr()
		}
		return httpcaddyfile.App{Name: "e2e_fail", Value: caddyconfig.JSON(f, nil)}, nil
	})
}

func main() { caddycmd.Main() }

// failing is an app that fails a load at the given point, after a while.
type failing struct {
	// At is "provision" or "start".
	At string `json:"at,omitempty"`
}

func (*failing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "e2e_fail", New: func() caddy.Module { return new(failing) }}
}

var errFails = errors.New("this app fails on purpose")

func (f *failing) Provision(caddy.Context) error { return f.fail("provision") }
func (f *failing) Start() error                  { return f.fail("start") }
func (f *failing) Stop() error                   { return nil }

func (f *failing) fail(at string) error {
	if f.At != at {
		return nil
	}
	time.Sleep(50 * time.Millisecond)
	return errFails
}

// broker is an adapter whose messages take a while, as over a network. Each name
// is another broker.
type broker struct {
	// Name tells brokers apart.
	Name string `json:"name,omitempty"`
	// Down makes it unreachable.
	Down bool `json:"down,omitempty"`
}

func (*broker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.adapters.e2e_broker", New: func() caddy.Module { return new(broker) }}
}

func (b *broker) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		switch d.Val() {
		case "name":
			if !d.AllArgs(&b.Name) {
				return d.ArgErr()
			}
		case "down":
			b.Down = true
		default:
			return d.Errf("unrecognized subdirective %q", d.Val())
		}
	}
	return nil
}

func (*broker) Driver() string { return "e2e_broker" }
func (b *broker) Key() string  { return b.Name }

func (b *broker) Open(context.Context) (storage.Adapter, error) {
	if b.Down {
		return nil, errors.New("dial tcp 127.0.0.1:1: connection refused")
	}
	return newDelayed(), nil
}

// delayed delivers in order, a little later.
type delayed struct {
	storage.Adapter
	queue chan *protocol.Envelope
	done  sync.WaitGroup

	mu      sync.Mutex
	pending int
}

func newDelayed() *delayed {
	a := &delayed{Adapter: memory.NewLocal(), queue: make(chan *protocol.Envelope, 4096)}
	a.done.Go(func() {
		for e := range a.queue {
			time.Sleep(200 * time.Microsecond)
			_ = a.Adapter.Publish(context.Background(), e)
			a.mu.Lock()
			a.pending--
			a.mu.Unlock()
		}
	})
	return a
}

func (a *delayed) Publish(_ context.Context, e *protocol.Envelope) error {
	a.mu.Lock()
	a.pending++
	a.mu.Unlock()
	a.queue <- e
	return nil
}

// Subscribe returns a leave that waits for what is on its way.
func (a *delayed) Subscribe(name string, deliver func(*protocol.Envelope)) (func(context.Context) error, error) {
	leave, err := a.Adapter.Subscribe(name, deliver)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		for a.waiting() && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		return leave(ctx)
	}, nil
}

func (a *delayed) waiting() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pending > 0
}

func (a *delayed) Close() error {
	close(a.queue)
	a.done.Wait()
	return a.Adapter.Close()
}
