package memory

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	caddy.RegisterModule(new(AppManagerModule))
	caddy.RegisterModule(new(AdapterModule))
	caddy.RegisterModule(new(CacheModule))
	caddy.RegisterModule(new(QueueModule))
	caddy.RegisterModule(new(RateLimiterModule))
	caddy.RegisterModule(new(HistoryModule))
	caddy.RegisterModule(new(PushStoreModule))
}

// inHub is the name of the hub that a resource in memory belongs to. It is the
// resource's key: a reload keeps it, and two hubs never share one.
type inHub string

// ForHub names the hub.
func (h *inHub) ForHub(name string) { *h = inHub(name) }

// Key identifies the resource.
func (h *inHub) Key() string { return string(*h) }

// AppManagerModule holds the apps that are written in the configuration.
type AppManagerModule struct {
	inHub
	apps        []*storage.App
	fingerprint string
}

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.memory", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads "memory".
func (m *AppManagerModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, nil)
}

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "memory" }

// WithApps takes the apps of the configuration.
func (m *AppManagerModule) WithApps(apps []*storage.App) error {
	m.apps = apps
	sum := sha256.New()
	for _, app := range apps {
		// A namespace has a function in it, and so no JSON. The field below hides it.
		type namespace struct {
			*storage.Namespace
			Match any `json:",omitempty"`
		}
		flat := struct {
			*storage.App
			Namespaces []namespace
		}{App: app}
		for _, name := range slices.Sorted(maps.Keys(app.Namespaces)) {
			flat.Namespaces = append(flat.Namespaces, namespace{Namespace: app.Namespaces[name]})
		}
		if err := json.NewEncoder(sum).Encode(flat); err != nil {
			return err
		}
	}
	m.fingerprint = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// Key identifies the list of apps: another list is another app manager, which
// becomes current with its configuration and not before.
func (m *AppManagerModule) Key() string { return string(m.inHub) + "\x00" + m.fingerprint }

// Open makes an app manager of the apps.
func (m *AppManagerModule) Open(context.Context) (storage.AppManager, error) {
	return NewAppManager(m.apps)
}

// AdapterModule carries events within this process. It is for a node that is
// alone: an event reaches only the clients of the node that it was published to.
type AdapterModule struct{ inHub }

// CaddyModule returns the Caddy module information.
func (*AdapterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.adapters.local", New: func() caddy.Module { return new(AdapterModule) }}
}

// UnmarshalCaddyfile reads "local".
func (*AdapterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return words.Read(d, nil) }

// Driver is the driver's word in the configuration.
func (*AdapterModule) Driver() string { return "local" }

// Open makes an adapter.
func (*AdapterModule) Open(context.Context) (storage.Adapter, error) { return NewLocal(), nil }

// CacheModule keeps values in the memory of this process. A changed bound counts
// from the reload on.
type CacheModule struct {
	inHub

	// MaxEntries is the number of values, and of streams of events for clients that come
	// back; above it the least recently used one is dropped. Default: 10000.
	MaxEntries int `json:"max_entries,omitempty"`

	// MaxBytes is the size of all keys, values and streams, in bytes. Default: 67108864,
	// which is 64MiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*CacheModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.caches.memory", New: func() caddy.Module { return new(CacheModule) }}
}

// UnmarshalCaddyfile reads:
//
//	memory {
//		max_entries N  # 10000
//		max_bytes SIZE # 64MiB
//	}
func (m *CacheModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"max_entries": words.Number(&m.MaxEntries), "max_bytes": words.Size(&m.MaxBytes)})
}

// Validate checks the bounds.
func (m *CacheModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_entries": int64(m.MaxEntries), "max_bytes": m.MaxBytes})
}

// Driver is the driver's word in the configuration.
func (*CacheModule) Driver() string { return "memory" }

// Open makes a cache.
func (m *CacheModule) Open(context.Context) (storage.Cache, error) {
	return NewCache(m.cacheOptions()), nil
}

func (m *CacheModule) cacheOptions() CacheOptions {
	return CacheOptions{MaxEntries: m.MaxEntries, MaxBytes: m.MaxBytes}
}

