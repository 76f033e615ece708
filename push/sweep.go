package push

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// sweep looks into the store for what is due until the pipeline ends: publishes whose time
// comes, work whose job was lost, and records that are old.
func (p *Pipeline) sweep() {
	tick := time.NewTicker(p.settings.Tick)
	defer tick.Stop()
	var repaired, cleaned time.Time
	for {
		select {
		case <-tick.C:
		case <-p.life.Done():
			return
		}
		now := time.Now()
		p.chore("scheduler", p.schedule)
		if p.settings.RepairEvery > 0 && now.Sub(repaired) >= p.settings.RepairEvery {
			repaired = now
			p.chore("repair", p.repair)
		}
		if p.settings.CleanEvery > 0 && now.Sub(cleaned) >= p.settings.CleanEvery {
			cleaned = now
			begun := time.Now()
			p.chore("cleanup", p.clean)
			p.board.Metrics.cleanTick.Observe(time.Since(begun).Seconds())
		}
		p.board.tidy(now, false)
	}
}

// chore does one of them. What goes wrong is seen, and tried again at the next tick.
func (p *Pipeline) chore(name string, do func(context.Context) error) {
	defer func() {
		if v := recover(); v != nil {
			p.board.Metrics.exits.WithLabelValues("chore", name, "panic").Inc()
			p.settings.Log.Error("recovered from a panic", zap.String("in", "push "+name), zap.Any("panic", v), zap.Stack("stack"))
		}
	}()
	if err := do(p.life); err != nil && p.life.Err() == nil {
		p.board.Metrics.storeErrors.WithLabelValues(name).Inc()
		p.settings.Log.Error("looking after push notifications", zap.String("chore", name), zap.Error(err))
	}
}

// due reads what is due of a table.
func (p *Pipeline) due(ctx context.Context, table string, limit int) ([]storage.PushRecord, error) {
	bounded, cancel := soon(ctx)
	defer cancel()
	return p.settings.Store.Due(bounded, table, p.nowMS(), limit)
}

// apply makes a change of the sweeper. That another node was first is no error.
func (p *Pipeline) apply(ctx context.Context, changes ...storage.PushChange) (done bool, err error) {
	bounded, cancel := soon(ctx)
	defer cancel()
	err = p.settings.Store.Apply(bounded, changes...)
	if errors.Is(err, storage.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// schedule puts publishes into the queue whose time comes soon, or whose job was lost.
func (p *Pipeline) schedule(ctx context.Context) error {
	for {
		records, err := p.due(ctx, tablePublishes, p.settings.RepairBatch)
		if err != nil {
			return err
		}
		progress := false
		for i := range records {
			done, err := p.revive(ctx, &records[i])
			if err != nil {
				return err
			}
			progress = progress || done
		}
		if len(records) < p.settings.RepairBatch || !progress {
			return nil
		}
	}
}

// revive gives a publish that is due a job.
func (p *Pipeline) revive(ctx context.Context, r *storage.PushRecord) (bool, error) {
	pub, _, err := decodePublish(r)
	if err != nil {
		p.board.Metrics.skipped.WithLabelValues("unreadable").Inc()
		return p.apply(ctx, remove(r.Key, r.Version)) // counters of one that is gone
	}
	app, now := r.Key.App, p.nowMS()
	p.board.Metrics.scanned.WithLabelValues("publish").Inc()
	if ended(pub.State) {
		return p.apply(ctx, put(r.Key, r.Version, pub, 0))
	}
	if pub.Plan.Done {
		if err := p.finish(ctx, app, pub.ID); err != nil {
			return false, err
		}
		return p.stuck(ctx, r, pub)
	}
	delay := time.Duration(max(pub.NotBeforeMS-now, 0)) * time.Millisecond
	done, err := p.apply(ctx, put(r.Key, r.Version, pub, max(now, pub.NotBeforeMS)+p.settings.RepairAge.Milliseconds()))
	if done {
		if delay == 0 && ago(pub.NotBeforeMS, now) > horizon && ago(pub.AcceptedMS, now) > p.settings.RepairAge {
			p.board.Metrics.repaired.WithLabelValues("publish_log", "lost").Inc()
		}
		p.enqueue(ctx, p.planJob(app, pub.ID, delay))
	}
	return done, err
}

// stuck looks after a publish that has been planned: whether its batches are sent is looked
// at elsewhere. One that is older than anything of it can be is ended.
func (p *Pipeline) stuck(ctx context.Context, r *storage.PushRecord, pub *publish) (bool, error) {
	now := p.nowMS()
	begun := max(pub.AcceptedMS, pub.NotBeforeMS)
	if ago(begun, now) > p.settings.Retry.MaxElapsed+time.Hour && now > pub.ExpiresMS+time.Hour.Milliseconds() {
		err := p.conclude(ctx, r.Key.App, pub, r.Version, FailedPublish, "it did not come to an end in time")
		if errors.Is(err, storage.ErrConflict) {
			return true, nil
		}
		return err == nil, err
	}
	return p.apply(ctx, put(r.Key, r.Version, pub, now+5*time.Minute.Milliseconds()))
}

// repair puts batches into the queue that nobody sends, and removes devices that are to go.
func (p *Pipeline) repair(ctx context.Context) error {
	for {
		records, err := p.due(ctx, tableBatches, p.settings.RepairBatch)
		if err != nil {
			return err
		}
		progress := false
		for i := range records {
			r := &records[i]
			b, err := decodeBatch(r)
			if err != nil {
				p.board.Metrics.skipped.WithLabelValues("unreadable").Inc()
				continue
			}
			p.board.Metrics.scanned.WithLabelValues("batch").Inc()
			done, err := p.apply(ctx, put(r.Key, r.Version, b, p.nowMS()+p.settings.RepairAge.Milliseconds()))
			if err != nil {
				return err
			}
			if done && !b.Closed {
				p.board.Metrics.repaired.WithLabelValues("delivery_jobs_"+b.Provider.Key(), "lost").Inc()
				p.enqueue(ctx, p.batchJob(r.Key.App, r.Key.Group, r.Key.Name, b.Provider))
			}
			progress = progress || done
		}
		if len(records) < p.settings.RepairBatch || !progress {
			return p.removeDevices(ctx)
		}
	}
}

// removeDevices removes those whose addresses are invalid, and those that are stale.
func (p *Pipeline) removeDevices(ctx context.Context) error {
	records, err := p.due(ctx, tableDevices, p.settings.RepairBatch)
	if err != nil {
		return err
	}
	now := p.now()
	for i := range records {
		r := &records[i]
		d, err := p.settings.Registry.readDevice(r)
		if err == nil && d.InvalidAtMS > 0 && p.board.brake.holds(r.Key.App, d.Recipient.Kind(), now) {
			later := storage.PushChange{Op: storage.PushPut, Key: r.Key, If: &r.Version, Version: storage.NewPushVersion(), Value: r.Value, Due: now.Add(time.Hour).UnixMilli()}
			if _, err := p.apply(ctx, later); err != nil {
				return err
			}
			continue
		}
		swept, err := p.settings.Registry.SweepDevice(ctx, *r)
		if err != nil {
			return err
		}
		if swept == SweptStale {
			p.board.Metrics.stale.WithLabelValues(p.board.Metrics.app(r.Key.App)).Inc()
		}
	}
	return nil
}
