package redis

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

// Checklist: configuration 30, 31
func TestAppManagerSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestAppEditor(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
			return openApps(t, o, ownPrefix(t, o), apps...)
		})
	})
}

func TestRateLimiterSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestRateLimiter(t, storagetest.SlidingWindows, func(t *testing.T) storage.RateLimiter {
			return openLimiter(t, o, ownPrefix(t, o), 0)
		})
	})
}

func TestHistorySuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestHistory(t, func(t *testing.T) (here, there storage.History) {
			prefix := ownPrefix(t, o)
			return openHistory(t, o, prefix), openHistory(t, o, prefix)
		})
	})
}
