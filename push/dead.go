package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// deadLetter is the record of a notification that has failed for good, or of a batch some
// of which the provider has refused.
type deadLetter struct {
	ID       string `json:"id"`
	Publish  string `json:"publish"`
	Provider Kind   `json:"provider,omitempty"`
	Stage    string `json:"stage"`
	Key      string `json:"key"`
	Reason   string `json:"reason"`
	AtMS     int64  `json:"at"`
	// Notice is what can be sent again, and nil in a marker.
	Notice *notice `json:"notice,omitempty"`
	// Replayed is how often that was done.
	Replayed int `json:"replayed,omitempty"`
}

// DeadLetterView is one in a list (section 13).
type DeadLetterView struct {
	ID           string `json:"deadLetterId"`
	AppID        string `json:"appId"`
	PublishID    string `json:"publishId"`
	Provider     Kind   `json:"provider,omitempty"`
	Stage        string `json:"stage"`
	Key          string `json:"key"`
	Reason       string `json:"reason"`
	OccurredAtMS int64  `json:"occurredAtMs"`
	Replayable   bool   `json:"replayable"`
	Replayed     int    `json:"replayed,omitempty"`
}

// DeadLetterFilter says which dead letters are listed. Zero members leave out nothing.
type DeadLetterFilter struct {
	Provider         Kind
	SinceMS, UntilMS int64 // inclusive
}

// letter is that of a notice.
func (d *dispatch) letter(i int, reason string, now int64, r *result) *deadLetter {
	n := d.notices[i]
	name := retryKey(d.App, d.Publish, d.kind, d.Batch, deliveryKey(d.App, d.Publish, d.kind, d.Batch, n.Hash), r.Attempt)
	l := &deadLetter{Publish: d.Publish, Provider: d.kind, Stage: "RetrySchedule", Key: name, Reason: reason, AtMS: now, Notice: &n}
	if r.Class != "" {
		l.Reason += ": " + string(r.Class)
	}
	l.ID = l.name(d.App)
	d.meta("dead-letter", d.App, d.Publish, d.kind, reason)
	return l
}

// marker tells that a provider has refused notifications of a batch.
func (d *dispatch) marker(r *Result, now int64) *deadLetter {
	l := &deadLetter{Publish: d.Publish, Stage: "delivery_result", Key: d.Publish + ":" + d.Batch, Reason: string(r.Class) + ": " + cut(r.Reason, keptReason), AtMS: now}
	l.ID = l.name(d.App)
	return l
}

func (l *deadLetter) name(app string) string {
	return Hash(strings.Join([]string{app, l.Publish, l.Stage, l.Key, l.Reason, fmt.Sprint(l.AtMS)}, "\x00"))
}

// place is the name of a record in a list that is in the order of time.
func place(ms int64, id string) string { return fmt.Sprintf("%020d:%s", ms, id) }

func (d *dispatch) letterChange(l *deadLetter) storage.PushChange {
	return set(key(d.App, tableDead, "", place(l.AtMS, l.ID)), l, l.AtMS+d.settings.EventTTL.Milliseconds())
}

func (l *deadLetter) view(app string) DeadLetterView {
	return DeadLetterView{l.ID, app, l.Publish, l.Provider, l.Stage, l.Key, l.Reason, l.AtMS, l.Notice != nil, l.Replayed}
}

// DeadLetters lists dead letters of an app, oldest first, from those after a position on.
// next is the position of the last one if there are more.
func (p *Pipeline) DeadLetters(ctx context.Context, app string, f DeadLetterFilter, after string, limit int) (views []DeadLetterView, next string, err error) {
	if after == "" && f.SinceMS > 0 {
		after = place(f.SinceMS, "")
	}
	group := ""
	for {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableDead, Group: &group, AfterName: after, Limit: limit + 1})
		if err != nil {
			return nil, "", fmt.Errorf("listing dead letters: %w", err)
		}
		for i := range records {
			var l deadLetter
			if err := decode(&records[i], &l); err != nil {
				return nil, "", err
			}
			if f.UntilMS > 0 && l.AtMS > f.UntilMS {
				return views, "", nil
			}
			if l.AtMS < f.SinceMS || f.Provider != "" && l.Provider != f.Provider {
				after = records[i].Key.Name
				continue
			}
			if len(views) == limit {
				return views, after, nil
			}
			after = records[i].Key.Name
			views = append(views, l.view(app))
		}
		if len(records) <= limit {
			return views, "", nil
		}
	}
}

