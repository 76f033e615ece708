package push

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// runBatch sends what is due of a batch.
func (p *Pipeline) runBatch(ctx context.Context, kind Kind, j storage.Job) error {
	t, err := readTask(j.Payload)
	if err != nil {
		p.board.Metrics.retryMalformed.WithLabelValues(kind.Key(), "unreadable").Inc()
		return err
	}
	p.gauge.done(queueDeliveries+kind.Key(), t.ReadyMS)
	m, waited := p.board.Metrics, max(ago(t.ReadyMS, p.nowMS()), 0)
	leave, ok := p.board.fair.enter(kind, t.App, p.settings.Workers)
	if !ok {
		// Others of the app are sent, and other apps have their turn.
		return later("other batches of the app are sent", 200*time.Millisecond+rand.N(400*time.Millisecond))
	}
	defer leave()
	m.fairDispatched.WithLabelValues(kind.Key(), m.app(t.App)).Inc()
	m.starvation.WithLabelValues(kind.Key(), m.app(t.App)).Set(waited.Seconds())
	records, err := p.settings.Store.Get(ctx, batchKey(t.App, t.Publish, t.Batch))
	if err != nil {
		return fmt.Errorf("reading a batch: %w", err)
	}
	if records[0].Version == 0 {
		return nil
	}
	b, err := decodeBatch(&records[0])
	if err != nil {
		return err
	}
	now := p.nowMS()
	switch {
	case b.Closed:
		return p.finish(ctx, t.App, t.Publish)
	case p.claimed(b.Owner, b.Until):
		return nil // it is being sent, and found again if that ends midway
	case b.NextMS > now:
		return later("it is tried again later", time.Duration(b.NextMS-now)*time.Millisecond)
	}
	name, end := p.claim()
	defer end()
	d := &dispatch{Pipeline: p, owner: name, kind: kind, task: t, batch: b, version: records[0].Version}
	err = d.run(ctx)
	if errors.Is(err, storage.ErrConflict) {
		p.board.Metrics.conflicts.WithLabelValues("batch").Inc()
		return nil // somebody else has it
	}
	return err
}

// dispatch is one run of a batch.
type dispatch struct {
	*Pipeline
	task
	owner   string
	kind    Kind
	batch   *batch
	version uint64 // of the batch's record

	pub     *publish
	in      *intent
	notices []notice
	results []result
	sender  Sender
	link    *link
	lane    *lane
	payload formed
}

// formed is the payload of the batch, which is the same for all recipients.
type formed struct {
	content  *Content
	payload  []byte
	override bool
	err      error
}

func (d *dispatch) run(ctx context.Context) error {
	var err error
	if d.pub, _, err = d.state(ctx, d.App, d.Publish); err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	if d.link, err = d.linkOf(ctx, d.App, d.kind); err != nil && !errors.As(err, new(*materialError)) {
		return err
	}
	if d.link != nil {
		d.sender = d.link.sender
		d.lane = d.board.laneOf(d.kind, d.App, d.link.name, &d.settings)
		if wait := d.pause(); wait > 0 {
			d.board.Metrics.deferred.WithLabelValues(d.kind.Key(), d.board.Metrics.app(d.App)).Inc()
			return later("nothing is sent with these credentials for now", min(wait, 10*time.Second)+rand.N(time.Second))
		}
	}
	unusable := err
	// From here on nobody else sends it.
	if err := d.save(ctx, nil, counts{}); err != nil {
		return err
	}
	if d.pub == nil {
		return d.drop(ctx)
	}
	if d.in, err = d.intent(ctx, d.App, d.Publish); errors.Is(err, storage.ErrNotFound) {
		return d.drop(ctx)
	} else if err != nil {
		return err
	}
	if d.notices, d.results, err = d.loadBatch(ctx, d.App, d.Publish, d.Batch, d.batch); errors.Is(err, storage.ErrNotFound) {
		return d.drop(ctx)
	} else if err != nil {
		return err
	}
	d.form()
	if unusable != nil {
		d.payload.err = unusable
	}
	return d.sendDue(ctx)
}

// form makes the payload.
func (d *dispatch) form() {
	f := &d.payload
	if f.content, f.err = RenderContent(&d.in.Payload); f.err != nil {
		return
	}
	f.payload, f.override, f.err = d.Pipeline.form(d.kind, f.content, d.in.Overrides)
}

// drop ends a batch whose publish is gone.
func (d *dispatch) drop(ctx context.Context) error {
	d.settings.Log.Warn("a batch of push notifications is dropped, because its publish is gone", zap.String("app", d.App), zap.String("batch", d.Batch))
	d.batch.Closed = true
	return d.save(ctx, nil, counts{})
}

