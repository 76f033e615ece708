package redis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pushPrefix begins the names of all keys unless the options say otherwise.
const pushPrefix = "sockudo_push"

// PushOptions say how the records of push notifications are kept.
type PushOptions struct {
	// Prefix stands before a colon and the names of all keys. Empty means "sockudo_push".
	Prefix string
}

// PushStore keeps the records of push notifications in Redis, where several processes
// read and change them. How much there is in all is bounded by the server's maxmemory.
//
// An Apply is one script, and a server that dies has all of it or nothing. It is as
// durable as the server: what it has accepted is with the server, on its disk by
// appendfsync, and with its replicas a moment later. One that is promoted, restored or
// restarted may have lost the newest changes, all those after some moment. No version
// comes again then, so that whoever has read what is lost gets a conflict and reads anew;
// what was lost is done again, or not at all.
//
// While the slot of an app is moved within a cluster, its records can be read, and a change
// of some that are in two places is an error, and not made.
//
// A server that drops any key when its memory is full (maxmemory-policy allkeys-…) would
// drop records, too.
type PushStore struct {
	client *Client
	prefix string
}

// OpenPushStore connects to a server, and warns of what it may lose. The logger may be
// nil.
func OpenPushStore(ctx context.Context, o Options, options PushOptions, log *zap.Logger) (*PushStore, error) {
	if err := checkTag(options.Prefix); err != nil {
		return nil, err
	}
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	s := &PushStore{client: client, prefix: cmp.Or(options.Prefix, pushPrefix) + ":"}
	if _, err := s.Due(ctx, "try", 0, 1); err != nil {
		return nil, errors.Join(fmt.Errorf("trying the push store: %w", err), client.Close())
	}
	client.warnOfLoss(ctx, "records of push notifications")
	return s, nil
}

// usable says whether a call can be made at all.
func (s *PushStore) usable(ctx context.Context) error {
	return s.client.call(ctx, func(context.Context) error { return nil })
}

// pushSpeed is how many bytes of values give an Apply another second, besides callTimeout.
const pushSpeed = 4 << 20

// Apply implements storage.PushStore.
func (s *PushStore) Apply(ctx context.Context, changes ...storage.PushChange) error {
	if err := storage.CheckPushChanges(changes); err != nil {
		return err
	}
	size := 0
	for i := range changes {
		size += len(changes[i].Value)
	}
	timeout := callTimeout + time.Duration(size/pushSpeed)*time.Second
	return s.client.within(ctx, timeout, func(ctx context.Context) error {
		keys, args := s.applyWords(changes)
		if len(keys) == 0 {
			return nil
		}
		reply, err := s.client.run(ctx, applyPush, keys, args...)
		if err != nil {
			return err
		}
		word, _, err := answered(reply)
		switch {
		case err != nil:
			return err
		case word == "conflict":
			return fmt.Errorf("%s: a condition does not hold: %w", s.client.place, storage.ErrConflict)
		}
		return nil
	})
}

// Check asks the server, of a cluster every master.
func (s *PushStore) Check(ctx context.Context) error { return s.client.check(ctx, s.prefix) }

// Close gives the connections back. The records stay.
func (s *PushStore) Close() error { return s.client.Close() }

var (
	_ storage.PushStore = (*PushStore)(nil)
	_ storage.Checker   = (*PushStore)(nil)
)
