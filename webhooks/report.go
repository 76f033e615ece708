package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// ErrNoLetters is returned for a queue that keeps no dead letters.
var ErrNoLetters = errors.New("the queue keeps no dead letters")

// Report says how webhooks are doing.
type Report struct {
	// Ready, Delayed and Active count requests in the queue, of all nodes that share
	// it: those that can be sent, that wait to be sent again, and that are under way.
	Ready   int `json:"ready"`
	Delayed int `json:"delayed"`
	Active  int `json:"active"`
	// Dead counts requests that have failed for good.
	Dead int `json:"dead"`
	// Bytes is what all of them hold.
	Bytes int64 `json:"bytes"`
	// PendingBytes are events of this node that are not in the queue yet.
	PendingBytes int `json:"pending_bytes"`
	// OldestSeconds is how long the oldest request that is not dead has been in the
	// queue. It is absent when the queue cannot tell.
	OldestSeconds *float64 `json:"oldest_seconds,omitempty"`
	// Endpoints are those that this node has sent anything to, by app.
	Endpoints []EndpointReport `json:"endpoints"`
}

// EndpointReport says how one endpoint is doing, as this node has met it since the
// process began, or since it was defined.
type EndpointReport struct {
	// App is the id of its app.
	App string `json:"app_id"`
	// Endpoint names it in logs and dead letters.
	Endpoint string `json:"endpoint"`
	// Place is its host, without a path, or its function.
	Place string `json:"place"`
	// State is "up", "failing" after a failure, "down" after several in a row, or
	// "gone" after it has answered 410.
	State string `json:"state"`
	// InFlight are requests under way.
	InFlight int `json:"in_flight"`
	// Delivered counts requests that it has accepted, Failed attempts that have
	// failed, and Dead requests that have failed for good.
	Delivered uint64 `json:"delivered"`
	Failed    uint64 `json:"failed"`
	Dead      uint64 `json:"dead"`
	// LastFailure is the reason of the last failure, and LastFailureAt its time.
	LastFailure   string     `json:"last_failure,omitempty"`
	LastFailureAt *time.Time `json:"last_failure_at,omitempty"`
	// LatencySeconds is how long it takes to accept a request, smoothed.
	LatencySeconds float64 `json:"latency_seconds"`
}

// Letter is a request that has failed for good.
type Letter struct {
	// Key names it for Replay.
	Key string `json:"key"`
	// ID is that of the request, in its header X-Sockudo-Webhook-Id.
	ID string `json:"id"`
	// App is the id of its app, and Endpoint names the webhook.
	App      string `json:"app_id"`
	Endpoint string `json:"endpoint"`
	// Place is where the webhook is, without a path. It is empty when the app has no
	// such webhook any more.
	Place string `json:"place,omitempty"`
	// Attempts counts how often it was sent.
	Attempts int `json:"attempts"`
	// Reason is that of the last failure.
	Reason string `json:"reason"`
	// FailedAt is when that was.
	FailedAt time.Time `json:"failed_at"`
	// TimeMS is when the earliest of its events happened, in Unix milliseconds.
	TimeMS int64 `json:"time_ms"`
	// Count is the number of its events.
	Count int `json:"count"`
	// Events are the events, where one letter is shown.
	Events json.RawMessage `json:"events,omitempty"`
}

// Report asks the queue and the board.
func (d *Delivery) Report(ctx context.Context) (r Report, err error) {
	stats, err := d.settings.Queue.Stats(ctx, QueueName)
	if err != nil {
		return r, err
	}
	r = Report{Ready: stats.Ready, Delayed: stats.Delayed, Active: stats.Active, Dead: stats.Dead, Bytes: stats.Bytes}
	if age, known := oldestAge(ctx, d.settings.Queue); known {
		seconds := age.Seconds()
		r.OldestSeconds = &seconds
	}
	d.outbox.mu.Lock()
	r.PendingBytes = d.outbox.bytes
	d.outbox.mu.Unlock()
	r.Endpoints = d.board.endpoints()
	return r, nil
}

