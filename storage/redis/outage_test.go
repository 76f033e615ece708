package redis

import (
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/outage"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/storagetest"
)

func TestAppOutageSuite(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	storagetest.Engine(t, engineOf(t, "single", Options{Addresses: []string{server.Addr()}}))
	storagetest.TestAppOutage(t, server.Addr(), func(t *testing.T, proxy *outage.Proxy, apps []*storage.App) storage.AppManager {
		return openApps(t, Options{Addresses: []string{proxy.Addr()}}, ownPrefix(t, Options{Addresses: []string{server.Addr()}}), apps...)
	})
}
