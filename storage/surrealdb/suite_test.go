package surrealdb

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// Checklist: configuration 30, 31, 32
func TestAppManagerSuite(t *testing.T) {
	engine(t)
	storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
		m := open(t, standing(t))
		put(t, m, apps...)
		return m
	})
}

// Checklist: configuration 41
func TestAppManagerOutage(t *testing.T) {
	engine(t)
	storagetest.TestAppOutage(t, hostOf(t, standing(t)), func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager {
		o := standing(t)
		o.URL = "ws://" + proxy.Addr()
		m := open(t, o)
		put(t, m, apps...)
		return m
	})
}

// openHistory opens what the test closes.
func openHistory(t *testing.T, o Options) *History {
	t.Helper()
	h, err := OpenHistory(t.Context(), HistoryOptions{Options: o}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func TestHistorySuite(t *testing.T) {
	engine(t)
	o := standing(t)
	storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
		return openHistory(t, o), openHistory(t, o)
	})
}
