package redis

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	redis.SetLogger(clientLogger{})
	caddy.RegisterModule(new(AppManagerModule))
	caddy.RegisterModule(new(ClusterAppManagerModule))
	caddy.RegisterModule(new(AdapterModule))
	caddy.RegisterModule(new(ClusterAdapterModule))
	caddy.RegisterModule(new(CacheModule))
	caddy.RegisterModule(new(ClusterCacheModule))
	caddy.RegisterModule(new(QueueModule))
	caddy.RegisterModule(new(ClusterQueueModule))
	caddy.RegisterModule(new(RateLimiterModule))
	caddy.RegisterModule(new(ClusterRateLimiterModule))
	caddy.RegisterModule(new(HistoryModule))
	caddy.RegisterModule(new(ClusterHistoryModule))
	caddy.RegisterModule(new(PushStoreModule))
	caddy.RegisterModule(new(ClusterPushStoreModule))
}

// clientLogger takes what the client library has to say, which is about
// connections that fail, and comes back to the callers as errors too.
type clientLogger struct{}

// Printf writes a line into Caddy's log.
func (clientLogger) Printf(_ context.Context, format string, v ...any) {
	caddy.Log().Named("redis").Sugar().Debugf(format, v...)
}

// readBlock reads the name of a driver and its block: the words of its connection,
// and further ones.
func readBlock(d *caddyfile.Dispenser, k *Keys, further words.Set) error {
	return readBlockWith(d, k, further, func(string) (bool, error) { return false, nil })
}

// readBlockWith is readBlock for drivers with blocks of their own.
func readBlockWith(d *caddyfile.Dispenser, k *Keys, further words.Set, blocks func(word string) (bool, error)) error {
	c := &k.Connection
	set := c.words()
	set["prefix"] = words.Text(&k.Prefix)
	maps.Copy(set, further)
	return words.ReadWith(d, set, func(word string) (bool, error) {
		switch word {
		case "tls":
			return true, words.ReadTLS(d, &c.TLS)
		case "sentinel":
			c.Sentinel = new(Sentinel)
			return true, words.Within(d, c.Sentinel.words(), words.OrTLS(d, &c.Sentinel.TLS))
		}
		return blocks(word)
	})
}

// AppManagerModule keeps apps in Redis.
type AppManagerModule struct{ Keys }

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.redis", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		url URL                  # redis://USER:PASSWORD@HOST:6379/0 or rediss://…, or:
//		address HOST:PORT        # 127.0.0.1:6379, or:
//		host NAME                # 127.0.0.1
//		port N                   # 6379
//		username NAME
//		password TEXT
//		db N                     # 0
//		prefix TEXT              # sockudo:
//		connection_pool_size N   # 32
//		tls {                    # plain text without it
//			ca FILE              # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//		sentinel {               # instead of an address
//			master NAME          # mymaster
//			addresses HOST:PORT...
//			username NAME
//			password TEXT
//			tls { ... }
//		}
//		nodes HOST:PORT...       # of a cluster, instead of an address
//	}
func (m *AppManagerModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Keys, nil)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AppManagerModule) Provision(caddy.Context) error { return m.provision(false) }

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *AppManagerModule) Key() string { return m.options.key() + "\x00" + m.prefix }

// Open connects to the server.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, m.prefix, caddy.Log().Named("sockudo"))
}

// ClusterAppManagerModule keeps apps in a cluster of Redis.
type ClusterAppManagerModule struct{ AppManagerModule }

