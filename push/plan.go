package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// planner plans one publish.
type planner struct {
	*Pipeline
	owner   string
	app     string
	pub     *publish
	version uint64
	in      *intent
	seen    seen
	present func(user string) bool
	// planned is how many recipients this run has planned, and leaving says that it ends.
	planned int64
	leaving bool
}

// runPlan plans a publish as far as it can, from where it was left.
func (p *Pipeline) runPlan(ctx context.Context, j storage.Job) error {
	t, err := readTask(j.Payload)
	if err != nil {
		p.board.Metrics.retryMalformed.WithLabelValues("", "unreadable").Inc()
		return err
	}
	p.gauge.done(queuePublishes, t.ReadyMS)
	begun := time.Now()
	defer func() { p.board.Metrics.planner.Observe(time.Since(begun).Seconds()) }()
	pub, record, err := p.state(ctx, t.App, t.Publish)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil
	case err != nil:
		return err
	case ended(pub.State) || pub.Plan.Done:
		return p.finish(ctx, t.App, t.Publish)
	}
	now := p.nowMS()
	if wait := pub.NotBeforeMS - now; wait > 0 {
		return later("its time has not come", time.Duration(wait)*time.Millisecond)
	}
	if p.claimed(pub.Plan.Owner, pub.Plan.Until) {
		return nil // it is being planned, and found again if that ends midway
	}
	if pub.State == Queued && pub.NotBeforeMS > pub.AcceptedMS {
		p.board.Metrics.scheduled.WithLabelValues("begun").Inc()
		p.board.Metrics.schedulerLag.Set(ago(pub.NotBeforeMS, now).Seconds())
	}
	name, end := p.claim()
	defer end()
	w := &planner{Pipeline: p, owner: name, app: t.App, pub: pub, version: record.Version}
	err = w.run(ctx)
	var fault *FieldError
	switch {
	case errors.Is(err, storage.ErrConflict):
		return nil // somebody else plans it, or it has been cancelled
	case errors.As(err, &fault) || errors.Is(err, errTooMany):
		return w.fail(ctx, err.Error())
	}
	return err
}

func (w *planner) run(ctx context.Context) (err error) {
	first := w.pub.State == Queued
	w.pub.State = Planning
	if err := w.save(ctx, counts{}); err != nil {
		return err
	}
	if w.in, err = w.intent(ctx, w.app, w.pub.ID); err != nil {
		return err
	}
	if w.pub.ExpiresMS <= w.nowMS() && first {
		return w.fail(ctx, "it expired before it could be planned")
	}
	if w.seen, err = w.seenSoFar(ctx, w.app, w.pub, w.in); err != nil {
		return err
	}
	if err := w.look(ctx); err != nil {
		return err
	}
	if !first {
		w.again(ctx)
	}
	for {
		page, next, done, err := w.page(ctx, w.app, w.in, w.pub.Plan.At)
		switch {
		case err != nil:
			return err
		case done:
			return w.done(ctx)
		}
		if err := w.plan(ctx, page, next); err != nil {
			return err
		}
		if w.pub.Regime == shardPath && w.planned >= w.settings.ShardSize || ctx.Err() != nil {
			w.leaving = true
			if err := w.save(context.WithoutCancel(ctx), counts{}); err != nil {
				return err
			}
			return later("others are planned in between", 0)
		}
	}
}

// look asks who is present, if that matters.
func (w *planner) look(ctx context.Context) error {
	if w.in.Suppress == nil || w.settings.Presence == nil {
		return nil
	}
	present, err := w.settings.Presence.Present(ctx, w.app, w.in.Suppress.Channel)
	if err != nil {
		return fmt.Errorf("asking who is present: %w", err)
	}
	w.present = present
	return nil
}

// save writes how far the planning is, and claims the publish for some time.
func (w *planner) save(ctx context.Context, c counts, more ...storage.PushChange) error {
	now := w.nowMS()
	plan := &w.pub.Plan
	plan.Owner, plan.Until = w.owner, now+claimTime.Milliseconds()
	if w.leaving {
		plan.Owner, plan.Until = "", now
	}
	due := now + claimTime.Milliseconds() + 1000
	change := put(key(w.app, tablePublishes, "", w.pub.ID), w.version, w.pub, due)
	change.Counts = c
	bounded, cancel := soon(ctx)
	defer cancel()
	if err := w.settings.Store.Apply(bounded, append([]storage.PushChange{change}, more...)...); err != nil {
		return fmt.Errorf("keeping what has been planned: %w", err)
	}
	w.version = change.Version
	return nil
}

