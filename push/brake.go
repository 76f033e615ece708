package push

import (
	"sync"
	"time"
)

const (
	// brakeWindow is the time in which attempts and invalid addresses are counted.
	brakeWindow = time.Hour
	// brakeHold is how long no device is removed after too many have become invalid.
	brakeHold = 24 * time.Hour
	// brakeLeast and brakeShare are how many invalid addresses are too many: a number, and a
	// part of all attempts.
	brakeLeast = 10
	brakeShare = 5 // a fifth
	// maxBrakes bounds the pairs of apps and providers that are counted.
	maxBrakes = 10000
)

// brake keeps a fault of a provider from removing all devices.
type brake struct {
	mu    sync.Mutex
	pairs map[brakeKey]*brakeCount
}

type brakeKey struct {
	app  string
	kind Kind
}

type brakeCount struct {
	since             time.Time
	attempts, invalid int
	held              time.Time // until when nothing is removed
}

func (b *brake) at(app string, kind Kind, now time.Time) *brakeCount {
	k := brakeKey{app, kind}
	c := b.pairs[k]
	if c == nil {
		if b.pairs == nil || len(b.pairs) >= maxBrakes {
			b.pairs = map[brakeKey]*brakeCount{}
		}
		c = &brakeCount{since: now}
		b.pairs[k] = c
	}
	if now.Sub(c.since) > brakeWindow {
		c.since, c.attempts, c.invalid = now, 0, 0
	}
	return c
}

// attempt counts one that has been answered.
func (b *brake) attempt(app string, kind Kind, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(app, kind, now).attempts++
}

// invalid counts an address that has become invalid, and reports whether that is the one
// that makes them too many.
func (b *brake) invalid(app string, kind Kind, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.at(app, kind, now)
	c.invalid++
	if c.invalid < max(brakeLeast, (c.attempts+brakeShare-1)/brakeShare) {
		return false
	}
	fresh := now.After(c.held)
	c.held = now.Add(brakeHold)
	return fresh
}

// holds reports whether nothing is to be removed.
func (b *brake) holds(app string, kind Kind, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.pairs[brakeKey{app, kind}]
	return c != nil && now.Before(c.held)
}
