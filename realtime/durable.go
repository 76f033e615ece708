package realtime

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// storeTimeout bounds one write to the history. The driver has a shorter one.
	storeTimeout = 10 * time.Second
	// degraded is the reason why nobody can resume on a channel of which something was
	// delivered and not kept.
	degraded = "history_stream_degraded"
)

// ErrOtherContent says that an event with the same key and other content was
// published before.
var ErrOtherContent = errors.New("another event was published under the same key")

// storeID is the id of a history store, by which it is known that it has not lost
// everything.
type storeID struct {
	mu    sync.Mutex
	store storage.History
	id    string
}

// storeLog is the log whose id is that of the store. No app has an empty id.
var storeLog = storage.LogKey{Channel: "[store]"}

// of is the id of a store, asked again if fresh says so.
func (s *storeID) of(ctx context.Context, store storage.History, fresh bool) (string, error) {
	s.mu.Lock()
	known, id := s.store == store, s.id
	s.mu.Unlock()
	if known && !fresh {
		return id, nil
	}
	id, err := readStoreID(ctx, store)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store, s.id = store, id
	return id, nil
}

// readStoreID reads the id of a store, which gets one if it has none.
func readStoreID(ctx context.Context, store storage.History) (string, error) {
	head, err := store.Head(ctx, storeLog)
	if !errors.Is(err, storage.ErrNotFound) {
		return head.Stream, err
	}
	a := &storage.LogAppend{Key: storeLog, Fresh: protocol.NewMessageID(), Once: "id"}
	store.Append(ctx, []*storage.LogAppend{a})
	if errors.Is(a.Err, storage.ErrExists) {
		return a.Stream, nil // another node was faster
	}
	return a.Stream, a.Err
}

// firstID is the id of the first log of a channel in a store. Nodes agree about it
// before there is a log, so that a client can resume from before the first event.
func firstID(store string, key storage.LogKey) string {
	sum := sha256.Sum256([]byte(store + "\x00" + key.App + "\x00" + key.Channel))
	return protocol.UUID([16]byte(sum[:16]))
}

// durable is the history of a channel as the place where its events are numbered.
type durable struct {
	live Live
	log  history.Log
}

func (l Live) durable(app, channel string, p HistoryPolicy) durable {
	return durable{l, l.historyLog(history.Key(app, channel), p.Retention)}
}

func (l Live) historyLog(key storage.LogKey, r history.Retention) history.Log {
	return history.Log{Store: l.Settings.Drivers.History, Key: key, Retention: r, Now: time.Now().UnixMilli()}
}

func (d durable) head(ctx context.Context) (position, error) {
	head, err := d.log.Store.Head(ctx, d.log.Key)
	if errors.Is(err, storage.ErrNotFound) {
		store, err := d.live.Hub.storeID.of(ctx, d.log.Store, true)
		return position{stream: firstID(store, d.log.Key)}, err
	}
	return positionOf(head), err
}

func positionOf(head storage.LogHead) position {
	p := position{stream: head.Stream, serial: head.Serial, row: head.Row}
	if head.State.Name != "" {
		p.reason = degraded
	}
	return p
}

func (d durable) after(ctx context.Context, serial uint64, limit int) (page eventPage, err error) {
	head, first, err := d.log.First(ctx)
	if errors.Is(err, storage.ErrNotFound) {
		page.head, err = d.head(ctx)
		return page, err
	}
	if err != nil {
		return page, err
	}
	page.head, page.first = positionOf(head), first
	entries, err := d.log.Store.Read(ctx, d.log.Key, head.Stream, storage.LogQuery{From: serial + 1, To: head.Serial, Limit: limit})
	if err != nil {
		return page, err
	}
	for i := range entries {
		e, err := eventOfEntry(d.log.Key, head.Stream, &entries[i])
		if err != nil {
			return page, err
		}
		page.events = append(page.events, e)
	}
	return page, nil
}

// end does nothing: a history is never ended because of what a node did not keep.
func (durable) end(context.Context, string) error { return nil }

// eventOfEntry is the event that an entry keeps.
func eventOfEntry(key storage.LogKey, stream string, entry *storage.LogEntry) (*protocol.Envelope, error) {
	r, err := history.ParseRecord(entry.Payload)
	if err != nil {
		return nil, fmt.Errorf("entry %d of channel %s: %w", entry.Serial, key.Channel, err)
	}
	if r.MessageSerial != "" && entry.IsRow {
		r.HistorySerial = entry.Row
	}
	e := r.Envelope(key.App, stream, entry.Serial)
	e.Channel, e.Version = key.Channel, r.Revision()
	return e, nil
}

