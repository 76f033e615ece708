package redis

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/storage"
)

// PushStoreModule keeps the records of push notifications in Redis, where all nodes of the
// hub find them: devices, subscriptions and publishes. They are as durable as the server:
// one with appendonly yes keeps them over a restart, and with appendfsync always all that
// it has accepted. A failover may lose the newest changes.
type PushStoreModule struct{ Keys }

// CaddyModule returns the Caddy module information.
func (*PushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.redis", New: func() caddy.Module { return new(PushStoreModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...         # the words of every driver redis
//		prefix TEXT # sockudo_push
//	}
func (m *PushStoreModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Keys, nil)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *PushStoreModule) Provision(caddy.Context) error { return m.provision(false) }

// Open connects to the server.
func (m *PushStoreModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, m.options, m.pushOptions(), caddy.Log().Named("sockudo"))
}

// ClusterPushStoreModule keeps the records of push notifications in a cluster of Redis,
// those of one app on one node.
type ClusterPushStoreModule struct{ PushStoreModule }

// CaddyModule returns the Caddy module information.
func (*ClusterPushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.redis_cluster", New: func() caddy.Module { return new(ClusterPushStoreModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterPushStoreModule) Provision(caddy.Context) error { return m.provision(true) }

var (
	_ storage.Spec[storage.PushStore] = (*PushStoreModule)(nil)
	_ storage.Spec[storage.PushStore] = (*ClusterPushStoreModule)(nil)
)
