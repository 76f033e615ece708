package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// tokenClock is moved by the test.
type tokenClock struct{ at atomic.Int64 }

func newTokenClock() *tokenClock {
	c := new(tokenClock)
	c.at.Store(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC).Unix())
	return c
}

func (c *tokenClock) now() time.Time          { return time.Unix(c.at.Load(), 0) }
func (c *tokenClock) forward(d time.Duration) { c.at.Add(int64(d / time.Second)) }

// tokenDesk gives numbered tokens with a life of an hour, or an error.
type tokenDesk struct {
	*tokenClock
	mu    sync.Mutex
	calls int
	life  time.Duration
	err   error
	hold  chan struct{} // unless it is nil, fetches wait for it
}

func newTokenDesk() *tokenDesk { return &tokenDesk{tokenClock: newTokenClock(), life: time.Hour} }

func (d *tokenDesk) fetch(ctx context.Context) (Token, error) {
	d.mu.Lock()
	d.calls++
	n, err, hold := d.calls, d.err, d.hold
	d.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return Token{}, ctx.Err()
		}
	}
	if err != nil {
		return Token{}, err
	}
	return Token{Value: fmt.Sprint("t", n), Expires: d.now().Add(d.life)}, nil
}

func (d *tokenDesk) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *tokenDesk) cache() *TokenCache { return NewTokenCache(&ConnectOptions{Now: d.now}, d.fetch) }

func wantToken(t *testing.T, c *TokenCache, want string) {
	t.Helper()
	if got, err := c.Get(t.Context()); err != nil || got != want {
		t.Fatalf("the token is %q, %v; want %q", got, err, want)
	}
}

func TestTokenIsRenewedEarly(t *testing.T) {
	d := newTokenDesk()
	c := d.cache()
	wantToken(t, c, "t1")
	d.forward(54 * time.Minute)
	wantToken(t, c, "t1")
	d.forward(time.Minute)
	wantToken(t, c, "t2")
	d.life = time.Minute // shorter than five: half of it
	d.forward(time.Hour)
	wantToken(t, c, "t3")
	d.forward(29 * time.Second)
	wantToken(t, c, "t3")
	d.forward(time.Second)
	wantToken(t, c, "t4")
}

func TestTokenIsFetchedOnceForAll(t *testing.T) {
	d := newTokenDesk()
	d.hold = make(chan struct{})
	c := d.cache()
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if got, err := c.Get(t.Context()); err != nil || got != "t1" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("the one who has gone gets %v", err)
	}
	close(d.hold)
	all.Wait()
	if d.calls != 1 {
		t.Errorf("%d fetches", d.calls)
	}
}

// The first one who asks may go without the others losing the token.
func TestTokenOutlivesItsAsker(t *testing.T) {
	d := newTokenDesk()
	d.hold = make(chan struct{})
	c := d.cache()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	close(d.hold)
	wantToken(t, c, "t1")
}

func TestTokenFetchEnds(t *testing.T) {
	d := newTokenDesk()
	d.hold = make(chan struct{}) // never closed
	c := NewTokenCache(&ConnectOptions{Now: d.now, Timeout: time.Millisecond}, d.fetch)
	if _, err := c.Get(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestTokenInvalidate(t *testing.T) {
	d := newTokenDesk()
	c := d.cache()
	wantToken(t, c, "t1")
	if !c.Invalidate("t1") {
		t.Error("there can be no other")
	}
	wantToken(t, c, "t2")
	if !c.Invalidate("t1") { // somebody who has been late
		t.Error("there is no other")
	}
	wantToken(t, c, "t2")
	fixed := StaticToken("s")
	wantToken(t, fixed, "s")
	if fixed.Invalidate("s") {
		t.Error("a fixed token can be replaced")
	}
	wantToken(t, fixed, "s")
}

func TestTokenFailures(t *testing.T) {
	d := newTokenDesk()
	c := d.cache()
	want := &TokenError{Class: CredentialAuth, Reason: "r", RetryAfter: time.Hour}
	d.fail(want)
	for range 3 { // the endpoint has asked for a pause
		if _, err := c.Get(t.Context()); !errors.Is(err, want) {
			t.Fatalf("%v", err)
		}
	}
	if d.calls != 1 {
		t.Errorf("%d fetches", d.calls)
	}
	d.fail(nil)
	d.forward(time.Minute) // that is long enough
	wantToken(t, c, "t2")
	d.fail(errors.New("outage"))
	d.forward(56 * time.Minute)
	wantToken(t, c, "t2") // it still works
	wantToken(t, c, "t2")
	if d.calls != 3 {
		t.Errorf("%d fetches", d.calls)
	}
	d.forward(5 * time.Minute)
	if got, err := c.Get(t.Context()); err == nil {
		t.Errorf("an old token %q", got)
	}
	d.fail(nil)
	d.forward(time.Second)
	wantToken(t, c, "t5")
}

func TestNoToken(t *testing.T) {
	refused := &TokenError{Class: CredentialAuth, Reason: "r", RetryAfter: time.Second}
	if r := NoToken(t.Context(), refused); r != (Result{Outcome: Retryable, Class: CredentialAuth, Reason: "r", RetryAfter: time.Second}) {
		t.Errorf("%+v", r)
	}
	if r := NoToken(t.Context(), context.DeadlineExceeded); r.Outcome != Retryable || r.Class != NetworkTransport {
		t.Errorf("%+v", r)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if r := NoToken(gone, gone.Err()); r.Outcome != Cancelled {
		t.Errorf("%+v", r)
	}
}
