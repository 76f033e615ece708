package sql

import (
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Validate checks the bounds.
func (m *QueueModule) Validate() error {
	r := m.Reliability
	if r == nil {
		r = new(QueueReliability)
	}
	o := m.options().withDefaults()
	if err := words.NotNegative(map[string]int64{
		"max_bytes": m.MaxBytes, "capacity": int64(r.Capacity), "lease": int64(r.Lease), "lease_renew": int64(r.LeaseRenew),
	}); err != nil {
		return err
	}
	if o.Renew >= o.Lease {
		return fmt.Errorf("lease_renew %v must be shorter than lease %v", o.Renew, o.Lease)
	}
	return r.Check()
}

// Driver is the driver's word in the configuration.
func (*QueueModule) Driver() string { return string(SQLite) }

// ForHub names the hub, whose jobs are not those of others in the same file.
func (m *QueueModule) ForHub(name string) { m.hub = name }

// Key identifies the file and the hub.
func (m *QueueModule) Key() string { return m.path + "\x00" + m.hub }

func (m *QueueModule) options() QueueOptions {
	o := QueueOptions{Scope: m.hub + "/", MaxBytes: m.MaxBytes}
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
	m, ok := spec.(*QueueModule)
	if !ok {
		return fmt.Errorf("%T does not tune a queue in SQLite", spec)
	}
	q.SetOptions(m.options())
	return nil
}
