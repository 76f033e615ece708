package redis

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// queuePrefix begins the names of all keys unless the options say otherwise.
const queuePrefix = "sockudo_queue:"

// QueueOptions bounds and tunes a Queue.
type QueueOptions struct {
	// Prefix begins the names of all keys. Empty means "sockudo_queue:".
	Prefix string
	// Hub keeps the queues of several users of one prefix apart; those of one are in one
	// slot of a cluster. Empty means "default".
	Hub string
	// Concurrency bounds the jobs of one named queue that run here at once, whatever
	// Work is told. Zero means no bound of its own.
	Concurrency int
	// MaxJobs is the number of jobs of all queues of the hub and in all states. Zero
	// means 1000000.
	MaxJobs int
	// MaxBytes is the size of their payloads, in bytes. Zero means 1 GiB.
	MaxBytes int64
	// MaxAttempts bounds the runs of a job that names no bound. Zero means 5.
	MaxAttempts int
	// Retry is the delay between two runs. Zero fields mean 1s, 60s and 0.2; a negative
	// jitter means none.
	Retry storage.Retry
	// DeduplicationTTL is how long the id of a job is known after it was pushed; a job
	// that waits or runs is always known. Zero means five minutes, a negative value means
	// no longer than that.
	DeduplicationTTL time.Duration
	// MaxDeadLetters is how many failed jobs each queue keeps; above it the oldest is
	// dropped. Zero means 10000, a negative value means none.
	MaxDeadLetters int
	// Lease is how long a job belongs to the process that runs it, unless that renews
	// the lease. Zero means 30s.
	Lease time.Duration
	// Renew is the time between renewals. Zero means a third of the lease.
	Renew time.Duration
	// Timeout bounds one call. Zero means 5s.
	Timeout time.Duration
}

func (o QueueOptions) withDefaults() QueueOptions {
	o.Prefix, o.Hub = cmp.Or(o.Prefix, queuePrefix), cmp.Or(o.Hub, "default")
	o.MaxJobs, o.MaxBytes = cmp.Or(o.MaxJobs, 1000000), cmp.Or(o.MaxBytes, 1<<30)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, 5)
	o.Retry.Base, o.Retry.Max = cmp.Or(o.Retry.Base, time.Second), cmp.Or(o.Retry.Max, time.Minute)
	o.Retry.Jitter = min(max(cmp.Or(o.Retry.Jitter, 0.2), 0), 1)
	o.DeduplicationTTL = max(cmp.Or(o.DeduplicationTTL, 5*time.Minute), 0)
	o.MaxDeadLetters = max(cmp.Or(o.MaxDeadLetters, 10000), 0)
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.Renew = cmp.Or(o.Renew, o.Lease/3)
	o.Timeout = cmp.Or(o.Timeout, callTimeout)
	return o
}

// check refuses names that would change in which slot the keys of a hub are.
func (o QueueOptions) check() error {
	if strings.ContainsAny(o.Hub, "{}") {
		return fmt.Errorf("hub %q: a queue in Redis needs a name without braces", o.Hub)
	}
	return checkTag(o.Prefix)
}

func (m *QueueModule) provisionQueue(cluster bool) error {
	err := m.provision(cluster)
	m.options.ReplyTimeout = time.Duration(m.ResponseTimeout)
	return err
}

// Validate checks the bounds.
func (m *QueueModule) Validate() error {
	r := m.Reliability
	if r == nil {
		r = new(QueueReliability)
	}
	if err := words.NotNegative(map[string]int64{
		"concurrency": int64(m.Concurrency), "response_timeout": int64(m.ResponseTimeout), "max_bytes": m.MaxBytes,
		"capacity": int64(r.Capacity), "lease": int64(r.Lease), "lease_renew": int64(r.LeaseRenew),
	}); err != nil {
		return err
	}
	o := m.queueOptions().withDefaults()
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case o.Lease < time.Second:
		return fmt.Errorf("lease %v is shorter than 1s", o.Lease)
	case o.Renew >= o.Lease:
		return fmt.Errorf("lease_renew %v must be shorter than lease %v", o.Renew, o.Lease)
	}
	return r.Check()
}

// Key identifies the server, the login, the prefix and the hub.
func (m *QueueModule) Key() string {
	o := m.queueOptions().withDefaults()
	return m.options.key() + "\x00" + o.Prefix + "\x00" + o.Hub
}

func (m *QueueModule) queueOptions() QueueOptions {
	o := QueueOptions{Prefix: m.prefix, Hub: m.hub, Concurrency: m.Concurrency, Timeout: time.Duration(m.ResponseTimeout), MaxBytes: m.MaxBytes}
	r := m.Reliability
	if r == nil {
		return o
	}
	o.MaxJobs, o.MaxAttempts = r.Capacity, words.Or(r.MaxAttempts, 0)
	o.Retry = storage.Retry{Base: time.Duration(r.RetryBase), Max: time.Duration(r.RetryMax), Jitter: words.NoneIfZero(r.RetryJitter)}
	o.DeduplicationTTL = time.Duration(words.NoneIfZero(r.DeduplicationTTL))
	o.MaxDeadLetters = words.NoneIfZero(r.FailedRetention)
	o.Lease, o.Renew = time.Duration(r.Lease), time.Duration(r.LeaseRenew)
	return o
}

// Tune takes the bounds and delays of a newer configuration.
func (q *Queue) Tune(spec any) error {
	switch m := spec.(type) {
	case *QueueModule:
		q.SetOptions(m.queueOptions())
	case *ClusterQueueModule:
		q.SetOptions(m.queueOptions())
	default:
		return fmt.Errorf("%T does not tune a queue in Redis", spec)
	}
	return nil
}
