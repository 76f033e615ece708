package webhooks

import (
	"cmp"
	"crypto/x509"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// QueueName is that of the jobs.
const QueueName = "webhooks"

const (
	// maxRequest bounds the events of one request, in bytes, unless a single event
	// is larger.
	maxRequest = 256 << 10
	// maxPending bounds the events that are not in the queue yet, in bytes, with what
	// they need in memory.
	maxPending = 16 << 20
	// maxAnswer is how much of an answer is read, in bytes, so that the connection can
	// be used again.
	maxAnswer = 64 << 10
	// unlimited is a number of attempts that nobody makes.
	unlimited = 1 << 30
)

// Settings are those of a Delivery. Zero fields mean the default.
type Settings struct {
	// Single makes a request of each event.
	Single bool
	// MaxBatch is the number of events in one request. Default: 50.
	MaxBatch int
	// FlushInterval is how long an event may wait for others. Default: 500ms.
	FlushInterval time.Duration
	// Timeout bounds one attempt. Default: 5s.
	Timeout time.Duration
	// Concurrency is the number of requests under way. Default: 20.
	Concurrency int
	// EndpointConcurrency is the number of requests under way to one endpoint.
	// Default: 4.
	EndpointConcurrency int
	// Retry is how long and how often a request is tried that fails. Default: for
	// 300s, after 1s doubling to 60s, and however often.
	Retry storage.WebhookRetry
	// AllowPrivate admits receivers at loopback, private and similar addresses.
	AllowPrivate bool
	// Roots are the authorities that receivers' certificates may come from. Nil means
	// those of the system.
	Roots *x509.CertPool
	// LambdaEndpoint is where AWS Lambda is, for tests. Empty means AWS's own.
	LambdaEndpoint string

	Apps  storage.AppManager
	Queue storage.Queue
	Log   *zap.Logger
}

func (s Settings) withDefaults() Settings {
	s.MaxBatch = cmp.Or(s.MaxBatch, 50)
	s.FlushInterval = cmp.Or(s.FlushInterval, 500*time.Millisecond)
	s.Timeout = cmp.Or(s.Timeout, 5*time.Second)
	s.Concurrency, s.EndpointConcurrency = cmp.Or(s.Concurrency, 20), cmp.Or(s.EndpointConcurrency, 4)
	r := &s.Retry
	r.MaxAttempts, r.MaxElapsed = cmp.Or(r.MaxAttempts, unlimited), cmp.Or(r.MaxElapsed, 300*time.Second)
	r.InitialBackoff, r.MaxBackoff = cmp.Or(r.InitialBackoff, time.Second), cmp.Or(r.MaxBackoff, time.Minute)
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	return s
}

// retry is that of an endpoint, over the hub's.
func (s *Settings) retry(own *storage.WebhookRetry) storage.WebhookRetry {
	if own == nil {
		return s.Retry
	}
	return storage.WebhookRetry{
		Off:            own.Off || s.Retry.Off,
		MaxAttempts:    cmp.Or(own.MaxAttempts, s.Retry.MaxAttempts),
		MaxElapsed:     cmp.Or(own.MaxElapsed, s.Retry.MaxElapsed),
		InitialBackoff: cmp.Or(own.InitialBackoff, s.Retry.InitialBackoff),
		MaxBackoff:     cmp.Or(own.MaxBackoff, s.Retry.MaxBackoff),
	}
}
