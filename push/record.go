package push

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// recorder keeps what comes of the notices of a batch. Everything that comes while one
// write is under way is in the next one.
type recorder struct {
	d   *dispatch
	cut func() // stops sending

	mu      sync.Mutex
	waiting []result
	counts  counts
	letters []deadLetter
	devices []func(context.Context)
	reached []*Device
	marker  *deadLetter
	closed  bool
	wake    chan struct{}
	flying  sync.WaitGroup

	// After close: why something could not be kept, and whether devices could not be read.
	err    error
	unread bool
}

func newRecorder(d *dispatch, cut func()) *recorder {
	return &recorder{d: d, cut: cut, wake: make(chan struct{}, 1)}
}

// add takes the result of an attempt.
func (r *recorder) add(i int, res Result, device *Device) {
	d := r.d
	d.observe(&res)
	if res.Outcome == Cancelled {
		return // it has not been tried
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := d.settle(i, &res)
	d.results[i] = s.result
	r.waiting = append(r.waiting, s.result)
	for n, more := range s.counts {
		r.counts[n] += more
	}
	if s.letter != nil {
		r.letters = append(r.letters, *s.letter)
	}
	if s.refused && r.marker == nil {
		r.marker = d.marker(&res, s.result.AtMS)
	}
	if device != nil && res.Outcome == Accepted {
		r.reached = append(r.reached, device)
	} else if device != nil {
		if after := d.afterwards(device, &res); after != nil {
			r.devices = append(r.devices, after)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// keepOn writes results until close.
func (r *recorder) keepOn(ctx context.Context) {
	renew := time.NewTicker(claimTime / 3)
	defer renew.Stop()
	for {
		claim := false
		select {
		case <-r.wake:
		case <-renew.C:
			claim = true
		}
		for {
			r.mu.Lock()
			results, c, letters, devices, reached, closed := r.waiting, r.counts, r.letters, r.devices, r.reached, r.closed
			if r.marker != nil && !r.d.batch.Marked { // nobody else writes the batch meanwhile
				r.d.batch.Marked = true
				letters = append(letters, *r.marker)
			}
			r.waiting, r.counts, r.letters, r.devices, r.reached = nil, counts{}, nil, nil, nil
			r.mu.Unlock()
			if len(results) == 0 && !claim {
				if closed {
					return
				}
				break
			}
			claim = false
			if r.err == nil {
				if r.err = r.d.saveAll(ctx, results, c, letters); r.err != nil {
					r.cut()
				}
			}
			if r.err == nil {
				r.d.note(ctx, devices, reached)
			}
		}
	}
}

// close waits until everything is kept.
func (r *recorder) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.flying.Wait()
}

// saveAll writes results, however many dead letters come with them.
func (d *dispatch) saveAll(ctx context.Context, results []result, c counts, letters []deadLetter) error {
	const most = 50
	var changes []storage.PushChange
	for i := range letters {
		changes = append(changes, d.letterChange(&letters[i]))
	}
	for len(changes) > most { // those are written again if it fails in between, under the same names
		bounded, cancel := soon(ctx)
		err := d.settings.Store.Apply(bounded, changes[:most]...)
		cancel()
		if err != nil {
			return fmt.Errorf("keeping dead letters: %w", err)
		}
		changes = changes[most:]
	}
	return d.save(ctx, results, c, changes...)
}

// save writes results and claims the batch for some time. A conflict says that another has
// it.
func (d *dispatch) save(ctx context.Context, results []result, c counts, more ...storage.PushChange) error {
	d.batch.Owner, d.batch.Until = d.owner, d.nowMS()+claimTime.Milliseconds()
	return d.write(ctx, results, c, more...)
}

func (d *dispatch) write(ctx context.Context, results []result, c counts, more ...storage.PushChange) error {
	changes := more
	if len(results) > 0 {
		changes = append(changes, set(resultKey(d.App, d.Publish, d.Batch, d.batch.Results), results, 0))
		d.batch.Results++
	}
	due := int64(0)
	if !d.batch.Closed {
		due = max(d.batch.Until, d.batch.NextMS+d.settings.RepairAge.Milliseconds()) + 1000
	}
	change := put(batchKey(d.App, d.Publish, d.Batch), d.version, d.batch, due)
	changes = append(changes, change)
	if c != (counts{}) && !d.batch.Replay {
		changes = append(changes, storage.PushChange{Op: storage.PushAdd, Key: key(d.App, tablePublishes, "", d.Publish), Version: storage.NewPushVersion(), Counts: c})
	}
	bounded, cancel := soon(ctx)
	defer cancel()
	err := d.settings.Store.Apply(bounded, changes...)
	if err != nil && !errors.Is(err, storage.ErrConflict) {
		// It may be there all the same, which the version tells.
		d.settings.Log.Error("results of push notifications could not be kept", zap.String("app", d.App), zap.String("batch", d.Batch), zap.Error(err))
		d.board.Metrics.storeErrors.WithLabelValues("results").Inc()
		if known, readErr := d.written(ctx, change.Version); readErr != nil {
			return fmt.Errorf("keeping results: %w", err)
		} else if known {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("keeping results: %w", err)
	}
	d.version = change.Version
	return nil
}

// written reports whether the batch's record has a version.
func (d *dispatch) written(ctx context.Context, version uint64) (bool, error) {
	bounded, cancel := soon(ctx)
	defer cancel()
	records, err := d.settings.Store.Get(bounded, batchKey(d.App, d.Publish, d.Batch))
	if err != nil {
		return false, err
	}
	return records[0].Version == version, nil
}