func (b *Board) endpoints() []EndpointReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]EndpointReport, 0, len(b.states))
	for key, s := range b.states {
		e := EndpointReport{
			App: key.app, Endpoint: key.endpoint, Place: s.place, State: "up", InFlight: s.running,
			Delivered: s.delivered, Failed: s.failed, Dead: s.dead, LastFailure: s.reason, LatencySeconds: s.latency.Seconds(),
		}
		switch {
		case s.gone:
			e.State = "gone"
		case s.failures >= breakAfter:
			e.State = "down"
		case s.failures > 0:
			e.State = "failing"
		}
		if !s.failedAt.IsZero() {
			at := s.failedAt
			e.LastFailureAt = &at
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b EndpointReport) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return all
}

func (d *Delivery) letters() (storage.DeadLetters, error) {
	if l, ok := d.settings.Queue.(storage.DeadLetters); ok {
		return l, nil
	}
	return nil, ErrNoLetters
}

// Letters lists requests that have failed for good, oldest first, at most limit,
// without their events.
func (d *Delivery) Letters(ctx context.Context, limit int) ([]Letter, error) {
	queue, err := d.letters()
	if err != nil {
		return nil, err
	}
	dead, err := queue.DeadLetters(ctx, QueueName, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Letter, len(dead))
	for i := range dead {
		all[i] = d.letter(ctx, &dead[i], false)
	}
	return all, nil
}

// maxLetters is how many letters are looked through for one.
const maxLetters = 100000

// Letter is one request that has failed for good, with its events. It is
// storage.ErrNotFound if there is none with the key.
func (d *Delivery) Letter(ctx context.Context, key string) (Letter, error) {
	queue, err := d.letters()
	if err != nil {
		return Letter{}, err
	}
	dead, err := queue.DeadLetters(ctx, QueueName, maxLetters)
	if err != nil {
		return Letter{}, err
	}
	i := slices.IndexFunc(dead, func(l storage.DeadLetter) bool { return l.Key == key })
	if i < 0 {
		return Letter{}, fmt.Errorf("dead letter %q: %w", key, storage.ErrNotFound)
	}
	return d.letter(ctx, &dead[i], true), nil
}

func (d *Delivery) letter(ctx context.Context, dead *storage.DeadLetter, whole bool) Letter {
	l := Letter{Key: dead.Key, ID: dead.ID, Attempts: dead.Attempt, Reason: dead.Reason, FailedAt: dead.FailedAt}
	j, err := decodeJob(dead.Payload)
	if err != nil {
		return l
	}
	l.App, l.Endpoint, l.TimeMS, l.Count = j.App, j.Endpoint, j.TimeMS, j.Count
	if r, err := d.roster(ctx, j.App); err == nil {
		if e := r.find(j.Endpoint, j.Target); e != nil {
			l.Place = e.place()
		}
	}
	if whole {
		l.Events = j.Events
	}
	return l
}

// Replay sends a request again that has failed for good, as if it had never been
// sent.
func (d *Delivery) Replay(ctx context.Context, key string) error {
	queue, err := d.letters()
	if err != nil {
		return err
	}
	return queue.Replay(ctx, QueueName, key)
}

// ReplayAll does so with all of them, and reports how many.
func (d *Delivery) ReplayAll(ctx context.Context) (n int, err error) {
	queue, err := d.letters()
	if err != nil {
		return 0, err
	}
	dead, err := queue.DeadLetters(ctx, QueueName, maxLetters)
	if err != nil {
		return 0, err
	}
	for i := range dead {
		switch err := queue.Replay(ctx, QueueName, dead[i].Key); {
		case errors.Is(err, storage.ErrNotFound): // somebody else has been faster
		case err != nil:
			return n, err
		default:
			n++
		}
	}
	return n, nil
}

// Purge throws away all requests that have failed for good, and reports how many.
func (d *Delivery) Purge(ctx context.Context) (int, error) {
	queue, err := d.letters()
	if err != nil {
		return 0, err
	}
	return queue.Purge(ctx, QueueName)
}
