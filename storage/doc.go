// Package storage holds the contracts between the realtime core and whatever
// keeps or carries its data: app records, fan-out between nodes, cached values,
// queued jobs and rate limits. It holds no implementation. storage/memory is the
// reference implementation of every contract, and storage/storagetest is the
// suite that every driver must pass.
//
// Contracts are small. What only some drivers can do is an optional interface,
// found by type assertion: AppEditor, AppWatcher, Clustered, DeadLetters, Handover, Adopter,
// Aging, Streams, Slow, Tuner, Drainer, Checker.
package storage

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors that callers decide on. Drivers wrap them with %w.
var (
	// ErrNotFound says that the named record does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict says that the record is not in the state the caller expected.
	ErrConflict = errors.New("conflict")
	// ErrKeyTaken says that another app has the key. It is an ErrConflict too.
	ErrKeyTaken = fmt.Errorf("key is used by another app: %w", ErrConflict)
	// ErrFull says that a bounded store has no room for another entry.
	ErrFull = errors.New("store is full")
	// ErrTooLarge says that an entry is larger than the store takes at all. It is an
	// ErrFull too.
	ErrTooLarge = fmt.Errorf("too large: %w", ErrFull)
	// ErrClosed says that the driver was closed, usually because a reload has
	// replaced it. The caller takes the current driver and tries again.
	ErrClosed = errors.New("driver is closed")
)

// Spec is the recipe of a driver: what a guest module hands to its host. It runs
// nothing by itself, so a configuration that is only validated opens nothing.
type Spec[T any] interface {
	// Driver is the driver's word in the configuration, such as "memory".
	Driver() string
	// Key identifies the resource: address, database and identity, never tuning.
	// Two specs with equal keys share one running resource, also over a reload.
	Key() string
	// Open makes the resource. It is bounded by ctx and must not keep ctx. The
	// result is closed by whoever keeps it, by way of io.Closer.
	Open(ctx context.Context) (T, error)
}

// Slow is a Spec whose Open may take longer than that of others, because it makes
// what it does not find.
type Slow interface {
	// OpenTimeout is how long Open may take.
	OpenTimeout() time.Duration
}

// Tuner is a Spec or a running resource whose tuning may change without opening
// it again. Tune is called with the newer Spec of an equal key.
type Tuner interface {
	Tune(spec any) error
}

// Drainer is a driver that can finish what it has accepted before it is closed.
type Drainer interface {
	Drain(ctx context.Context) error
}

// Checker is a driver that can tell whether it is usable, for /up and the admin
// health route. A driver without it is always healthy.
type Checker interface {
	Check(ctx context.Context) error
}