// maxReplays is how often a replay begins anew because its publish has changed meanwhile.
const maxReplays = 5

// Replay sends a dead letter again, and returns the id of the batch in which it is.
func (p *Pipeline) Replay(ctx context.Context, app, id string) (batchID string, err error) {
	var first *deadLetter
	for range maxReplays {
		record, l, err := p.findLetter(ctx, app, id)
		if err != nil {
			return "", err
		}
		if first == nil {
			first = l
		} else if l.Replayed != first.Replayed {
			break // by somebody else
		}
		if batchID, err = p.replay(ctx, app, record, *l); !errors.Is(err, storage.ErrConflict) {
			return batchID, err
		}
	}
	return "", refuse(http.StatusConflict, "the dead letter is being sent again")
}

func (p *Pipeline) replay(ctx context.Context, app string, record *storage.PushRecord, l deadLetter) (batchID string, err error) {
	if l.Notice == nil {
		return "", refuse(http.StatusBadRequest, "dead-letter does not retain an original queue payload")
	}
	pub, pubRecord, err := p.state(ctx, app, l.Publish)
	if errors.Is(err, storage.ErrNotFound) {
		return "", refuse(http.StatusBadRequest, "the publish of the dead letter is not kept any more")
	} else if err != nil {
		return "", err
	}
	if !p.active[l.Provider] {
		return "", refuse(http.StatusServiceUnavailable, fmt.Sprintf("the provider %s is not enabled", l.Provider))
	}
	now := p.nowMS()
	l.Replayed++
	name := fmt.Sprintf("replay-%s-%d", l.ID[:16], l.Replayed)
	// What is sent again is good for as long as it was at first.
	pub.ExpiresMS = max(pub.ExpiresMS, now+p.settings.DefaultTTL.Milliseconds())
	again := put(key(app, tablePublishes, "", pub.ID), pubRecord.Version, pub, pubRecord.Due)
	again.Counts[countReplayed] = 1
	err = p.settings.Store.Apply(ctx,
		put(record.Key, record.Version, l, record.Due),
		again,
		set(key(app, tableExpiries, "", pub.ID), struct{}{}, now+p.settings.StatusTTL.Milliseconds()),
		set(key(app, tableJobs, pub.ID, name), []notice{*l.Notice}, 0),
		put(batchKey(app, pub.ID, name), 0, &batch{Provider: l.Provider, Size: 1, FirstMS: now, Replay: true}, now+p.settings.RepairAge.Milliseconds()))
	if err != nil {
		return "", fmt.Errorf("sending a dead letter again: %w", err)
	}
	p.enqueue(ctx, p.batchJob(app, pub.ID, name, l.Provider))
	p.audit("deadLetterReplay", app, l.ID)
	return name, nil
}

func (p *Pipeline) findLetter(ctx context.Context, app, id string) (*storage.PushRecord, *deadLetter, error) {
	group, after := "", ""
	for {
		records, err := p.settings.Store.List(ctx, recordQuery{App: app, Table: tableDead, Group: &group, AfterName: after, Limit: 500})
		if err != nil {
			return nil, nil, fmt.Errorf("looking for a dead letter: %w", err)
		}
		for i := range records {
			if name := records[i].Key.Name; strings.HasSuffix(name, ":"+id) {
				l := new(deadLetter)
				return &records[i], l, decode(&records[i], l)
			}
		}
		if len(records) < 500 {
			return nil, nil, fmt.Errorf("dead letter: %w", storage.ErrNotFound)
		}
		after = records[len(records)-1].Key.Name
	}
}
