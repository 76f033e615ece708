package scylladb

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/storage"
)

// eventually waits until a call succeeds.
func eventually(t *testing.T, what string, call func(ctx context.Context) error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := call(ctx)
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// asked are the nodes that were asked since last time.
func asked(s *cqltest.Server) map[int]int {
	nodes := map[int]int{}
	for _, r := range s.Asked() {
		nodes[r.Node]++
	}
	return nodes
}

// Nodes that are not written are found. One that ends is left, and one that comes
// back is used again.
func TestNodesThatComeAndGo(t *testing.T) {
	s, o := server(t, cqltest.Options{DataCenters: []string{"a", "a", "a"}})
	m := open(t, o)
	put(t, m, app("a", "k"))
	look := func(ctx context.Context) error { _, err := m.AppByKey(ctx, "k"); return err }
	eventually(t, "all nodes", func(ctx context.Context) error {
		s.Asked()
		for range 9 {
			if err := look(ctx); err != nil {
				return err
			}
		}
		if len(asked(s)) < 3 {
			return errors.New("not all nodes are asked")
		}
		return nil
	})
	for _, stopped := range []int{0, 1} { // the first one is that which is written
		s.Node(stopped).Stop()
		for range 50 {
			if err := look(t.Context()); err != nil {
				t.Fatalf("while node %d is down: %v", stopped, err)
			}
		}
		if err := s.Node(stopped).Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the node that is back", func(ctx context.Context) error {
			s.Asked()
			if err := look(ctx); err != nil {
				return err
			}
			if asked(s)[stopped] == 0 {
				return errors.New("it is not asked")
			}
			return nil
		})
	}

	// All are gone, and come back with nothing prepared.
	for i := range 3 {
		s.Node(i).Stop()
	}
	err := look(t.Context())
	if err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), o.place()) {
		t.Errorf("without any node: %v", err)
	}
	eventually(t, "a reason", func(ctx context.Context) error {
		if err := look(ctx); err == nil || !strings.Contains(err.Error(), "connection refused") {
			return errors.Join(errors.New("the error gives no reason"), err)
		}
		return nil
	})
	s.Forget()
	for i := range 3 {
		if err := s.Node(i).Start(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "an answer after the outage", look)
	eventually(t, "a change after the outage", func(ctx context.Context) error { return m.PutApp(ctx, app("b", "k2"), storage.AnyVersion) })
}

// A node answers with errors, or breaks its connections. Lookups ask another one.
func TestNodeThatFails(t *testing.T) {
	s, o := server(t, cqltest.Options{DataCenters: []string{"a", "a"}})
	m := open(t, o)
	put(t, m, app("a", "k"))
	for _, fault := range []error{cqltest.Overloaded(), cqltest.ErrDrop} {
		failed := make(chan struct{}, 1000)
		s.Let(func(r cqltest.Request, _ func() error) error {
			if r.Node == 1 {
				failed <- struct{}{}
				return fault
			}
			return nil
		})
		for end := time.Now().Add(patience); len(failed) < 3 && time.Now().Before(end); {
			_, byID := m.AppByID(t.Context(), "a")
			_, byKey := m.AppByKey(t.Context(), "k")
			_, list := m.Apps(t.Context())
			if err := errors.Join(byID, byKey, list, m.Check(t.Context())); err != nil {
				t.Fatal(err)
			}
		}
		if len(failed) < 3 {
			t.Errorf("the node was asked %d times", len(failed))
		}
	}
}

// Nodes of other data centres are not asked, also not by their better knowledge.
func TestOtherDataCentresAreNotAsked(t *testing.T) {
	s, o := server(t, cqltest.Options{DataCenters: []string{"here", "there", "here", "there"}})
	m := open(t, o)
	put(t, m, app("a", "k"))
	eventually(t, "the nodes here", func(ctx context.Context) error {
		for range 9 {
			if _, err := m.AppByKey(ctx, "k"); err != nil {
				return err
			}
		}
		if nodes := asked(s); nodes[0] == 0 || nodes[2] == 0 || len(nodes) != 2 {
			t.Logf("asked were %v", nodes)
			return errors.New("not the nodes here, and no others")
		}
		return nil
	})
}

// A node that says nothing any more is noticed.
func TestSilence(t *testing.T) {
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	d, err := newDialer(Options{Nodes: []string{"a:1"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &connection{Conn: near, dialer: d, limit: patience}
	if err := c.SetReadDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1)
	var timeout net.Error
	if _, err := c.Read(buffer); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("reading with a limit: %v", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = far.Write([]byte("x")) }()
	if n, err := c.Read(buffer); n != 1 || err != nil {
		t.Errorf("reading without a limit: %d, %v", n, err)
	}
	c.limit = time.Millisecond
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(buffer); !errors.Is(err, errSilent) || errors.As(err, &timeout) {
		t.Errorf("reading in silence: %v", err)
	}
}

// Calls that are under way end with Close, and so does everything else.
func TestCloseEndsEverything(t *testing.T) {
	s, o := server(t, cqltest.Options{DataCenters: []string{"a", "a"}})
	open(t, o) // whose keyspace is made
	before := runtime.NumGoroutine()
	for range 5 {
		m, err := OpenAppManager(t.Context(), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		held := make(chan struct{})
		met := make(chan struct{}, 100)
		s.Let(func(cqltest.Request, func() error) error {
			met <- struct{}{}
			<-held
			return nil
		})
		done := make(chan error, 2)
		go func() { _, err := m.AppByID(context.Background(), "a"); done <- err }()
		go func() { _, err := m.Apps(context.Background()); done <- err }()
		<-met
		<-met
		start := time.Now()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("closing took %v", took)
		}
		for range 2 {
			if err := <-done; !errors.Is(err, storage.ErrClosed) {
				t.Errorf("a call during Close: %v", err)
			}
		}
		close(held)
		s.Let(nil)
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines have become %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// Opening that is given up leaves nothing behind.
func TestOpeningThatIsGivenUpEnds(t *testing.T) {
	before := runtime.NumGoroutine()
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := OpenAppManager(ctx, Options{Nodes: []string{silent.Addr().String()}}, nil); err == nil {
			t.Error("it opens")
		}
		cancel()
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines have become %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}
