package push

import (
	"context"
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// maxConflicts is how often others may be first in a row.
const maxConflicts = 32

var errBusy = errors.New("others have changed the publish each time")

// finish ends a publish, if all of its notifications have ended. Whoever brings the last
// of them to an end calls it after that is in the store, so somebody sees all of them.
func (p *Pipeline) finish(ctx context.Context, app, id string) error {
	for range maxConflicts {
		pub, record, err := p.state(ctx, app, id)
		switch {
		case errors.Is(err, storage.ErrNotFound):
			return nil
		case err != nil:
			return err
		case ended(pub.State) || !pub.Plan.Done || settled(&record.Counts) < record.Counts[countPlanned]:
			return nil
		}
		state, reason := outcome(&record.Counts)
		if reason == "" {
			reason = pub.Reason
		}
		err = p.conclude(ctx, app, pub, record.Version, state, reason)
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
		p.board.Metrics.conflicts.WithLabelValues("publish").Inc()
	}
	p.board.Metrics.exhausted.WithLabelValues("publish").Inc()
	return errBusy
}

// conclude gives a publish a state that it never leaves, and the day on which it is
// forgotten.
func (p *Pipeline) conclude(ctx context.Context, app string, pub *publish, version uint64, state, reason string) error {
	if ended(pub.State) {
		p.board.Metrics.violations.WithLabelValues("status_transition").Inc()
		return nil
	}
	before := *pub
	pub.State, pub.Reason, pub.Plan.Owner, pub.Plan.Until = state, reason, "", 0
	bounded, cancel := soon(ctx)
	defer cancel()
	err := p.settings.Store.Apply(bounded,
		put(key(app, tablePublishes, "", pub.ID), version, pub, 0),
		set(key(app, tableExpiries, "", pub.ID), struct{}{}, p.nowMS()+p.settings.StatusTTL.Milliseconds()))
	if err != nil {
		*pub = before
		return fmt.Errorf("ending a publish: %w", err)
	}
	p.board.Metrics.statuses.WithLabelValues(state, p.board.Metrics.app(app)).Inc()
	p.meta("publish-completed", app, pub.ID, "", state)
	return nil
}
