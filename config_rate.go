package sockudo

import "encoding/json"

// RateLimiterConfig says what is limited and what counts. A block that names
// limits has exactly those; one that names none has the defaults. Unlike without
// a block, private client addresses are limited too.
//
// Other keys than these belong to the driver.
type RateLimiterConfig struct {
	// Driver is what counts, the name of a module in the namespace
	// sockudo.rate_limiters. Default: memory, which counts on this node.
	Driver string `json:"driver,omitempty"`

	// Enabled makes the limits count; off means no limits at all. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// Limits are the limits of sockets and events. Default: none.
	Limits *RateLimits `json:"limits,omitempty"`

	// API limits HTTP calls under /apps/ per client address. Default, in a block
	// that names no limits: 100 calls in 60s.
	API *RateConfig `json:"api,omitempty"`

	// Upgrades limits handshakes per client address. Default, in a block that names
	// no limits: 20 handshakes in 60s.
	Upgrades *RateConfig `json:"upgrades,omitempty"`

	// FailOpen admits everything while what counts is out of reach. Default: off.
	FailOpen Switch `json:"fail_open,omitempty"`

	options map[string]json.RawMessage // the driver's own
}

// RateLimits are limits of sockets and events.
type RateLimits struct {
	// ConnectionPerIP is the number of open sockets of one client address; one more
	// handshake is answered with 429. Default: 0, unlimited.
	ConnectionPerIP Number `json:"connection_per_ip,omitempty"`

	// EventsPerSecond limits client events of one socket, and events published over
	// HTTP for one app, where the app sets no limit of its own. Default: 0, unlimited.
	EventsPerSecond Number `json:"events_per_second,omitempty"`
}

// RateConfig is a number of events in a window.
type RateConfig struct {
	// Max is the number of events in one window; 0 is no limit. Default: 100 HTTP
	// calls, 20 handshakes.
	Max Number `json:"max,omitempty"`

	// Window is the length of the window. With the driver memory it starts with its
	// first event, and with redis it is the time before now. Default: 60s.
	Window Duration `json:"window,omitempty" min:"1ms"`
}

// namesLimits reports whether the block says what is limited.
func (r *RateLimiterConfig) namesLimits() bool {
	return r.API != nil || r.Upgrades != nil || r.Limits != nil && *r.Limits != RateLimits{}
}