// store keeps an event in the history of its channel, which gives it its number. If
// it cannot be kept, it is refused or marked, as the settings say.
func (l Live) store(ctx context.Context, app *storage.App, e *protocol.Envelope, p HistoryPolicy) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	now := time.Now()
	r := history.RecordOf(e, now.UnixMilli())
	r.Publisher = e.Publisher
	a := &storage.LogAppend{Key: history.Key(e.App, e.Channel), At: now.UnixMilli(), Row: true, Keep: p.Retention.Keep()}
	if e.Once != "" {
		a.Once = onceKey("m:", e.Once)
	}
	if p.Versions {
		r.Action, r.MessageSerial, r.VersionAt = protocol.ActionCreate, history.NewSerial(now, l.Settings.NodeID, ""), now.UnixMilli()
		r.VersionSerial, a.Subject = r.MessageSerial, r.MessageSerial
	}
	a.Payload = r.Append(nil)
	waiting := l.Hub.metrics.history.waiting.WithLabelValues(e.App)
	waiting.Inc()
	err := l.append(ctx, a)
	waiting.Dec()
	l.Hub.metrics.history.latency.WithLabelValues(e.App).Observe(float64(time.Since(now).Microseconds()) / 1000)
	switch {
	case err == nil:
		r.HistorySerial = a.Entry.Row
	case errors.Is(err, storage.ErrExists):
		return l.stored(ctx, app, a, r, e)
	case errors.Is(err, storage.ErrTooLarge) || !l.Settings.History.Deliver:
		l.Hub.metrics.history.failures.WithLabelValues(e.App).Inc()
		return err
	default:
		l.Hub.metrics.history.failures.WithLabelValues(e.App).Inc()
		l.Settings.Log.Error("an event is delivered and not kept", zap.String("app", e.App), zap.String("channel", e.Channel), zap.Error(err))
		l.Hub.degrade(a.Key, l.Settings.NodeID)
		e.Unstored = true
		return nil
	}
	l.Hub.metrics.history.writes.WithLabelValues(e.App).Inc()
	e.Stream, e.Serial, e.Version = a.Stream, a.Entry.Serial, r.Revision()
	l.retainSoon(a, p.Retention)
	return nil
}

// stored takes what was published before under the same key, if it is the same event.
// It is sent once more: who has it already knows it by its number.
func (l Live) stored(ctx context.Context, app *storage.App, a *storage.LogAppend, r *history.Record, e *protocol.Envelope) error {
	entries, err := l.Settings.Drivers.History.Read(ctx, a.Key, a.Stream, storage.LogQuery{From: a.Entry.Serial, To: a.Entry.Serial, Limit: 1})
	if err != nil {
		return err
	}
	if len(entries) == 0 || entries[0].At+l.keyTTL(app).Milliseconds() < a.At {
		again := *e
		again.Once = "" // the key has expired
		err := l.store(ctx, app, &again, l.HistoryPolicy(app, e.Channel))
		*e = again
		return err
	}
	known, err := history.ParseRecord(entries[0].Payload)
	switch {
	case err != nil:
		return err
	case !sameEvent(known, r):
		return ErrOtherContent
	}
	before, err := eventOfEntry(a.Key, a.Stream, &entries[0])
	if err != nil {
		return err
	}
	before.Once, before.Kind, before.User, before.Node, before.Seq = e.Once, e.Kind, e.User, e.Node, e.Seq
	*e = *before
	return nil
}

// sameEvent reports whether two records are of one event that was published twice.
func sameEvent(a, b *history.Record) bool {
	return a.Event == b.Event && bytes.Equal(a.Data, b.Data) && a.Except == b.Except && slices.Equal(a.Tags, b.Tags) && bytes.Equal(a.Extras, b.Extras)
}

// onceKey is a key of the length that logs take.
func onceKey(kind, key string) string {
	if len(kind)+len(key) <= storage.MaxLogText {
		return kind + key
	}
	sum := sha256.Sum256([]byte(key))
	return kind + "sha256:" + hex.EncodeToString(sum[:])
}

// keyTTL is how long keys of events count.
func (l Live) keyTTL(app *storage.App) time.Duration {
	if ttl := app.Idempotency.TTL; ttl > 0 {
		return ttl
	}
	return l.Settings.Idempotency.TTL
}

// append adds an entry to a log. The first entry of a log shows whether the store is
// still the one whose id the log has got: it may have lost everything meanwhile.
func (l Live) append(ctx context.Context, a *storage.LogAppend) error {
	store := l.Settings.Drivers.History
	for fresh := false; ; fresh = true {
		id, err := l.Hub.storeID.of(ctx, store, fresh)
		if err != nil {
			return err
		}
		a.Fresh = firstID(id, a.Key)
		store.Append(ctx, []*storage.LogAppend{a})
		if a.Err != nil || a.Entry.Serial > 1 || a.Stream != a.Fresh || fresh {
			return a.Err
		}
		if now, err := l.Hub.storeID.of(ctx, store, true); err != nil || now == id {
			return nil //nolint:nilerr // it is stored; who reads later asks anew
		}
		if err := store.Reset(ctx, a.Key, protocol.NewMessageID()); err != nil {
			return err
		}
	}
}

// adoptEvent gives an event its place that a node has published which keeps no
// history. Of the nodes that try, one succeeds. The caller holds mu.
func (ch *channel) adoptEvent(e *protocol.Envelope) {
	h := ch.app.hub
	h.background(func(ctx context.Context) {
		live, err := h.Live()
		if err != nil {
			return
		}
		defer live.Release()
		kept := *e
		kept.Once = "adopted:" + e.MessageID
		n := ch.numbering(live.Settings)
		if n.counter != countHistory {
			return
		}
		if err := live.store(ctx, ch.app.record().App, &kept, n.history); err != nil {
			live.Settings.Log.Error("keeping an event of another node", zap.String("app", ch.app.id), zap.Error(err))
			kept = *e
			kept.Unstored = true
		}
		ch.publish(&kept)
	})
}

// breakOff takes that something was delivered which nobody keeps: nobody can resume
// any more, and V2 subscribers are told. The caller holds mu.
func (ch *channel) breakOff() {
	s := ch.stream
	if s == nil || s.broken != "" {
		return
	}
	s.broken = degraded
	ch.lose(protocol.ResumePersistenceDown, degraded, position{stream: s.id, serial: s.head})
	s.drop(ch.app.hub, len(s.kept))
}