// Tune takes the bounds of a newer configuration.
func (c *Cache) Tune(spec any) error {
	m, ok := spec.(*CacheModule)
	if !ok {
		return fmt.Errorf("%T does not tune a cache in memory", spec)
	}
	c.SetOptions(m.cacheOptions())
	return nil
}

// RateLimiterModule counts in the memory of this process, so that limits hold for
// each node. A changed bound counts from the reload on.
type RateLimiterModule struct {
	inHub

	// MaxKeys is the number of addresses and apps that are counted at a time; above
	// it the window that would end soonest is forgotten. Default: 100000.
	MaxKeys int `json:"max_keys,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*RateLimiterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.rate_limiters.memory", New: func() caddy.Module { return new(RateLimiterModule) }}
}

// UnmarshalCaddyfile reads:
//
//	memory {
//		max_keys N # 100000
//	}
func (m *RateLimiterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"max_keys": words.Number(&m.MaxKeys)})
}

// Validate checks the bounds.
func (m *RateLimiterModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_keys": int64(m.MaxKeys)})
}

// Driver is the driver's word in the configuration.
func (*RateLimiterModule) Driver() string { return "memory" }

// Open makes a rate limiter.
func (m *RateLimiterModule) Open(context.Context) (storage.RateLimiter, error) {
	return NewRateLimiter(RateLimiterOptions{MaxKeys: m.MaxKeys}), nil
}

// Tune takes the bounds of a newer configuration.
func (l *RateLimiter) Tune(spec any) error {
	m, ok := spec.(*RateLimiterModule)
	if !ok {
		return fmt.Errorf("%T does not tune a rate limiter in memory", spec)
	}
	l.SetOptions(RateLimiterOptions{MaxKeys: m.MaxKeys})
	return nil
}

// QueueModule runs jobs in this process. What is queued is lost when the process
// ends; a reload loses nothing. A changed bound or delay counts from the reload on.
type QueueModule struct {
	inHub

	// MaxBytes is the size of all payloads, in bytes; above it jobs are refused.
	// Default: 67108864, which is 64MiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	// Reliability says how jobs that fail are tried again.
	Reliability *QueueReliability `json:"reliability,omitempty"`
}

// QueueReliability says how jobs that fail are tried again.
type QueueReliability struct {
	words.Reliability

	// MemoryCapacity is the number of jobs in all states; above it jobs are
	// refused. Default: 100000.
	MemoryCapacity int `json:"memory_capacity,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*QueueModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.memory", New: func() caddy.Module { return new(QueueModule) }}
}

// UnmarshalCaddyfile reads:
//
//	memory {
//		max_bytes SIZE                # 64MiB
//		reliability {
//			max_attempts N            # 5
//			retry_base DURATION       # 1s
//			retry_max DURATION        # 60s
//			retry_jitter SHARE        # 0.2
//			deduplication_ttl DURATION # 5m
//			failed_retention N        # 10000
//			memory_capacity N         # 100000
//		}
//	}
func (m *QueueModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.ReadWith(d, words.Set{"max_bytes": words.Size(&m.MaxBytes)}, func(word string) (bool, error) {
		if word != "reliability" {
			return false, nil
		}
		if d.NextArg() {
			return true, d.ArgErr()
		}
		m.Reliability = new(QueueReliability)
		return true, words.Block(d, m.Reliability.words(), nil)
	})
}

func (r *QueueReliability) words() words.Set {
	set := r.Words()
	set["memory_capacity"] = words.Number(&r.MemoryCapacity)
	return set
}

// Validate checks the bounds.
func (m *QueueModule) Validate() error {
	r := m.Reliability
	if r == nil {
		r = new(QueueReliability)
	}
	if err := words.NotNegative(map[string]int64{"max_bytes": m.MaxBytes, "memory_capacity": int64(r.MemoryCapacity)}); err != nil {
		return err
	}
	return r.Check()
}

// Driver is the driver's word in the configuration.
func (*QueueModule) Driver() string { return "memory" }

// Open makes a queue.
func (m *QueueModule) Open(context.Context) (storage.Queue, error) {
	return NewQueue(m.queueOptions()), nil
}

