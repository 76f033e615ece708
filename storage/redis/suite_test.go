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
