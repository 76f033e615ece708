package sockudo

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// failing is a module that refuses a configuration, at the given moment, and one
// whose queue counts what it is given.
type failing struct {
	At string `json:"at,omitempty"`
}

func init() {
	caddy.RegisterModule(new(failing))
	caddy.RegisterModule(new(countedQueue))
	httpcaddyfile.RegisterGlobalOption("failing", func(d *caddyfile.Dispenser, _ any) (any, error) {
		f := new(failing)
		d.Next()
		d.Args(&f.At)
		return httpcaddyfile.App{Name: "failing", Value: caddyconfig.JSON(f, nil)}, nil
	})
}

func (*failing) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "failing", New: func() caddy.Module { return new(failing) }}
}

var errFailing = errors.New("this app fails")

func (f *failing) fail(at string) error {
	if f.At == at {
		return errFailing
	}
	return nil
}

func (f *failing) Provision(caddy.Context) error { return f.fail("provision") }
func (f *failing) Start() error                  { return f.fail("start") }
func (*failing) Stop() error                     { return nil }

// Checklist: configuration 118
func TestFailedLoad(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	block := func(limit string) string {
		return site(port, "sockudo {\nrate_limiter {\nenabled off\n}\nmax_connections "+limit+"\ncache memory {\nmax_entries "+limit+"\n}\n"+appBlock+"}")
	}
	s.mustLoad("", block("10"))
	kept := dial(t, "127.0.0.1:"+port, "/app/demo-key")
	for range 5 { // apps come in random order
		for _, at := range []string{"provision", "start"} {
			if err := s.load("failing "+at, block("1")); err == nil || !strings.Contains(err.Error(), errFailing.Error()) {
				t.Fatal(err)
			}
			dial(t, "127.0.0.1:"+port, "/app/demo-key").Close()
			var state HubState
			s.call("GET", "/sockudo/hubs/default", &state)
			if state.Limits.MaxConnections != 10 || state.Configurations != 1 {
				t.Errorf("%+v", state)
			}
		}
	}
	kept.send(`{"event":"pusher:ping","data":{}}`)
	kept.expect("pusher:pong")
}

// countedQueue is a queue in memory that is another one for each name.
type countedQueue struct {
	Name string `json:"name,omitempty"`
}

func (*countedQueue) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.counted", New: func() caddy.Module { return new(countedQueue) }}
}

func (q *countedQueue) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "name" || !d.AllArgs(&q.Name) {
			return d.ArgErr()
		}
	}
	return nil
}

func (*countedQueue) Driver() string { return "counted" }
func (q *countedQueue) Key() string  { return q.Name }

func (*countedQueue) Open(context.Context) (storage.Queue, error) {
	return memory.NewQueue(memory.QueueOptions{}), nil
}

// Jobs that wait in a queue which is replaced move into the new one.
func TestQueueHandover(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	load := func(queue string) storage.Queue {
		t.Helper()
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"queue "+queue+"\n}"))
		live, err := findHub("default").Live()
		if err != nil {
			t.Fatal(err)
		}
		defer live.Release()
		return live.Settings.Drivers.Queue
	}
	old := load("counted {\nname a\n}")
	for range 3 {
		if err := old.Push(t.Context(), storage.Job{Queue: "webhooks", Payload: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	if load("counted {\nname a\n}") != old {
		t.Error("the same queue was opened again")
	}
	replaced := load("memory")
	if replaced == old {
		t.Fatal("the queue was not replaced")
	}
	var mu sync.Mutex
	done := 0
	stop, err := replaced.Work("webhooks", 1, func(context.Context, storage.Job) error {
		mu.Lock()
		defer mu.Unlock()
		done++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		mu.Lock()
		n := done
		mu.Unlock()
		if n == 3 {
			break
		}
	}
	if err := stop(t.Context()); err != nil || done != 3 {
		t.Errorf("%d jobs done, %v", done, err)
	}
	contains(t, s.logged(), `"msg":"queue replaced"`, `"jobs_moved":3`)
	if err := old.Push(t.Context(), storage.Job{Queue: "webhooks"}); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("the old queue says %v", err)
	}
}

// The tuning of a driver that keeps running is that of the current configuration.
func TestTuning(t *testing.T) {
	s := newServer(t)
	port := freePort(t)
	load := func(global, bytes string) (storage.Cache, error) {
		t.Helper()
		err := s.load(global, site(port, "sockudo {\n"+appBlock+"cache memory {\nmax_bytes "+bytes+"\n}\n}"))
		live, e := findHub("default").Live()
		if e != nil {
			t.Fatal(e)
		}
		defer live.Release()
		return live.Settings.Drivers.Cache, err
	}
	cache, err := load("", "1000")
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 { return cache.(*memory.Cache).MaxSize() }
	for _, step := range []struct {
		global, bytes string
		want          int64
	}{{"", "2000", 2000}, {"failing start", "3000", 2000}, {"failing provision", "3000", 2000}, {"", "500", 500}} {
		again, err := load(step.global, step.bytes)
		if (err != nil) != (step.global != "") {
			t.Error(err)
		}
		if again != cache {
			t.Error("the cache was opened again")
		}
		if size() != step.want {
			t.Errorf("%v: %d bytes, want %d", step, size(), step.want)
		}
	}
}