func (m *QueueModule) queueOptions() QueueOptions {
	o := QueueOptions{MaxBytes: m.MaxBytes}
	r := m.Reliability
	if r == nil {
		return o
	}
	o.MaxJobs = r.MemoryCapacity
	o.MaxAttempts = words.Or(r.MaxAttempts, 0)
	o.RetryBase, o.RetryMax = time.Duration(r.RetryBase), time.Duration(r.RetryMax)
	o.RetryJitter = words.NoneIfZero(r.RetryJitter)
	o.DeduplicationTTL = time.Duration(words.NoneIfZero(r.DeduplicationTTL))
	o.MaxDeadLetters = words.NoneIfZero(r.FailedRetention)
	return o
}

// Tune takes the bounds and delays of a newer configuration.
func (q *Queue) Tune(spec any) error {
	m, ok := spec.(*QueueModule)
	if !ok {
		return fmt.Errorf("%T does not tune a queue in memory", spec)
	}
	q.SetOptions(m.queueOptions())
	return nil
}

// HistoryModule keeps logs in the memory of this process. They are lost when it ends; a
// reload loses nothing. A changed bound counts from the reload on.
type HistoryModule struct {
	inHub

	// MaxSize is the size of all that is kept, in bytes; above it nothing is taken.
	// Default: 268435456, which is 256MiB.
	MaxSize int64 `json:"max_size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*HistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.memory", New: func() caddy.Module { return new(HistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	memory {
//		max_size SIZE # 256MiB
//	}
func (m *HistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"max_size": words.Size(&m.MaxSize)})
}

// Validate checks the bound.
func (m *HistoryModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_size": m.MaxSize})
}

// Driver is the driver's word in the configuration.
func (*HistoryModule) Driver() string { return "memory" }

// Open makes a history.
func (m *HistoryModule) Open(context.Context) (storage.History, error) {
	return NewHistory(m.MaxSize), nil
}

// Tune takes the bound of a newer configuration. What is kept above it stays.
func (h *History) Tune(spec any) error {
	m, ok := spec.(*HistoryModule)
	if !ok {
		return fmt.Errorf("%T does not tune a history in memory", spec)
	}
	bound := NewHistory(m.MaxSize).max
	h.mu.Lock()
	defer h.mu.Unlock()
	h.max = bound
	return nil
}

// PushStoreModule keeps the records of push notifications in the memory of this process:
// devices, subscriptions and publishes. They are lost when it ends; a reload loses
// nothing. A changed bound counts from the reload on.
type PushStoreModule struct {
	inHub

	// MaxSize is the size of all that is kept, in bytes; above it nothing is taken.
	// Default: 268435456, which is 256MiB.
	MaxSize int64 `json:"max_size,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*PushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.memory", New: func() caddy.Module { return new(PushStoreModule) }}
}

// UnmarshalCaddyfile reads:
//
//	memory {
//		max_size SIZE # 256MiB
//	}
func (m *PushStoreModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"max_size": words.Size(&m.MaxSize)})
}

// Validate checks the bound.
func (m *PushStoreModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_size": m.MaxSize})
}

// Driver is the driver's word in the configuration.
func (*PushStoreModule) Driver() string { return "memory" }

// Open makes a push store.
func (m *PushStoreModule) Open(context.Context) (storage.PushStore, error) {
	return NewPushStore(m.MaxSize), nil
}

// Tune takes the bound of a newer configuration. What is kept above it stays.
func (s *PushStore) Tune(spec any) error {
	m, ok := spec.(*PushStoreModule)
	if !ok {
		return fmt.Errorf("%T does not tune a push store in memory", spec)
	}
	bound := NewPushStore(m.MaxSize).max
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = bound
	return nil
}

var (
	_ storage.Spec[storage.AppManager]  = (*AppManagerModule)(nil)
	_ storage.Spec[storage.Adapter]     = (*AdapterModule)(nil)
	_ storage.Spec[storage.Cache]       = (*CacheModule)(nil)
	_ storage.Spec[storage.Queue]       = (*QueueModule)(nil)
	_ storage.Spec[storage.RateLimiter] = (*RateLimiterModule)(nil)
	_ storage.Spec[storage.History]     = (*HistoryModule)(nil)
	_ storage.Spec[storage.PushStore]   = (*PushStoreModule)(nil)

	_, _, _, _, _ storage.Tuner = (*Cache)(nil), (*Queue)(nil), (*RateLimiter)(nil), (*History)(nil), (*PushStore)(nil)
)
