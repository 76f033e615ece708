package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// RegistryOptions are what a Registry is made of.
type RegistryOptions struct {
	// Store keeps the records.
	Store storage.PushStore
	// Providers say what recipients, payloads and credentials may be. A device of a provider
	// that is not among them cannot be registered, except one of realtime.
	Providers map[Kind]Provider
	// Policy is what the providers are told of endpoints.
	Policy Policy
	// Keys encrypt credentials. Nil means that none can be uploaded.
	Keys *Keyring
	// SealRecipients also encrypts the addresses of devices with Keys.
	SealRecipients bool
	// FailuresAllowed is how many transient failures in a row make a device FAILED.
	// Default: 3. At least 2.
	FailuresAllowed int
	// StaleAfter is how long a device may be idle before RemoveStale removes it. Zero means
	// for ever.
	StaleAfter time.Duration
	// KeepTombstones is how long it is known why a device has been removed. Default: 30 days.
	KeepTombstones time.Duration
	// OnTransition, unless it is nil, is told of each device whose state has changed. It must
	// not block.
	OnTransition func(app string, from, to State)
	// Log is for what operators should know. Nil means that nobody reads it.
	Log *zap.Logger
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// Registry keeps what stays between publishes: devices, subscriptions, credentials and
// templates. It has no state of its own, and nodes with one store are one registry.
//
// What somebody has sent wrongly is a *FieldError, and what does not exist is
// storage.ErrNotFound. Every other error is the store's.
type Registry struct {
	o      RegistryOptions
	hashes chan struct{} // bounds PBKDF2 at one time
}

// NewRegistry makes one. It asks the store nothing.
func NewRegistry(o RegistryOptions) *Registry {
	if o.FailuresAllowed == 0 {
		o.FailuresAllowed = 3
	}
	o.FailuresAllowed = max(o.FailuresAllowed, 2)
	if o.KeepTombstones <= 0 {
		o.KeepTombstones = 30 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Registry{o: o, hashes: make(chan struct{}, maxHashes)}
}

// Page is a part of a list.
type Page[T any] struct {
	Items []T
	// Next is where the rest begins: the position for the next call. It is empty if there is
	// no more. A page may be short, even empty, and not be the last.
	Next string
}

// tries bounds how often a change is made again that others have overtaken.
const tries = 40

// again carries out a change, and once more from the start each time another one has
// come between its reading and its writing.
func (g *Registry) again(ctx context.Context, change func() error) error {
	for i := 1; ; i++ {
		err := change()
		if err == nil || !errors.Is(err, storage.ErrConflict) || i == tries {
			return err
		}
		pause := rand.N(time.Duration(min(i, 10)) * 2 * time.Millisecond)
		if !wait.For(ctx, pause) {
			return ctx.Err()
		}
	}
}

// get reads one record.
func (g *Registry) get(ctx context.Context, k storage.PushKey) (storage.PushRecord, error) {
	records, err := g.o.Store.Get(ctx, k)
	if err != nil {
		return storage.PushRecord{}, err
	}
	if len(records) != 1 {
		return storage.PushRecord{}, fmt.Errorf("push store: %d records for one key", len(records))
	}
	return records[0], nil
}

// list reads a page of one group. The record after the last one is only asked for, to
// know whether it is there.
func (g *Registry) list(ctx context.Context, app, table, group, after string, limit int) (records []storage.PushRecord, next string, err error) {
	limit = max(limit, 1)
	records, err = g.o.Store.List(ctx, storage.PushQuery{App: app, Table: table, Group: &group, AfterName: after, Limit: limit + 1})
	if err == nil && len(records) > limit {
		records = records[:limit]
		next = records[limit-1].Key.Name
	}
	return records, next, err
}

// decode reads the value of a record.
func decode(r *storage.PushRecord, v any) error {
	if err := json.Unmarshal(r.Value, v); err != nil {
		return fmt.Errorf("push store: a record of %s cannot be read", r.Key.Table)
	}
	return nil
}

// nowMS is the time in Unix milliseconds.
func (g *Registry) nowMS() int64 { return g.o.Now().UnixMilli() }

// missing is storage.ErrNotFound with a name.
func missing(what, id string) error {
	return fmt.Errorf("%s %q: %w", what, clip(id), storage.ErrNotFound)
}

// clip shortens a text that somebody has sent, for an error.
func clip(text string) string {
	if len(text) > 64 {
		return text[:64] + "…"
	}
	return text
}
