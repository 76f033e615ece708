package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Status is that of a publish. One that is not kept is storage.ErrNotFound.
func (p *Pipeline) Status(ctx context.Context, app, id string) (*Status, error) {
	pub, record, err := p.state(ctx, app, id)
	if err != nil {
		return nil, err
	}
	s := &Status{AppID: app, PublishID: pub.ID, State: pub.State, Counters: countersOf(&record.Counts), FanoutRegime: pub.Regime, ErrorReason: pub.Reason}
	if pub.NotBeforeMS > p.nowMS() {
		s.RetryAfterMS = pub.NotBeforeMS
	}
	if pub.State == Queued {
		s.Counters.Planned = pub.Expected
	}
	return s, nil
}

// Cancel ends a publish whose time has not come.
func (p *Pipeline) Cancel(ctx context.Context, app, id string) error {
	for {
		pub, record, err := p.state(ctx, app, id)
		switch {
		case err != nil:
			return err
		case pub.State == CancelledPublish:
			return nil
		case pub.State != Queued:
			return refuse(http.StatusConflict, "the publish is not waiting any more")
		}
		if err = p.conclude(ctx, app, pub, record.Version, CancelledPublish, ""); err == nil {
			p.board.Metrics.scheduled.WithLabelValues("cancelled").Inc()
		}
		if !errors.Is(err, storage.ErrConflict) {
			return err
		}
	}
}

// DeliveryEvent is what somebody reports of a notification (section 8).
type DeliveryEvent struct {
	AppID        string          `json:"appId"`
	PublishID    string          `json:"publishId"`
	EventID      string          `json:"eventId"`
	OccurredAtMS int64           `json:"occurredAtMs"`
	Result       json.RawMessage `json:"result"`
}

// AddEvent keeps a report.
func (p *Pipeline) AddEvent(ctx context.Context, app string, e *DeliveryEvent) error {
	e.AppID = app
	switch {
	case e.PublishID == "" || len(e.PublishID) > maxPublishID:
		return Fault("publishId", "must be of 1 to %d bytes", maxPublishID)
	case e.EventID == "" || len(e.EventID) > 256:
		return Fault("eventId", "must be of 1 to 256 bytes")
	case e.OccurredAtMS <= 0:
		return Fault("occurredAtMs", "must be a time in milliseconds")
	case len(e.Result) == 0 || e.Result[0] != '{' || len(e.Result) > 8192:
		return Fault("result", "must be an object of at most 8192 bytes")
	}
	due := p.nowMS() + p.settings.EventTTL.Milliseconds()
	err := p.settings.Store.Apply(ctx, set(key(app, tableEvents, e.PublishID, place(e.OccurredAtMS, e.EventID)), e, due))
	if err != nil {
		return fmt.Errorf("keeping a delivery event: %w", err)
	}
	return nil
}

// Events lists the reports about a publish, oldest first.
func (p *Pipeline) Events(ctx context.Context, app, id, after string, limit int) (events []json.RawMessage, next string, err error) {
	records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableEvents, Group: &id, AfterName: after, Limit: limit + 1})
	if err != nil {
		return nil, "", fmt.Errorf("listing delivery events: %w", err)
	}
	for i := range records {
		if i == limit {
			return events, records[limit-1].Key.Name, nil
		}
		events = append(events, records[i].Value)
	}
	return events, "", nil
}

// DeliveryView is what has come of one notification.
type DeliveryView struct {
	Provider          Kind   `json:"provider"`
	BatchID           string `json:"batchId"`
	DeviceID          string `json:"deviceId,omitempty"`
	Outcome           string `json:"outcome"`
	Attempt           int    `json:"attempt"`
	AtMS              int64  `json:"atMs,omitempty"`
	NextAttemptAtMS   int64  `json:"nextAttemptAtMs,omitempty"`
	ProviderMessageID string `json:"providerMessageId,omitempty"`
	FailureClass      Class  `json:"failureClass,omitempty"`
	Reason            string `json:"reason,omitempty"`
}

// Deliveries lists what has come of the notifications of a publish, batch by batch. next
// is the batch up to which they are listed, if there are more; one call lists whole
// batches, of at least limit notifications if there are as many.
func (p *Pipeline) Deliveries(ctx context.Context, app, id, after string, limit int) (views []DeliveryView, next string, err error) {
	for {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableBatches, Group: &id, AfterName: after, Limit: 2})
		if err != nil {
			return nil, "", fmt.Errorf("listing batches: %w", err)
		}
		if len(records) == 0 {
			return views, "", nil
		}
		b, err := decodeBatch(&records[0])
		if err != nil {
			return nil, "", err
		}
		after = records[0].Key.Name
		notices, results, err := p.loadBatch(ctx, app, id, after, b)
		if err != nil {
			return nil, "", err
		}
		for i := range notices {
			r := &results[i]
			v := DeliveryView{b.Provider, after, notices[i].Device, r.End, r.Attempt, r.AtMS, r.NextMS, r.MessageID, r.Class, r.Reason}
			if r.End == "" {
				v.Outcome = "waiting"
			}
			views = append(views, v)
		}
		if len(records) == 1 {
			return views, "", nil
		}
		if len(views) >= limit {
			return views, after, nil
		}
	}
}

// Depth is what waits in the queues, by stage.
func (p *Pipeline) Depth(ctx context.Context) (map[string]storage.QueueStats, error) {
	all := map[string]storage.QueueStats{}
	queues := []string{queuePublishes}
	for _, kind := range Kinds {
		if p.active[kind] {
			queues = append(queues, queueDeliveries+kind.Key())
		}
	}
	for _, queue := range queues {
		stats, err := p.settings.Queue.Stats(ctx, queue)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.TrimPrefix(queue, "push."), err)
		}
		all[stageOf(queue)] = stats
	}
	return all, nil
}

func ago(ms, now int64) time.Duration { return time.Duration(now-ms) * time.Millisecond }
