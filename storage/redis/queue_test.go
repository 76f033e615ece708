package redis

import (
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func openQueue(t *testing.T, o Options, options QueueOptions) *Queue {
	t.Helper()
	q, err := OpenQueue(t.Context(), o, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return q
}

// Checklist: configuration 81, 82, 83
func TestQueueSuite(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestQueue(t, func(t *testing.T) storage.Queue {
			return openQueue(t, o, QueueOptions{
				Prefix: ownPrefix(t, o), Hub: "hub ключ/", MaxBytes: 1 << 20, Retry: storage.Retry{Base: 20 * time.Millisecond},
			})
		})
	})
}

func TestHandoverLosesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, o Options) {
		storagetest.TestQueueHandover(t, func(t *testing.T) storage.Queue {
			return openQueue(t, o, QueueOptions{Prefix: ownPrefix(t, o), Retry: storage.Retry{Base: 20 * time.Millisecond}})
		})
	})
}