// CaddyModule returns the Caddy module information.
func (*ClusterAppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.redis_cluster", New: func() caddy.Module { return new(ClusterAppManagerModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterAppManagerModule) Provision(caddy.Context) error { return m.provision(true) }

// Driver is the driver's word in the configuration.
func (*ClusterAppManagerModule) Driver() string { return "redis_cluster" }

// AdapterModule carries events between nodes by way of Redis. Each hub has two
// connections of its own, and takes no others from connection_pool_size.
type AdapterModule struct {
	Keys

	// RequestTimeout bounds the wait for an answer of the server; one that gives none is
	// left. A change counts from the reload on. Default: 5s.
	RequestTimeout caddy.Duration `json:"request_timeout,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*AdapterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.adapters.redis", New: func() caddy.Module { return new(AdapterModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...                      # the words of every driver redis but connection_pool_size
//		prefix TEXT              # sockudo_adapter:
//		request_timeout DURATION # 5s
//	}
func (m *AdapterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d, nil) }

func (m *AdapterModule) read(d *caddyfile.Dispenser, further words.Set) error {
	set := words.Set{"request_timeout": words.Duration(&m.RequestTimeout), "connection_pool_size": func([]string) error {
		return errors.New("connection_pool_size is not for an adapter, which has two connections")
	}}
	maps.Copy(set, further)
	return readBlock(d, &m.Keys, set)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AdapterModule) Provision(caddy.Context) error { return m.provision(false) }

// Open connects to the server.
func (m *AdapterModule) Open(ctx context.Context) (storage.Adapter, error) {
	return OpenAdapter(ctx, m.options, m.adapterOptions(false), caddy.Log().Named("sockudo"))
}

// ClusterAdapterModule carries events between nodes by way of a cluster of Redis.
type ClusterAdapterModule struct {
	AdapterModule

	// UseShardedPubsub keeps each channel to the master that its slot belongs to, in
	// place of sending everything to all nodes of the cluster. All nodes of Sockudo must
	// agree. It needs Redis 7. Default: off.
	UseShardedPubsub bool `json:"use_sharded_pubsub,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*ClusterAdapterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.adapters.redis_cluster", New: func() caddy.Module { return new(ClusterAdapterModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis_cluster {
//		...                       # the words of the adapter redis
//		use_sharded_pubsub on|off # off
//	}
func (m *ClusterAdapterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, words.Set{"use_sharded_pubsub": words.Switch(&m.UseShardedPubsub)})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterAdapterModule) Provision(caddy.Context) error { return m.provision(true) }

// Open connects to the cluster.
func (m *ClusterAdapterModule) Open(ctx context.Context) (storage.Adapter, error) {
	return OpenAdapter(ctx, m.options, m.adapterOptions(m.UseShardedPubsub), caddy.Log().Named("sockudo"))
}

// CacheModule keeps values in Redis, so that all nodes see them.
type CacheModule struct {
	Keys

	// MaxValueSize is the size of the largest value, in bytes. How much there is in all
	// is for the server to bound, by its maxmemory. Default: 16777216, which is 16MiB.
	MaxValueSize int64 `json:"max_value_size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*CacheModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.caches.redis", New: func() caddy.Module { return new(CacheModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...                 # the words of every driver redis
//		prefix TEXT         # sockudo_cache
//		max_value_size SIZE # 16MiB
//	}
func (m *CacheModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Keys, words.Set{"max_value_size": words.Size(&m.MaxValueSize)})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *CacheModule) Provision(caddy.Context) error { return m.provision(false) }

// Open connects to the server.
func (m *CacheModule) Open(ctx context.Context) (storage.Cache, error) {
	return OpenCache(ctx, m.options, CacheOptions{m.ofHub("sockudo_cache"), m.MaxValueSize}, caddy.Log().Named("sockudo"))
}

// ClusterCacheModule keeps values in a cluster of Redis.
type ClusterCacheModule struct{ CacheModule }

// CaddyModule returns the Caddy module information.
func (*ClusterCacheModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.caches.redis_cluster", New: func() caddy.Module { return new(ClusterCacheModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterCacheModule) Provision(caddy.Context) error { return m.provision(true) }

// QueueModule keeps jobs in Redis, where all nodes of the hub push and run them. A
// changed bound or delay counts from the reload on.
type QueueModule struct {
	Keys

	// Concurrency bounds the jobs of each queue that this node runs at once, whatever the
	// user of the queue asks for. Default: 0, which is no bound of its own.
	Concurrency int `json:"concurrency,omitempty"`

	// ResponseTimeout bounds each call of the server. Default: 5s, of which a single
	// answer may take 3s.
	ResponseTimeout caddy.Duration `json:"response_timeout,omitempty"`

	// MaxBytes is the size of all payloads, in bytes; above it jobs are refused.
	// Default: 1073741824, which is 1GiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	// Reliability says how jobs that fail are tried again.
	Reliability *QueueReliability `json:"reliability,omitempty"`
}

// QueueReliability says how jobs that fail are tried again.
type QueueReliability struct {
	words.Reliability

	// Capacity is the number of jobs in all states; above it jobs are refused.
	// Default: 1000000.
	Capacity int `json:"capacity,omitempty"`

	// Lease is how long a job belongs to the node that runs it without word from that
	// node; then another runs it. Default: 30s.
	Lease caddy.Duration `json:"lease,omitempty"`

	// LeaseRenew is the time between two words from a node; it is shorter than the
	// lease. Default: a third of it.
	LeaseRenew caddy.Duration `json:"lease_renew,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*QueueModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.redis", New: func() caddy.Module { return new(QueueModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...                            # the words of every driver redis
//		prefix TEXT                    # sockudo_queue:
//		concurrency N                  # no bound of its own
//		response_timeout DURATION      # 5s
//		max_bytes SIZE                 # 1GiB
//		reliability {
//			max_attempts N             # 5
//			retry_base DURATION        # 1s
//			retry_max DURATION         # 60s
//			retry_jitter SHARE         # 0.2
//			deduplication_ttl DURATION # 5m
//			failed_retention N         # 10000
//			capacity N                 # 1000000
//			lease DURATION             # 30s
//			lease_renew DURATION       # 10s
//		}
//	}
func (m *QueueModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlockWith(d, &m.Keys, words.Set{
		"concurrency": words.Number(&m.Concurrency), "response_timeout": words.Duration(&m.ResponseTimeout), "max_bytes": words.Size(&m.MaxBytes),
	}, func(word string) (bool, error) {
		if word != "reliability" {
			return false, nil
		}
		if d.NextArg() {
			return true, d.ArgErr()
		}
		r := new(QueueReliability)
		m.Reliability = r
		set := r.Words()
		set["capacity"], set["lease"], set["lease_renew"] = words.Number(&r.Capacity), words.Duration(&r.Lease), words.Duration(&r.LeaseRenew)
		return true, words.Block(d, set, nil)
	})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *QueueModule) Provision(caddy.Context) error { return m.provisionQueue(false) }

// Driver is the driver's word in the configuration.
func (*QueueModule) Driver() string { return "redis" }

// Open connects to the server.
func (m *QueueModule) Open(ctx context.Context) (storage.Queue, error) {
	return OpenQueue(ctx, m.options, m.queueOptions(), caddy.Log().Named("sockudo"))
}

// ClusterQueueModule keeps jobs in a cluster of Redis, those of one hub on one node.
type ClusterQueueModule struct{ QueueModule }

// CaddyModule returns the Caddy module information.
func (*ClusterQueueModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.redis_cluster", New: func() caddy.Module { return new(ClusterQueueModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterQueueModule) Provision(caddy.Context) error { return m.provisionQueue(true) }

// Driver is the driver's word in the configuration.
func (*ClusterQueueModule) Driver() string { return "redis_cluster" }

// RateLimiterModule counts in Redis, for all nodes together. Its windows slide.
type RateLimiterModule struct {
	Keys

	// Lease is how long the sockets of a node are counted that has been killed; a node
	// that lives renews them. It is at least 1s. Default: 30s.
	Lease caddy.Duration `json:"lease,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*RateLimiterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.rate_limiters.redis", New: func() caddy.Module { return new(RateLimiterModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...            # the words of every driver redis
//		prefix TEXT    # sockudo_rl
//		lease DURATION # 30s
//	}
func (m *RateLimiterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Keys, words.Set{"lease": words.Duration(&m.Lease)})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *RateLimiterModule) Provision(caddy.Context) error { return m.provision(false) }

// Open connects to the server.
func (m *RateLimiterModule) Open(ctx context.Context) (storage.RateLimiter, error) {
	return OpenRateLimiter(ctx, m.options, RateLimiterOptions{m.ofHub("sockudo_rl"), time.Duration(m.Lease)}, caddy.Log().Named("sockudo"))
}

// ClusterRateLimiterModule counts in a cluster of Redis.
type ClusterRateLimiterModule struct{ RateLimiterModule }

// CaddyModule returns the Caddy module information.
func (*ClusterRateLimiterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.rate_limiters.redis_cluster", New: func() caddy.Module { return new(ClusterRateLimiterModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterRateLimiterModule) Provision(caddy.Context) error { return m.provision(true) }

// HistoryModule keeps logs in Redis, where all nodes of the hub add to them. It is as
// durable as the server: one with appendonly yes and appendfsync always keeps them over
// a restart. A failover degrades them, and then they take nothing until they are reset.
type HistoryModule struct{ Keys }

// CaddyModule returns the Caddy module information.
func (*HistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.redis", New: func() caddy.Module { return new(HistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		...         # the words of every driver redis
//		prefix TEXT # sockudo_history
//	}
func (m *HistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Keys, nil)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *HistoryModule) Provision(caddy.Context) error { return m.provision(false) }

// Open connects to the server.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options, m.historyOptions(), caddy.Log().Named("sockudo"))
}

// ClusterHistoryModule keeps logs in a cluster of Redis, each on one node.
type ClusterHistoryModule struct{ HistoryModule }

// CaddyModule returns the Caddy module information.
func (*ClusterHistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.redis_cluster", New: func() caddy.Module { return new(ClusterHistoryModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterHistoryModule) Provision(caddy.Context) error { return m.provision(true) }

var (
	_ storage.Spec[storage.AppManager]  = (*AppManagerModule)(nil)
	_ storage.Spec[storage.AppManager]  = (*ClusterAppManagerModule)(nil)
	_ storage.Spec[storage.Adapter]     = (*AdapterModule)(nil)
	_ storage.Spec[storage.Adapter]     = (*ClusterAdapterModule)(nil)
	_ storage.Spec[storage.Cache]       = (*CacheModule)(nil)
	_ storage.Spec[storage.Cache]       = (*ClusterCacheModule)(nil)
	_ storage.Spec[storage.Queue]       = (*QueueModule)(nil)
	_ storage.Spec[storage.Queue]       = (*ClusterQueueModule)(nil)
	_ storage.Spec[storage.RateLimiter] = (*RateLimiterModule)(nil)
	_ storage.Spec[storage.RateLimiter] = (*ClusterRateLimiterModule)(nil)
	_ storage.Spec[storage.History]     = (*HistoryModule)(nil)
	_ storage.Spec[storage.History]     = (*ClusterHistoryModule)(nil)

	_, _, _, _ storage.Tuner = (*Adapter)(nil), (*Cache)(nil), (*Queue)(nil), (*RateLimiter)(nil)
)
