package sockudo

import "encoding/json"

// AppCacheConfig says how long records of apps from a store count. The driver
// memory has no use for it.
type AppCacheConfig struct {
	// Enabled keeps records; off asks the store at each handshake and HTTP call.
	// Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// TTL is how long a record counts. It is refreshed in the background before, and
	// a change reaches open sockets by then. 0 is for ever, for stores that only this
	// node changes. Default: 300s.
	TTL Duration `json:"ttl,omitempty"`

	// NegativeTTL is how long an unknown key is known to be unknown, so that a flood
	// of such keys does not reach the store. Default: 2s.
	NegativeTTL Duration `json:"negative_ttl,omitempty"`

	// StaleIfError is how long a record still counts after its TTL while the store
	// does not answer. Default: 0, not at all.
	StaleIfError Duration `json:"stale_if_error,omitempty"`
}

// Databases are connection settings by driver, such as postgres, each an object as
// the driver has it.
type Databases map[string]json.RawMessage
