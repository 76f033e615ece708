package dynamodb

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushCalls are all calls of a push store. None of their conditions can fail.
func pushCalls(s *PushStore) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Get": func(ctx context.Context) error { _, err := s.Get(ctx, device("a")); return err },
		"List": func(ctx context.Context) error {
			_, err := s.List(ctx, storage.PushQuery{App: "app", Table: "devices", Limit: 1})
			return err
		},
		"Apply": func(ctx context.Context) error {
			return s.Apply(ctx, pushOne(device("a")), onlyIf(storage.PushChange{Op: storage.PushCheck, Key: device("none")}, 0))
		},
		"Due":   func(ctx context.Context) error { _, err := s.Due(ctx, "devices", 1, 1); return err },
		"Check": s.Check,
	}
}

func TestPushStoreOutage(t *testing.T) {
	u, err := url.Parse(endpoint())
	if err != nil {
		t.Fatal(err)
	}
	proxy, o := outage.NewProxy(t, u.Host), newTable(t)
	o.Endpoint = u.Scheme + "://" + proxy.Addr()
	s := openPush(t, o)
	defer proxy.Mend()
	for name, begin := range map[string]func(){"cut": proxy.Cut, "stalled": proxy.Stall} {
		begin()
		for call, do := range pushCalls(s) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			start := time.Now()
			err := do(ctx)
			cancel()
			switch {
			case err == nil:
				t.Errorf("%s succeeds while the connection is %s", call, name)
			case errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrTooLarge), errors.Is(err, storage.ErrClosed):
				t.Errorf("%s: %v, which claims to know", call, err)
			case !strings.Contains(err.Error(), o.place()) || strings.Contains(err.Error(), "hush"):
				t.Errorf("%s: %q does not name %s, or says a secret", call, err, o.place())
			case time.Since(start) > 5*time.Second:
				t.Errorf("%s took %v", call, time.Since(start))
			}
		}
		proxy.Mend()
		for call, do := range pushCalls(s) {
			if err := do(t.Context()); err != nil {
				t.Errorf("%s after the outage: %v", call, err)
			}
		}
	}
}

// A service that is busy is asked again.
func TestPushStoreIsThrottled(t *testing.T) {
	g, through, _ := pushBehindGate(t)
	c := pushOne(device("a"))
	c.Due = 1
	apply(t, through, c)
	refused := map[string]bool{}
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if refused[operation] || operation == "DescribeTable" {
			return false
		}
		refused[operation] = true
		refuse(w, "ProvisionedThroughputExceededException", "slow down")
		return true
	})
	for call, do := range pushCalls(through) {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	if len(refused) != 3 {
		t.Errorf("only %v were refused", refused)
	}
}

func TestPushStoreCloseEndsCallsUnderWay(t *testing.T) {
	g, s, _ := pushBehindGate(t)
	arrived, release := make(chan struct{}, 64), make(chan struct{})
	t.Cleanup(func() { close(release) })
	g.let(func(_ string, _ http.ResponseWriter, r *http.Request, _ func() *answer) bool {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	calls := pushCalls(s)
	ended := make(chan error, len(calls))
	for _, call := range calls {
		go func() { ended <- call(t.Context()) }()
	}
	for range calls {
		select {
		case <-arrived:
		case <-time.After(patience):
			t.Fatal("a call does not reach the service")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range calls {
		select {
		case err := <-ended:
			if !errors.Is(err, storage.ErrClosed) {
				t.Errorf("a call ends with %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a call outlives Close")
		}
	}
}
