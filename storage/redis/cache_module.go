package redis

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// Validate checks the bound.
func (m *CacheModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_value_size": m.MaxValueSize})
}

// Driver is the driver's word in the configuration.
func (*CacheModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *CacheModule) Key() string { return m.options.key() + "\x00" + m.ofHub("sockudo_cache") }

// Driver is the driver's word in the configuration.
func (*ClusterCacheModule) Driver() string { return "redis_cluster" }

// Tune takes the bound of a newer configuration.
func (c *Cache) Tune(spec any) error {
	switch m := spec.(type) {
	case *CacheModule:
		c.SetMaxValueSize(m.MaxValueSize)
	case *ClusterCacheModule:
		c.SetMaxValueSize(m.MaxValueSize)
	default:
		return fmt.Errorf("%T does not tune a cache in Redis", spec)
	}
	return nil
}
