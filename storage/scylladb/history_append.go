package scylladb

import (
	"context"
	"errors"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// errUnknown says that an append may have been made or not.
var errUnknown = errors.New("it is not known whether the entries were added, since others have changed the log meanwhile")

// Append implements storage.History. Entries of one log are added in transactions of
// up to maxBatch entries.
func (h *History) Append(ctx context.Context, appends []*storage.LogAppend) {
	ctx, done, err := h.begin(ctx, callTimeout)
	if err != nil {
		for _, a := range appends {
			a.Err = err
		}
		return
	}
	defer done()
	lists := map[storage.LogKey][]*storage.LogAppend{}
	var keys []storage.LogKey
	for _, a := range appends {
		if a.Err = a.Check(); a.Err == nil && len(a.Payload) > maxPayload {
			a.Err = fmt.Errorf("log: an entry of %d bytes, and %d at most: %w", len(a.Payload), maxPayload, storage.ErrTooLarge)
		}
		if a.Err != nil {
			continue
		}
		if lists[a.Key] == nil {
			keys = append(keys, a.Key)
		}
		lists[a.Key] = append(lists[a.Key], a)
	}
	_ = each(len(keys), func(i int) error {
		h.appendTo(ctx, keys[i], lists[keys[i]])
		return nil // they have their errors
	})
}

// appendTo adds entries to one log, in their order.
func (h *History) appendTo(ctx context.Context, key storage.LogKey, list []*storage.LogAppend) {
	unlock, err := h.locks.take(ctx, key)
	if err == nil {
		defer unlock()
	}
	for len(list) > 0 {
		var taken int
		if err == nil {
			w := &writing{h: h, log: logOf(key), list: list}
			taken, err = w.add(ctx)
		}
		if err != nil {
			for _, a := range list {
				a.Err = h.fail(ctx, err)
			}
			return
		}
		list = list[taken:]
	}
}

// writing are entries on their way into a log, over several attempts.
type writing struct {
	h    *History
	log  []byte
	list []*storage.LogAppend
	open []*plan // those of which it is not known yet whether they were carried out
}

// add adds the first ones of the list, and reports how many those are.
//
// The first attempt is planned from what a quorum says, which may be old if other
// data centres write too; the transaction would fail then. Whoever was too slow reads
// with the serial level, and so does who has nothing to write but a refusal, which no
// transaction confirms.
func (w *writing) add(ctx context.Context) (taken int, err error) {
	level := gocql.LocalQuorum
	for n := 1; ; n++ {
		p, err := w.plan(ctx, level)
		switch {
		case errors.Is(err, errHole): // others trim
		case err != nil:
			return 0, err
		case len(p.entries) > 0:
			done, err := w.carryOut(ctx, p)
			if done != nil {
				done.answer(w.list)
				return len(done.verdicts), nil
			}
			if err != nil {
				return 0, err
			}
		case level == gocql.Serial:
			p.answer(w.list)
			return len(p.verdicts), nil
		default:
			level = gocql.Serial
			continue
		}
		if level = gocql.Serial; !pause(ctx, n) {
			return 0, errors.Join(ctx.Err(), err)
		}
	}
}

// carryOut makes the transaction of a plan. It returns the plan that was carried out,
// which may be one of an earlier attempt, or nil if there is to be another attempt.
func (w *writing) carryOut(ctx context.Context, p *plan) (*plan, error) {
	if p.due != nil {
		if err := w.h.addDue(ctx, w.log, *p.due); err != nil {
			return nil, err
		}
	}
	applied, err := w.commit(ctx, p)
	switch {
	case err == nil && applied:
		return p, nil
	case err != nil:
		w.open = append(w.open, p)
	}
	done, unsettled := w.settle(ctx)
	if done != nil || unsettled != nil {
		return done, errors.Join(unsettled, err)
	}
	if _, answered := errors.AsType[gocql.RequestError](err); answered && !isUncertain(err) {
		return nil, err // it would be refused again
	}
	return nil, nil
}

// settle looks for a plan among those of which it is not known whether they were
// carried out that was. It is an error if there is no telling.
func (w *writing) settle(ctx context.Context) (*plan, error) {
	still := w.open[:0]
	for _, p := range w.open {
		f, err := w.fate(ctx, p)
		switch {
		case err != nil:
			return nil, err
		case f == landed:
			return p, nil
		case f == pending:
			still = append(still, p)
		}
	}
	w.open = still
	return nil, nil
}

// fate is what has become of a plan.
type fate int

const (
	pending fate = iota // it was not carried out yet, and may be
	lost                // it never will be
	landed              // it was
)

// fate finds out what has become of a plan. Reading with the serial level ends what
// is under way. All entries of a plan have an id that nothing else has.
func (w *writing) fate(ctx context.Context, p *plan) (fate, error) {
	l, err := w.h.head(ctx, w.log, gocql.Serial)
	if err != nil {
		return pending, err
	}
	first, last := p.entries[0].Serial, p.entries[len(p.entries)-1].Serial
	if l.Stream == p.head.Stream && l.Serial < last {
		if l.Serial < first {
			return pending, nil
		}
		return lost, nil // since another entry is in the place of its first one
	}
	if l.Stream == "" && p.begins {
		return pending, nil
	}
	id, err := w.h.writeID(ctx, w.log, p.head.Stream, last)
	switch {
	case errors.Is(err, errHole): // it was removed, or was never there
		return pending, errUnknown
	case err != nil:
		return pending, err
	case id == p.id:
		return landed, nil
	}
	return lost, nil
}