// group is a batch in the making.
type group struct {
	kind    Kind
	notices []notice
	bytes   int
}

// plan puts a page of recipients into batches.
func (w *planner) plan(ctx context.Context, page []somebody, next spot) error {
	var (
		c       counts
		open    = map[Kind]*group{}
		batches []*group
	)
	for i := range page {
		s := &page[i]
		if s.device != nil && s.device.State == Failed {
			continue
		}
		if s.device != nil && w.present != nil && s.device.ClientID != "" && w.present(s.device.ClientID) {
			c[countSuppressed]++
			continue
		}
		to := s.recipient()
		hash := to.TokenHash()[:shortHash]
		fresh, err := w.seen.first(hash)
		if err != nil {
			return err
		}
		if !fresh {
			w.board.Metrics.duplicates.Inc()
			continue
		}
		kind := to.Kind()
		c[countPlanned]++
		if !w.active[kind] {
			c[countDispatched]++
			c[countFailed]++
			w.pub.Reason = fmt.Sprintf("the provider %s is not enabled", kind)
			continue
		}
		g := open[kind]
		if g == nil {
			g = &group{kind: kind}
			open[kind] = g
			batches = append(batches, g)
		}
		if full := g.add(s, hash); full {
			delete(open, kind)
		}
	}
	w.planned += c[countPlanned]
	return w.keepBatches(ctx, batches, c, next)
}

// add puts a recipient into the batch, and reports whether that is full.
func (g *group) add(s *somebody, hash string) bool {
	n := notice{Hash: hash}
	g.bytes += shortHash + 32
	if s.device != nil {
		n.Device = s.device.ID
		g.bytes += len(n.Device)
	} else {
		n.Direct = s.direct
		g.bytes += len(raw(s.direct))
	}
	g.notices = append(g.notices, n)
	return len(g.notices) >= maxBatch || g.bytes >= maxBatchBytes
}

// keepBatches writes the batches of a page with the place after it, in one change, and
// puts them into the queue.
func (w *planner) keepBatches(ctx context.Context, batches []*group, c counts, next spot) error {
	now := w.nowMS()
	var (
		changes []storage.PushChange
		jobs    []storage.Job
	)
	for _, g := range batches {
		w.pub.Plan.Batches++
		name := batchName(w.pub, g.kind, w.pub.Plan.At.Target, w.pub.Plan.Batches)
		changes = append(changes,
			set(key(w.app, tableJobs, w.pub.ID, name), g.notices, 0),
			put(batchKey(w.app, w.pub.ID, name), 0, &batch{Provider: g.kind, Size: len(g.notices), FirstMS: now}, now+w.settings.RepairAge.Milliseconds()))
		jobs = append(jobs, w.batchJob(w.app, w.pub.ID, name, g.kind))
		w.board.Metrics.emitted.WithLabelValues(g.kind.Key(), w.board.Metrics.app(w.app)).Add(float64(len(g.notices)))
	}
	w.pub.Plan.At = next
	if err := w.save(ctx, c, changes...); err != nil {
		return err
	}
	w.enqueue(ctx, jobs...)
	return nil
}

// again puts batches into the queue which a run before this one may not have put there.
func (w *planner) again(ctx context.Context) {
	group, after := w.pub.ID, ""
	for {
		records, err := w.settings.Store.List(ctx, recordQuery{App: w.app, Table: tableBatches, Group: &group, AfterName: after, Limit: 100})
		if err != nil || len(records) == 0 {
			return // they are found later
		}
		var jobs []storage.Job
		for i := range records {
			if b, err := decodeBatch(&records[i]); err == nil && !b.Closed && b.Results == 0 && b.Owner == "" {
				jobs = append(jobs, w.batchJob(w.app, w.pub.ID, records[i].Key.Name, b.Provider))
			}
		}
		w.enqueue(ctx, jobs...)
		after = records[len(records)-1].Key.Name
	}
}

// done ends the planning.
func (w *planner) done(ctx context.Context) error {
	w.pub.State, w.pub.Plan.Done = Dispatching, true
	if err := w.save(ctx, counts{}); err != nil {
		return err
	}
	return w.finish(ctx, w.app, w.pub.ID)
}

// fail ends a publish that cannot be planned.
func (w *planner) fail(ctx context.Context, reason string) error {
	w.settings.Log.Warn("a push publish cannot be planned", zap.String("app", w.app), zap.String("publish", w.pub.ID), zap.String("reason", reason))
	state := FailedPublish
	if w.pub.ExpiresMS <= w.nowMS() {
		state = ExpiredPublish
	}
	return w.conclude(ctx, w.app, w.pub, w.version, state, reason)
}
