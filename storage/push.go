package storage

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// PushStore keeps the records of push notifications: devices, subscriptions,
// publishes and what became of them. It is durable where its driver is, and nodes that
// share it see the same records at once. It does not know what is in them.
//
// A table of an app is a list of records in the order of their groups, and in a group
// of their names, both byte by byte.
//
// A value that is empty may be read as nil.
type PushStore interface {
	// Get reads records, in the order of the keys. One that does not exist has its key
	// and the version 0, and nothing else. The records need not be of one moment.
	Get(ctx context.Context, keys ...PushKey) ([]PushRecord, error)
	// List reads records of one table, at most q.Limit; fewer mean that there are no
	// more. One that is written or removed meanwhile may be in it or not.
	List(ctx context.Context, q PushQuery) ([]PushRecord, error)
	// Apply carries out all changes at one moment, or none of them. All are of one app,
	// since another may be kept elsewhere. If one's condition does not hold at that moment,
	// the error is ErrConflict; it says nothing about which, and comes for no other reason:
	// what others change meanwhile, without a condition failing, makes a call slower and
	// nothing else. A call that has failed with another error may have been carried out all
	// the same, unless it is ErrTooLarge or ErrFull, or is told by CheckPushChanges. No two
	// changes have the same key. Without changes nothing happens.
	Apply(ctx context.Context, changes ...PushChange) error
	// Due lists records of a table of all apps whose Due is set and not later than now, in
	// Unix milliseconds, about the earliest first, at most limit: two that are less than a
	// second apart may come in any order. A record that has been changed a moment ago may
	// be missing or be listed as it was, so whoever acts on one takes it with a condition.
	Due(ctx context.Context, table string, now int64, limit int) ([]PushRecord, error)
	Close() error
}

// PushKey names a record. App and Table are at most 128 and 32 bytes, and not empty.
// Group and Name are at most 512 bytes each, of any kind; Name is not empty.
type PushKey struct{ App, Table, Group, Name string }

// PushCounts is the number of counters of a record.
const PushCounts = 12

// PushRecord is one record.
type PushRecord struct {
	Key PushKey
	// Version changes with every put, and is never given to a key twice. Zero says that
	// there is no such record.
	Version uint64
	// Due is in Unix milliseconds, and zero for never.
	Due   int64
	Value []byte
	// Counts only change by adding.
	Counts [PushCounts]int64
}

// PushQuery says which records of a table are read.
type PushQuery struct {
	App, Table string
	// Group, unless it is nil, is the only one that is read.
	Group *string
	// Records up to and with this group and name are left out, unless AfterName is
	// empty. AfterGroup is not used where Group is set.
	AfterGroup, AfterName string
	// Limit is positive; otherwise nothing is read.
	Limit int
}

// PushOp is what a change does.
type PushOp uint8

// The operations.
const (
	// PushPut writes value, version and due. The counters stay, or are all zero in a new
	// record; then Counts are added.
	PushPut PushOp = iota
	// PushDelete removes the record with its counters. That there is none is no error.
	PushDelete
	// PushAdd adds Counts. It makes the record first, as PushPut does, if there is none;
	// otherwise value, version and due stay as they are.
	PushAdd
	// PushCheck only looks at the condition.
	PushCheck
)

// PushChange is a change of one record.
type PushChange struct {
	Op  PushOp
	Key PushKey
	// If, unless it is nil, is the version that the record must have: zero for none.
	If *uint64
	// Version is that of a record which is put, or made by adding. It comes from
	// NewPushVersion.
	Version uint64
	// Due is not negative.
	Due    int64
	Value  []byte
	Counts [PushCounts]int64
}

// The most that a call takes.
const (
	// MaxPushChanges bounds the changes of one Apply.
	MaxPushChanges = 100
	// MaxPushValue bounds a value, in bytes. A driver may take less, with ErrTooLarge; it
	// takes 256 KiB at least.
	MaxPushValue = 1 << 20
	// MaxPushBytes bounds the values of one Apply together, in bytes. A driver may take
	// less, with ErrTooLarge; it takes 1 MiB at least.
	MaxPushBytes = 16 << 20
)

// NewPushVersion is a version that no record has had. It is never zero and fits into 63 bits.
func NewPushVersion() uint64 {
	return rand.Uint64()>>1 | 1
}

// CheckPushChanges refuses what no driver of a PushStore takes.
func CheckPushChanges(changes []PushChange) error {
	if len(changes) > MaxPushChanges {
		return fmt.Errorf("push store: %d changes at once are more than %d", len(changes), MaxPushChanges)
	}
	seen, size := make(map[PushKey]bool, len(changes)), 0
	for i := range changes {
		c := &changes[i]
		if err := c.Key.Check(); err != nil {
			return err
		}
		switch {
		case c.Key.App != changes[0].Key.App:
			return fmt.Errorf("push store: changes of the apps %q and %q at once", changes[0].Key.App, c.Key.App)
		case seen[c.Key]:
			return fmt.Errorf("push store: two changes of %q in %s", c.Key.Name, c.Key.Table)
		case len(c.Value) > MaxPushValue:
			return fmt.Errorf("push store: a value of %d bytes in %s: %w", len(c.Value), c.Key.Table, ErrTooLarge)
		case (c.Op == PushPut || c.Op == PushAdd) && (c.Version == 0 || c.Version>>63 != 0):
			return fmt.Errorf("push store: %q in %s has no version", c.Key.Name, c.Key.Table)
		case c.Due < 0:
			return fmt.Errorf("push store: %q in %s has the negative time %d", c.Key.Name, c.Key.Table, c.Due)
		case c.Op > PushCheck:
			return fmt.Errorf("push store: there is no operation %d", c.Op)
		}
		if size += len(c.Value); size > MaxPushBytes {
			return fmt.Errorf("push store: values of more than %d bytes at once: %w", MaxPushBytes, ErrTooLarge)
		}
		seen[c.Key] = true
	}
	return nil
}

// Check refuses a key that no record can have.
func (k *PushKey) Check() error {
	switch {
	case k.App == "" || len(k.App) > 128:
		return fmt.Errorf("push store: the app %q must be of 1 to 128 bytes", k.App)
	case k.Table == "" || len(k.Table) > 32:
		return fmt.Errorf("push store: the table %q must be of 1 to 32 bytes", k.Table)
	case k.Name == "" || len(k.Name) > 512 || len(k.Group) > 512:
		return fmt.Errorf("push store: the name %q and the group %q in %s must be at most 512 bytes", k.Name, k.Group, k.Table)
	}
	return nil
}
