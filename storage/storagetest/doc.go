// Package storagetest holds one suite per contract of package storage. A driver
// is done when its suite passes:
//
//	func TestCache(t *testing.T) {
//		storagetest.TestCache(t, func(t *testing.T) storage.Cache { return open(t) })
//	}
//
// open is called once per subtest and from several at once. It may open the same
// backend each time: every subtest uses names of its own. The suite closes what
// was opened. Subtests allow for the latency of a network and never rely on
// running in the process of the store.
//
// Beyond the words of the contracts, the suites ask of every driver:
//
//   - a call with an ended context fails with the error of the context and changes
//     nothing, except that giving something back may succeed;
//   - a call after Close is ErrClosed, and closing again is no error;
//   - what a caller does to a slice after handing it over or getting it does not
//     reach what is stored.
package storagetest

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// patience bounds the wait for what must happen.
	patience = 30 * time.Second
	// grace is the wait for what must not happen.
	grace = 100 * time.Millisecond
	// rounding is how much too early a store may end a time to live or a window,
	// because it keeps whole milliseconds by a clock of its own.
	rounding = 30 * time.Millisecond
)

// SizeLimited is a driver that refuses values, payloads or envelopes above a size
// with ErrFull. The suites test the limit of a driver that has this method.
type SizeLimited interface {
	// MaxSize is the limit in bytes.
	MaxSize() int64
}

// weird is part of most names and values: nothing in it may be special.
const weird = "ключ 🔑 {a}:*?[b]%_'\"\\;--\n\t$1"

// Engine names the driver that a test runs, and what really answers it, such as
// "postgres: PostgreSQL 15.19". The command internal/house/matrix shows it.
func Engine(t *testing.T, name string) {
	t.Helper()
	t.Attr("engine", strings.Join(strings.Fields(name), " "))
}

// unique is a name no other test uses.
func unique() string { return strings.ToLower(rand.Text()[:12]) + weird }

type subtest[T any] struct {
	name string
	run  func(t *testing.T, driver T)
}

func runAll[T io.Closer](t *testing.T, open func(t *testing.T) T, subtests []subtest[T]) {
	for _, s := range subtests {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			driver := open(t)
			t.Cleanup(func() {
				if err := driver.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			s.run(t, driver)
		})
	}
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: no %s", patience, what)
		}
	}
}

// atOnce runs n calls at the same time and waits for them.
func atOnce(n int, do func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			do(i)
		})
	}
	close(start)
	group.Wait()
}

// ended is a context that has been cancelled.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// bounded is a context for what must end by itself.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// call is a call whose error matters.
type call struct {
	name string
	do   func(ctx context.Context) error
}

// testEnded checks that calls notice an ended context.
func testEnded(t *testing.T, calls []call) {
	t.Helper()
	for _, c := range calls {
		wantErr(t, c.name+" with an ended context", c.do(ended()), context.Canceled)
	}
}

// testClosed closes a driver and checks that calls notice.
func testClosed(t *testing.T, driver io.Closer, calls []call) {
	t.Helper()
	must(t, driver.Close())
	for _, c := range calls {
		wantErr(t, c.name+" after Close", c.do(bounded(t)), storage.ErrClosed)
	}
	if err := driver.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}