// sendDue sends all notices that are due, with some requests at once, and keeps what comes
// of them while others are under way.
func (d *dispatch) sendDue(ctx context.Context) error {
	begun := time.Now()
	m := d.board.Metrics
	busy := m.poolBusy.WithLabelValues(d.kind.Key())
	busy.Inc()
	defer busy.Dec()
	work, cut := context.WithCancel(ctx)
	defer cut()
	r := newRecorder(d, cut)
	r.flying.Go(func() { r.keepOn(context.WithoutCancel(ctx)) })
	var running sync.WaitGroup
	slots := make(chan struct{}, d.settings.Outbound)
	now := d.nowMS()
	for _, part := range d.due(now) {
		devices := d.devicesOf(work, part)
		if devices == nil && work.Err() == nil {
			r.unread = true
			break
		}
		for _, i := range part {
			if !d.acquire(work, slots) {
				break
			}
			running.Go(func() {
				defer func() { <-slots }()
				defer func() {
					if v := recover(); v != nil {
						d.settings.Log.Error("recovered from a panic", zap.String("in", "sending a push notification"), zap.Any("panic", v), zap.Stack("stack"))
						r.add(i, Result{Outcome: Retryable, Class: UnknownFailure, Reason: "sending it has failed inside the server"}, nil)
					}
				}()
				result, device := d.attempt(work, i, devices)
				r.add(i, result, device)
			})
		}
		if work.Err() != nil || d.paused() {
			break
		}
	}
	running.Wait()
	r.close()
	m.duration.WithLabelValues(d.kind.Key(), m.app(d.App)).Observe(time.Since(begun).Seconds())
	if r.err != nil {
		return r.err
	}
	return d.leave(context.WithoutCancel(ctx), r)
}

// pause is how long the credentials are not to be used. What has expired does not wait for
// that, because nobody is asked about it.
func (d *dispatch) pause() time.Duration {
	now := d.now()
	if d.lane == nil || d.pub != nil && d.pub.ExpiresMS <= now.UnixMilli() {
		return 0
	}
	return d.lane.breaker.wait(now)
}

func (d *dispatch) paused() bool { return d.pause() > 0 }

// acquire waits for a slot of the batch.
func (d *dispatch) acquire(ctx context.Context, slots chan struct{}) bool {
	if d.paused() {
		return false
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// due are the numbers of notices to send now, in parts whose devices are read together.
func (d *dispatch) due(now int64) (parts [][]int) {
	const most = 100
	var part []int
	for i := range d.notices {
		if r := &d.results[i]; r.End != "" || r.NextMS > now {
			continue
		}
		if part = append(part, i); len(part) == most {
			parts, part = append(parts, part), nil
		}
	}
	if len(part) > 0 {
		parts = append(parts, part)
	}
	return parts
}

// devicesOf reads the devices of notices, by id. It is nil if they cannot be read.
func (d *dispatch) devicesOf(ctx context.Context, part []int) map[string]*Device {
	var ids []string
	for _, i := range part {
		if id := d.notices[i].Device; id != "" {
			ids = append(ids, id)
		}
	}
	devices := make(map[string]*Device, len(ids))
	if len(ids) == 0 {
		return devices
	}
	all, err := d.settings.Registry.LoadDevices(ctx, d.App, ids)
	if err != nil {
		d.settings.Log.Warn("the devices of a batch cannot be read", zap.String("app", d.App), zap.Error(err))
		return nil
	}
	for i, device := range all {
		if device != nil {
			devices[ids[i]] = device
		}
	}
	return devices
}

// leave says what is left to do of the batch, and gives it back.
func (d *dispatch) leave(ctx context.Context, r *recorder) error {
	next, open := int64(0), false
	for i := range d.results {
		if r := &d.results[i]; r.End == "" {
			open = true
			if next == 0 || r.NextMS < next {
				next = r.NextMS
			}
		}
	}
	now := d.nowMS()
	if open && next <= now {
		next = now // it was cut off, or is paused
		if r.unread {
			next = now + 1000
		}
		if wait := d.pause(); wait > 0 {
			next = now + min(wait, 10*time.Second).Milliseconds()
		}
	}
	d.batch.NextMS, d.batch.Closed = next, !open
	d.batch.Owner, d.batch.Until = "", 0
	if err := d.write(ctx, nil, counts{}); err != nil {
		return err
	}
	if !open {
		return d.finish(ctx, d.App, d.Publish)
	}
	return later("some of it is tried again later", time.Duration(max(next-now, 0))*time.Millisecond)
}
