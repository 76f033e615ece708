package push

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Settings are those of a Pipeline. Zero fields mean the default.
type Settings struct {
	Store    storage.PushStore
	Queue    storage.Queue
	Limiter  storage.RateLimiter
	Registry *Registry
	// Presence tells who is in a presence channel. Nil means nobody.
	Presence Presence
	// Codecs are all providers that there are, and Setups those that are switched on.
	Codecs map[Kind]Provider
	Setups map[Kind]Setup

	// DefaultTTL is how long a notification is good for that says nothing. Default: 1h.
	DefaultTTL time.Duration
	// StatusTTL is how long an ended publish is remembered. Default: 24h.
	StatusTTL time.Duration
	// EventTTL is how long dead letters and delivery events are kept. Default: 30 days.
	EventTTL time.Duration
	// Quarantine is how long a device whose address is invalid is kept. Default: 1h.
	Quarantine time.Duration

	// FastThreshold is the number of recipients from which on a publish is planned in
	// parts of ShardSize. Defaults: 10000 and 100000.
	FastThreshold, ShardSize int64
	// Planners is how many publishes are planned at once. Default: 4.
	Planners int
	// Workers is how many batches of one provider are sent at once. Default: 64.
	Workers int
	// Outbound bounds the requests under way for one batch. Default: 32.
	Outbound int

	Quotas  Quotas
	Retry   Retry
	Breaker BreakerSettings
	Lag     Lag

	// Tick is how often the store is asked for what is due. Default: 5s.
	Tick time.Duration
	// RepairEvery is how often work is looked for that has been lost, and RepairAge how long
	// it must have been left alone. RepairBatch bounds one look. Defaults: 30s, 30s and 100.
	// RepairEvery below zero is never.
	RepairEvery, RepairAge time.Duration
	RepairBatch            int
	// CleanEvery is how often old records are removed, CleanBatch how many are read at once,
	// and CleanMost how many are removed each time. Defaults: 300s, 1000 and 100000. CleanEvery
	// below zero is never.
	CleanEvery            time.Duration
	CleanBatch, CleanMost int

	Log *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Presence tells who is in a presence channel, on all nodes.
type Presence interface {
	// Present returns a test for user ids.
	Present(ctx context.Context, app, channel string) (is func(user string) bool, err error)
}

// Setup is a provider that is switched on.
type Setup struct {
	// Material is for apps without credentials of their own, or nil.
	Material json.RawMessage
	Options  ConnectOptions
	// Digest names the options, so that equal ones share connections over a reload.
	Digest string
}

// Quotas bound what one app may publish. Zero is no bound, except where a default is
// given.
type Quotas struct {
	// AcceptanceRPS is the number of publishes in one second. Default: 100; less than zero is
	// no bound.
	AcceptanceRPS int
	// Daily is the number of recipients in a day (UTC).
	Daily int64
	// FanoutMax is the number of recipients of one publish.
	FanoutMax int64
	// InFlight bounds the requests of one app under way at one provider, on this node.
	// Default: 1000.
	InFlight int
}

// Lag is when publishes are refused because too much waits already.
type Lag struct {
	// Refuse refuses all publishes.
	Refuse bool
	// Age is for how long the oldest may have waited. Default: 60s; less than zero is no
	// bound.
	Age time.Duration
	// Publishes and Deliveries bound what waits to be planned, and to be sent at one provider.
	// Default of both: 100000.
	Publishes, Deliveries int
	// RetryAfter is what those who are refused are told. Default: 5s.
	RetryAfter time.Duration
}

func (s Settings) withDefaults() Settings {
	s.DefaultTTL, s.StatusTTL = cmp.Or(s.DefaultTTL, time.Hour), cmp.Or(s.StatusTTL, 24*time.Hour)
	s.EventTTL, s.Quarantine = cmp.Or(s.EventTTL, 30*24*time.Hour), cmp.Or(s.Quarantine, time.Hour)
	s.FastThreshold, s.ShardSize = cmp.Or(s.FastThreshold, 10000), cmp.Or(s.ShardSize, 100000)
	s.Planners, s.Workers, s.Outbound = cmp.Or(s.Planners, 4), cmp.Or(s.Workers, 64), cmp.Or(s.Outbound, 32)
	s.Quotas.AcceptanceRPS, s.Quotas.InFlight = cmp.Or(s.Quotas.AcceptanceRPS, 100), cmp.Or(s.Quotas.InFlight, 1000)
	s.Retry, s.Breaker = s.Retry.withDefaults(), s.Breaker.withDefaults()
	s.Lag.Age, s.Lag.RetryAfter = cmp.Or(s.Lag.Age, time.Minute), cmp.Or(s.Lag.RetryAfter, 5*time.Second)
	s.Lag.Publishes, s.Lag.Deliveries = cmp.Or(s.Lag.Publishes, 100000), cmp.Or(s.Lag.Deliveries, 100000)
	s.Tick = cmp.Or(s.Tick, 5*time.Second)
	s.RepairEvery, s.RepairAge, s.RepairBatch = cmp.Or(s.RepairEvery, 30*time.Second), cmp.Or(s.RepairAge, 30*time.Second), cmp.Or(s.RepairBatch, 100)
	s.CleanEvery, s.CleanBatch, s.CleanMost = cmp.Or(s.CleanEvery, 300*time.Second), cmp.Or(s.CleanBatch, 1000), cmp.Or(s.CleanMost, 100000)
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	if s.Now == nil {
		s.Now = time.Now
	}
	return s
}
