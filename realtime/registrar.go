package realtime

import (
	"context"
	"hash/maphash"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

const (
	// registrars is the number of channels for which something is recorded at one time.
	registrars = 4
	// maxRecords bounds what waits to be recorded, for each of them.
	maxRecords = 20000
	// recordPause is the time between two attempts to record something.
	recordPause = 500 * time.Millisecond
	// secondHand is how long a node waits before it records what another node has to
	// record, in case that one could not.
	secondHand = 2 * time.Second
)

// transition is what has become of a member, on its way into the presence history.
type transition struct {
	channel *channel
	event   history.PresenceEvent
	at      time.Time
	// seen is whether the member is present after it, for one that another node has to
	// record: what is not true any more is left to what has followed.
	seen   bool
	others bool
}

// registrar keeps what becomes of members, in the order of each channel, in the
// background: a store that is slow holds up nobody who joins.
type registrar struct {
	hub    *Hub
	queues [registrars]recordQueue
}

// recordQueue is what waits for one goroutine, which runs while anything does.
type recordQueue struct {
	mu      sync.Mutex
	waiting []transition
	running bool
}

func newRegistrar(h *Hub) *registrar { return &registrar{hub: h} }

// recordMember records what has become of a member, if the channel keeps that. The
// caller holds mu.
func (ch *channel) recordMember(m *member, event string, why departure) {
	h := ch.app.hub
	s := h.settings()
	if s.Drivers.History == nil || !s.presenceHistoryPolicy(ch.app.record().App, ch.info).Enabled {
		return
	}
	t := transition{channel: ch, at: time.Now(), seen: event != history.MemberRemoved, others: why.socket == "" && why.node == ""}
	t.event = history.PresenceEvent{
		Event: event, Cause: why.cause, UserID: m.UserID, ConnectionID: why.socket, UserInfo: m.Info, DeadNodeID: why.node, Once: protocol.NewMessageID(),
	}
	if t.others || why.node != "" {
		t.event.Once = "" // nodes that see the same do not record it twice
	}
	first := t.seen && event == history.MemberAdded && len(ch.presence.members) == 1
	if t.others {
		h.wheel.at(clock()+secondHand.Milliseconds(), func() { h.registrar.add(t) })
	} else {
		h.registrar.add(t)
	}
	if first {
		h.wheel.at(clock()+s.Cluster.NodeTimeout.Milliseconds(), ch.reconcile)
	}
}

// add puts a transition in line.
func (r *registrar) add(t transition) {
	q := &r.queues[maphash.String(r.hub.seed, t.channel.app.id+"\x00"+t.channel.info.Name)%registrars]
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxRecords {
		r.hub.metrics.history.memberFailures.WithLabelValues(t.channel.app.id).Inc()
		r.hub.degrade(history.PresenceKey(t.channel.app.id, t.channel.info.Name), r.hub.settings().NodeID)
		return
	}
	q.waiting = append(q.waiting, t)
	r.waiting(&t).Inc()
	if !q.running {
		q.running = true
		r.hub.background(func(ctx context.Context) { r.run(ctx, q) })
	}
}

// run records what waits until nothing does.
func (r *registrar) run(ctx context.Context, q *recordQueue) {
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 || ctx.Err() != nil {
			q.running = false
			for i := range q.waiting {
				r.waiting(&q.waiting[i]).Dec()
			}
			q.waiting = nil
			q.mu.Unlock()
			return
		}
		t := q.waiting[0]
		q.mu.Unlock()
		for attempt := 0; !r.record(ctx, &t, attempt); attempt++ {
			if !wait.For(ctx, recordPause) {
				break
			}
		}
		q.mu.Lock()
		r.waiting(&t).Dec()
		q.waiting[0] = transition{}
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
	}
}

// waiting counts the transitions of an app that are to be recorded.
func (r *registrar) waiting(t *transition) *meter.Gauge {
	return r.hub.metrics.history.membersWaiting.WithLabelValues(t.channel.app.id)
}

// record reports false for what is to be tried again.
func (r *registrar) record(ctx context.Context, t *transition, attempt int) (done bool) {
	defer r.hub.Recovered("recording members")
	live, err := r.hub.Live()
	if err != nil {
		return true
	}
	defer live.Release()
	ch := t.channel
	p := live.PresenceHistoryPolicy(ch.app.record().App, ch.info.Name)
	if !p.Enabled || live.Settings.Drivers.History == nil || t.others && ch.hasMember(t.event.UserID) != t.seen {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	past := live.historyLog(history.PresenceKey(ch.app.id, ch.info.Name), p.Retention)
	begun := time.Now()
	recorded, err := history.RecordPresence(ctx, past, &t.event, t.at.UnixMilli(), p.Retention.Keep())
	if err != nil {
		r.hub.metrics.history.memberFailures.WithLabelValues(ch.app.id).Inc()
		if attempt == 0 {
			live.Settings.Log.Warn("recording a member", zap.String("app", ch.app.id), zap.String("channel", ch.info.Name), zap.Error(err))
		}
		return false
	}
	if recorded {
		r.hub.metrics.history.memberLatency.WithLabelValues(ch.app.id).Observe(float64(time.Since(begun).Microseconds()) / 1000)
		r.hub.metrics.history.members.WithLabelValues(ch.app.id).Inc()
	}
	return true
}

// flush waits until everything is recorded, bounded by ctx.
func (r *registrar) flush(ctx context.Context) {
	for i := range r.queues {
		q := &r.queues[i]
		for {
			q.mu.Lock()
			busy := q.running
			q.mu.Unlock()
			if !busy || !wait.For(ctx, 2*time.Millisecond) {
				break
			}
		}
	}
}

func (ch *channel) hasMember(user string) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	return ch.presence != nil && ch.presence.members[user] != nil
}

// reconcile removes from the presence history whoever was present when the nodes
// before this one ended, without being able to say so.
func (ch *channel) reconcile() {
	h := ch.app.hub
	h.background(func(ctx context.Context) {
		live, err := h.Live()
		if err != nil {
			return
		}
		defer live.Release()
		p := live.PresenceHistoryPolicy(ch.app.record().App, ch.info.Name)
		if !p.Enabled || live.Settings.Drivers.History == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, storeTimeout)
		defer cancel()
		before := h.started.UnixMilli()
		past := live.historyLog(history.PresenceKey(ch.app.id, ch.info.Name), p.Retention)
		snapshot, err := past.Snapshot(ctx, nil, &before)
		if err != nil {
			live.Settings.Log.Warn("reading a presence history", zap.String("app", ch.app.id), zap.String("channel", ch.info.Name), zap.Error(err))
			return
		}
		for _, m := range snapshot.Members {
			if !ch.hasMember(m.UserID) {
				h.registrar.add(transition{channel: ch, at: time.Now(), others: true, event: history.PresenceEvent{
					Event: history.MemberRemoved, Cause: history.CauseOrphan, UserID: m.UserID,
				}})
			}
		}
	})
}
