package push

import (
	"cmp"
	"sync"
	"time"
)

// BreakerSettings are when a provider is left alone (section 10).
type BreakerSettings struct {
	// Failures is how many in a row it takes. Default: 5.
	Failures int
	// Cooldown is how long nothing is sent then. Default: 60s.
	Cooldown time.Duration
	// HalfOpen is how many are sent at once after that, until one succeeds. Default: 10.
	HalfOpen int
}

func (s BreakerSettings) withDefaults() BreakerSettings {
	s.Failures, s.Cooldown, s.HalfOpen = cmp.Or(s.Failures, 5), cmp.Or(s.Cooldown, time.Minute), cmp.Or(s.HalfOpen, 10)
	return s
}

// breaker is that of one set of credentials. Failures that are about one recipient or one
// payload do not count.
type breaker struct {
	mu       sync.Mutex
	settings BreakerSettings
	failures int
	until    time.Time
	open     bool
}

// wait is how long nothing may be sent.
func (b *breaker) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.until.Sub(now), 0)
}

// limit is how many may be sent at once: zero for no bound.
func (b *breaker) limit() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open {
		return b.settings.HalfOpen
	}
	return 0
}

// state is 0 for closed, 1 for half open and 2 for open.
func (b *breaker) state(now time.Time) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case now.Before(b.until):
		return 2
	case b.open:
		return 1
	}
	return 0
}

// heard takes the result of an attempt, and reports whether that has
// opened it.
func (b *breaker) heard(now time.Time, r *Result) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r.Outcome == Accepted {
		b.failures = 0
		if !now.Before(b.until) {
			b.open = false
		}
		return false
	}
	if r.RetryAfter > 0 && !r.DeviceOnly && r.Outcome == Retryable {
		if until := now.Add(r.RetryAfter); until.After(b.until) {
			opened = !now.Before(b.until)
			b.until = until
		}
		return opened
	}
	switch r.Class {
	case ProviderTransient, NetworkTransport, CredentialAuth:
	default:
		return false
	}
	if r.DeviceOnly || now.Before(b.until) {
		return false
	}
	b.failures++
	// One that was sent when it was half open, and fails, closes the door at once.
	if b.failures < b.settings.Failures && !b.open {
		return false
	}
	b.failures, b.open, b.until = 0, true, now.Add(b.settings.Cooldown)
	return true
}
