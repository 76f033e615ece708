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

// historyCalls are all calls of a history.
func historyCalls(h *History) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Append": func(ctx context.Context) error {
			a := &storage.LogAppend{Key: room, Fresh: "id"}
			h.Append(ctx, []*storage.LogAppend{a})
			return a.Err
		},
		"Head": func(ctx context.Context) error { _, err := h.Head(ctx, room); return err },
		"Read": func(ctx context.Context) error {
			_, err := h.Read(ctx, room, "id", storage.LogQuery{Limit: 1})
			return err
		},
		"Latest": func(ctx context.Context) error { _, err := h.Latest(ctx, room, "id", []string{"s"}); return err },
		"Trim":   func(ctx context.Context) error { return h.Trim(ctx, room, "id", 1) },
		"Reset":  func(ctx context.Context) error { return h.Reset(ctx, storage.LogKey{Channel: "other"}, "new") },
		"Mark":   func(ctx context.Context) error { return h.Mark(ctx, room, "other", storage.LogState{Since: 1}) },
		"Due":    func(ctx context.Context) error { _, err := h.Due(ctx, time.Now(), 1); return err },
		"Check":  h.Check,
	}
}

func TestHistoryOutage(t *testing.T) {
	u, err := url.Parse(endpoint())
	if err != nil {
		t.Fatal(err)
	}
	for name, begin := range map[string]func(*outage.Proxy){"cut": (*outage.Proxy).Cut, "stalled": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			proxy, o := outage.NewProxy(t, u.Host), newTable(t)
			o.Endpoint = u.Scheme + "://" + proxy.Addr()
			h := openHistory(t, o)
			defer proxy.Mend()
			add(t, h, row(1))
			for range 2 {
				begin(proxy)
				for call, do := range historyCalls(h) {
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					start := time.Now()
					err := do(ctx)
					cancel()
					switch {
					case err == nil:
						t.Errorf("%s succeeds", call)
					case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrClosed):
						t.Errorf("%s: %v, which claims to know", call, err)
					case !strings.Contains(err.Error(), o.place()) || strings.Contains(err.Error(), "hush"):
						t.Errorf("%s: %q does not name %s, or says a secret", call, err, o.place())
					case time.Since(start) > 5*time.Second:
						t.Errorf("%s took %v", call, time.Since(start))
					}
				}
				proxy.Mend()
				for call, do := range historyCalls(h) {
					if err := do(t.Context()); err != nil {
						t.Errorf("%s after the outage: %v", call, err)
					}
				}
			}
		})
	}
}

func TestHistoryUnreachable(t *testing.T) {
	o := Options{Endpoint: "http://127.0.0.1:1", AccessKeyID: "hush1", SecretAccessKey: "hush2", SessionToken: "hush3"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := OpenHistory(ctx, o)
	if err == nil || !strings.HasPrefix(err.Error(), "dynamodb 127.0.0.1:1/sockudo_history: DescribeTable: ") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
}

// A service that is busy is asked again.
func TestHistoryIsThrottled(t *testing.T) {
	g, through, _ := behindGate(t)
	refused := map[string]bool{}
	g.let(func(operation string, w http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
		if refused[operation] || operation == "DescribeTable" {
			return false
		}
		refused[operation] = true
		refuse(w, "ProvisionedThroughputExceededException", "slow down")
		return true
	})
	fill(t, through, 3)
	shows(t, through, 1, 3)
	for call, do := range historyCalls(through) {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s: %v", call, err)
		}
	}
	if len(refused) < 5 {
		t.Errorf("only %v were refused", refused)
	}
}

func TestHistoryCloseEndsCallsUnderWay(t *testing.T) {
	g, h, _ := behindGate(t)
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
	ended := make(chan error)
	calls := historyCalls(h)
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
	if err := h.Close(); err != nil {
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
