package memory

import (
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func TestAppManagerSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestAppManager(t, func(t *testing.T, apps []*storage.App) storage.AppManager {
		m, err := NewAppManager(apps)
		if err != nil {
			t.Fatal(err)
		}
		return m
	})
}

func TestLocalSuite(t *testing.T) {
	storagetest.Engine(t, "local")
	storagetest.TestAdapter(t, func(*testing.T) storage.Adapter { return NewLocal() })
}

func TestCacheSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestCache(t, func(*testing.T) storage.Cache { return NewCache(CacheOptions{MaxBytes: 1 << 20}) })
}

func TestStreamsSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestStreams(t, func(*testing.T) (here, there storage.Cache) {
		c := NewCache(CacheOptions{MaxBytes: 1 << 20})
		return c, c
	})
}

func TestRateLimiterSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestRateLimiter(t, storagetest.FixedWindows, func(*testing.T) storage.RateLimiter { return NewRateLimiter(RateLimiterOptions{}) })
}

// Checklist: configuration 81, 82, 83, 85
func TestQueueSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestQueue(t, func(*testing.T) storage.Queue {
		return NewQueue(QueueOptions{MaxBytes: 1 << 20, RetryBase: 20 * time.Millisecond})
	})
}

func TestHandoverLosesNothing(t *testing.T) {
	storagetest.TestQueueHandover(t, func(*testing.T) storage.Queue { return NewQueue(QueueOptions{RetryBase: 20 * time.Millisecond}) })
}

func TestHistorySuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestHistory(t, func(*testing.T) (here, there storage.History) {
		h := NewHistory(0)
		return h, h
	})
}

func TestPushStoreSuite(t *testing.T) {
	storagetest.Engine(t, "memory")
	storagetest.TestPushStore(t, func(*testing.T) (here, there storage.PushStore) {
		s := NewPushStore(0)
		return s, s
	})
}
