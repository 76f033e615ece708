package realtime

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// purgeBatch is the number of logs that are looked at in one round of purging.
	purgeBatch = 1000
	// purgeTimeout bounds what is done to one log.
	purgeTimeout = 30 * time.Second
	// maxUnmarked bounds the channels that wait to be marked as degraded.
	maxUnmarked = 10000
	// markPause is the time between two attempts to mark them.
	markPause = time.Second
)

// keeper looks after the logs of history: what is to go is removed, and what could not
// be kept is noted as soon as the store answers.
type keeper struct {
	hub *Hub

	mu       sync.Mutex
	unmarked map[storage.LogKey]storage.LogState
	// trimming are the logs that are about to be trimmed.
	trimming map[storage.LogKey]struct{}
}

func newKeeper(h *Hub) *keeper {
	return &keeper{hub: h, unmarked: map[storage.LogKey]storage.LogState{}, trimming: map[storage.LogKey]struct{}{}}
}

// run purges and marks until ctx ends.
func (k *keeper) run(ctx context.Context) {
	purge := time.Now().Add(time.Duration(rand.Int64N(int64(time.Minute)) + int64(10*time.Second)))
	tick := time.NewTicker(markPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		k.hub.guard("keeping histories", func() { k.markAll(ctx) })
		if time.Now().Before(purge) {
			continue
		}
		every := k.hub.settings().History.Purge
		// Nodes that share a store take turns by chance.
		purge = time.Now().Add(every/2 + time.Duration(rand.Int64N(int64(max(every, 2)))))
		k.hub.guard("purging histories", func() { k.purge(ctx) })
	}
}

// purge removes what is too old in logs that nobody appends to.
func (k *keeper) purge(ctx context.Context) {
	live, err := k.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	store := live.Settings.Drivers.History
	if store == nil {
		return
	}
	for range 100 { // at most 100,000 logs a round
		keys, err := store.Due(ctx, time.Now(), purgeBatch)
		if err != nil {
			live.Settings.Log.Warn("looking for old entries of histories", zap.Error(err))
			return
		}
		removed := 0
		for _, key := range keys {
			if err := live.retain(ctx, key); err != nil {
				live.Settings.Log.Warn("removing old entries of a history", zap.String("app", key.App), zap.Error(err))
				continue
			}
			removed++
		}
		if len(keys) < purgeBatch || removed == 0 || ctx.Err() != nil {
			return
		}
	}
}

// retain removes from a log what is to go by the policy of its channel.
func (l Live) retain(ctx context.Context, key storage.LogKey) error {
	ctx, cancel := context.WithTimeout(ctx, purgeTimeout)
	defer cancel()
	app := &storage.App{ID: key.App}
	if found, err := l.Settings.Drivers.Apps.AppByID(ctx, key.App); err == nil {
		app = found
	} else if !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	return l.historyLog(key, l.retentionOf(app, key)).Retain(ctx)
}

// retentionOf is what counts for a log.
func (l Live) retentionOf(app *storage.App, key storage.LogKey) history.Retention {
	kind, channel := history.KindOf(key)
	switch kind {
	case history.KindPresence:
		return l.PresenceHistoryPolicy(app, channel).Retention
	case history.KindAnnotations:
		return history.Retention{Age: l.Settings.Versions.Retention}
	default:
		return l.HistoryPolicy(app, channel).Retention
	}
}

// retainSoon trims a log from time to time, as it grows: not at every entry.
func (l Live) retainSoon(a *storage.LogAppend, r history.Retention) {
	every := uint64(64)
	if r.Rows > 0 {
		every = uint64(min(max(r.Rows/16, 16), 1024))
	}
	if r.Rows == 0 && r.Bytes == 0 && a.Entry.Row%1024 != 0 || a.Entry.Row%every != 0 {
		return
	}
	k, key := l.Hub.keeper, a.Key
	k.mu.Lock()
	_, already := k.trimming[key]
	k.trimming[key] = struct{}{}
	k.mu.Unlock()
	if already {
		return
	}
	l.Hub.background(func(ctx context.Context) {
		defer func() {
			k.mu.Lock()
			delete(k.trimming, key)
			k.mu.Unlock()
		}()
		live, err := k.hub.Live()
		if err != nil {
			return
		}
		defer live.Release()
		if live.Settings.Drivers.History == nil {
			return
		}
		if err := live.retain(ctx, key); err != nil {
			live.Settings.Log.Warn("removing old entries of a history", zap.String("app", key.App), zap.Error(err))
		}
	})
}

// degrade notes that something of a log was delivered and not kept, as soon as the
// store answers.
func (h *Hub) degrade(key storage.LogKey, node string) {
	k := h.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.unmarked[key]; known || len(k.unmarked) >= maxUnmarked {
		return
	}
	k.unmarked[key] = storage.LogState{
		Name: history.StateDegraded, Reason: "durable_history_write_failed", Node: cmp.Or(node, h.cluster.self), Since: time.Now().UnixMilli(),
	}
	h.metrics.history.degraded.WithLabelValues(key.App).Inc()
}

// markAll marks what waits. What cannot be marked waits on.
func (k *keeper) markAll(ctx context.Context) {
	k.mu.Lock()
	waiting := maps.Clone(k.unmarked)
	k.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	live, err := k.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	if live.Settings.Drivers.History == nil {
		return
	}
	for key, state := range waiting {
		if err := live.mark(ctx, key, state); err != nil {
			return // the store does not answer yet
		}
		k.mu.Lock()
		delete(k.unmarked, key)
		k.mu.Unlock()
	}
}

// mark notes a state with a log. One that does not exist yet begins with another id
// than clients expect, which tells them as well.
func (l Live) mark(ctx context.Context, key storage.LogKey, state storage.LogState) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	store := l.Settings.Drivers.History
	head, err := store.Head(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		if err := store.Reset(ctx, key, protocol.NewMessageID()); err != nil {
			return err
		}
		return l.tellReset(ctx, key.App, key.Channel)
	}
	if err != nil {
		return err
	}
	return store.Mark(ctx, key, head.Stream, state)
}

// HistoryReset tells every node that the history of a channel was reset.
func (l Live) HistoryReset(ctx context.Context, app *storage.App, channel string) error {
	return l.tellReset(ctx, app.ID, channel)
}

func (l Live) tellReset(ctx context.Context, app, channel string) error {
	if strings.HasPrefix(channel, "[") {
		return nil
	}
	return l.broadcast(ctx, &protocol.Envelope{Kind: protocol.KindReset, App: app, Channel: channel})
}

// historyReset takes that the history of a channel has begun anew.
func (a *App) historyReset(name string) {
	ch := a.channel(name)
	if ch == nil {
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.stream != nil && ch.stream.counter == countHistory {
		ch.stream.follower.tries = 0
		ch.ask(askNews)
	}
}
