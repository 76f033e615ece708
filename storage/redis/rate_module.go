package redis

import (
	"fmt"
	"time"
)

// Validate checks the lease.
func (m *RateLimiterModule) Validate() error {
	if lease := time.Duration(m.Lease); lease != 0 && lease < time.Second {
		return fmt.Errorf("lease %v is shorter than 1s", lease)
	}
	return nil
}

// Driver is the driver's word in the configuration.
func (*RateLimiterModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *RateLimiterModule) Key() string { return m.options.key() + "\x00" + m.ofHub("sockudo_rl") }

// Driver is the driver's word in the configuration.
func (*ClusterRateLimiterModule) Driver() string { return "redis_cluster" }

// Tune takes the lease of a newer configuration.
func (l *RateLimiter) Tune(spec any) error {
	switch m := spec.(type) {
	case *RateLimiterModule:
		l.SetLease(time.Duration(m.Lease))
	case *ClusterRateLimiterModule:
		l.SetLease(time.Duration(m.Lease))
	default:
		return fmt.Errorf("%T does not tune a rate limiter in Redis", spec)
	}
	return nil
}
