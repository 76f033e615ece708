package sql

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// Validate checks the bounds.
func (m *CacheModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_entries": int64(m.MaxEntries), "max_bytes": m.MaxBytes})
}

// Driver is the driver's word in the configuration.
func (*CacheModule) Driver() string { return string(SQLite) }

// Key identifies the file.
func (m *CacheModule) Key() string { return m.path }

func (m *CacheModule) options() CacheOptions {
	return CacheOptions{MaxEntries: m.MaxEntries, MaxBytes: m.MaxBytes}
}

// Tune takes the bounds of a newer configuration.
func (c *Cache) Tune(spec any) error {
	m, ok := spec.(*CacheModule)
	if !ok {
		return fmt.Errorf("%T does not tune a cache in SQLite", spec)
	}
	c.SetOptions(m.options())
	return nil
}
