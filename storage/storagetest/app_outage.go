package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// callerPatience is the time limit of a call during an outage, and overdue is
	// when such a call must have returned at the latest.
	callerPatience = 500 * time.Millisecond
	overdue        = 10 * time.Second
)

// TestAppOutage checks what an app manager makes of an outage between it and its
// server at target, HOST:PORT: in the middle each call fails in time, and never
// with the word that there is no such app; afterwards everything works again
// without opening it anew. open connects to the server by way of the proxy and
// gives a store that holds exactly the given apps.
func TestAppOutage(t *testing.T, target string, open func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager) {
	t.Attr("contract", "app_manager outage")
	for name, begin := range map[string]func(*outage.Proxy){"cut": (*outage.Proxy).Cut, "stalled": (*outage.Proxy).Stall} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, apps := outage.NewProxy(t, target), someApps()
			m, ok := open(t, proxy, apps).(EditableApps)
			if !ok {
				t.Fatal("the app manager is no storage.AppEditor")
			}
			t.Cleanup(func() {
				proxy.Mend()
				if err := m.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			appsFind(t, m, apps)
			for range 2 {
				begin(proxy)
				appsDuring(t, m, apps)
				proxy.Mend()
				appsAfter(t, m, apps)
			}
		})
	}
}

// appsDuring makes calls that cannot be answered.
func appsDuring(t *testing.T, m EditableApps, apps []*storage.App) {
	t.Helper()
	app := apps[3]
	changed := *app
	changed.Limits.MaxConnections = 77
	calls := []call{
		{"AppByID", func(ctx context.Context) error { _, err := m.AppByID(ctx, app.ID); return err }},
		{"AppByKey", func(ctx context.Context) error { _, err := m.AppByKey(ctx, app.Key); return err }},
		{"AppByKey of an unknown key", func(ctx context.Context) error { _, err := m.AppByKey(ctx, unique()); return err }},
		{"Apps", func(ctx context.Context) error { _, err := m.Apps(ctx); return err }},
		{"PutApp", func(ctx context.Context) error { return m.PutApp(ctx, &changed, versionOf(t, app)) }},
		{"DeleteApp", func(ctx context.Context) error { return m.DeleteApp(ctx, unique(), storage.AnyVersion) }},
	}
	if checker, ok := m.(storage.Checker); ok {
		calls = append(calls, call{"Check", checker.Check})
	} else {
		t.Error("the app manager is no storage.Checker")
	}
	for _, c := range calls {
		ctx, cancel := context.WithTimeout(context.Background(), callerPatience)
		start := time.Now()
		err := c.do(ctx)
		cancel()
		switch {
		case err == nil:
			t.Errorf("%s during the outage succeeds", c.name)
		case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict), errors.Is(err, storage.ErrClosed):
			t.Errorf("%s during the outage: %v, which claims to know", c.name, err)
		}
		if took := time.Since(start); took > overdue {
			t.Errorf("%s during the outage took %v, with a limit of %v", c.name, took, callerPatience)
		}
	}
}

// appsAfter makes calls that must be answered soon. The change that was tried in
// the middle may have been made, or not, but not in half.
func appsAfter(t *testing.T, m EditableApps, apps []*storage.App) {
	t.Helper()
	app := apps[3]
	eventually(t, "answer after the outage", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, err := m.AppByID(ctx, app.ID)
		return err == nil
	})
	appsFind(t, m, apps[:3])
	// A change that was on its way may arrive late; ours is the last word.
	eventually(t, "change after the outage", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := m.PutApp(ctx, app, storage.AnyVersion); err != nil {
			return false
		}
		byID, err := m.AppByID(ctx, app.ID)
		if err != nil || byID.Limits.MaxConnections != app.Limits.MaxConnections {
			return false
		}
		byKey, err := m.AppByKey(ctx, app.Key)
		return err == nil && byKey.Limits.MaxConnections == app.Limits.MaxConnections
	})
	if checker, ok := m.(storage.Checker); ok {
		must(t, checker.Check(bounded(t)))
	}
}
