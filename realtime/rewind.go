package realtime

import (
	"context"
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// rewindScan is how many times the size of a page a rewind may read to find what its
// filter lets pass.
const rewindScan = 16

// rewinding is the past of a channel that a subscription has asked for (section 6.7).
// It is read up to where the channel stood when that began; what is delivered
// meanwhile is kept for it.
type rewinding struct {
	channel *channel
	stream  *stream
	at      uint64 // the serial up to which it is read
	tune    *tuning
	rows    []*message
	done    protocol.RewindComplete
}

// rewind reads the past that a subscription asks for. The result is nil if it asks
// for none.
func (c *Conn) rewind(ch *channel, asked *protocol.Rewind, tune *tuning) (*rewinding, *protocol.Error) {
	if asked == nil {
		return nil, nil //nolint:nilnil // nothing is asked for
	}
	live, err := c.hub.Live()
	if err != nil {
		return nil, protocol.ErrHistoryDown(ch.info.Name)
	}
	defer live.Release()
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	n := ch.numbering(live.Settings)
	for range rewindTries {
		var r *rewinding
		r, err = ch.startRewind(ctx, live, n, asked, tune)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, errAnotherStream) {
			break
		}
		ch.mu.Lock()
		id := ""
		if ch.stream != nil {
			id = ch.stream.id
		}
		ch.mu.Unlock()
		if err = ch.fetch(ctx, live, id, false, n); err != nil {
			break
		}
	}
	live.Settings.Log.Warn("rewinding a channel", zap.String("app", c.app.id), zap.String("channel", ch.info.Name), zap.Error(err))
	return nil, protocol.ErrHistoryDown(ch.info.Name)
}

// rewindTries is how often a rewind begins again because the history was reset.
const rewindTries = 3

var (
	errAnotherStream = errors.New("the history has begun anew")
	errNoStream      = errors.New("the position of the channel is not known")
)

// startRewind reads the past up to where the channel stands.
func (ch *channel) startRewind(ctx context.Context, live Live, n numbering, asked *protocol.Rewind, tune *tuning) (*rewinding, error) {
	ch.mu.Lock()
	s := ch.stream
	if s == nil || s.counter != countHistory || !s.countedBy(n) || s.broken != "" {
		ch.mu.Unlock()
		return nil, errNoStream
	}
	s.watchers++
	r := &rewinding{channel: ch, stream: s, at: s.head, tune: tune}
	id := s.id
	past, reading := r.join(id, asked)
	ch.mu.Unlock()
	var err error
	if reading {
		err = past.take(ctx, r)
	} else {
		err = r.share(past, func() error { return r.read(ctx, live, id, n.history, asked) })
	}
	if err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

// release lets the channel forget again what was kept meanwhile.
func (r *rewinding) release() {
	if r == nil {
		return
	}
	r.channel.mu.Lock()
	r.stream.watchers--
	r.channel.mu.Unlock()
}

// read reads the newest rows, or those since a moment, that the filter lets pass.
func (r *rewinding) read(ctx context.Context, live Live, stream string, p HistoryPolicy, asked *protocol.Rewind) error {
	if r.at == 0 {
		return nil // all that there may be now has come since, and comes live
	}
	kept := live.historyLog(history.Key(r.channel.app.id, r.channel.info.Name), p.Retention)
	floor, err := kept.Floor(ctx)
	switch {
	case err != nil:
		return err
	case floor.Head.Stream != "" && floor.Head.Stream != stream:
		return errAnotherStream
	case floor.Oldest.Serial == 0:
		r.done.ByRetention = floor.Head.Row > 0
		return nil
	}
	q := storage.LogQuery{Rows: true, From: floor.Oldest.Serial, To: r.at, Limit: p.PageSize, Reverse: asked.Count > 0}
	want := p.PageSize
	if asked.Count > 0 {
		want = int(min(asked.Count, uint64(p.PageSize)))
	} else {
		age := int64(min(asked.Seconds, 1<<40)) * 1000
		q.FromAt = max(kept.Now-age, 1)
		r.done.ByRetention = floor.Oldest.Row > 1 && floor.Oldest.At >= q.FromAt
	}
	for scanned := 0; ; {
		if r.tune == nil || r.tune.filter == nil {
			q.Limit = want - len(r.rows) + 1
		}
		entries, err := kept.Store.Read(ctx, kept.Key, stream, q)
		if err != nil {
			return err
		}
		last, err := r.take(ctx, live, kept, floor.Head, entries, want)
		if err != nil {
			return err
		}
		scanned += len(entries)
		switch {
		case last < len(entries) || len(entries) == q.Limit && scanned >= rewindScan*p.PageSize:
			r.done.ByLimit = true
		case len(entries) < q.Limit:
			r.done.ByRetention = r.done.ByRetention || asked.Count > 0 && floor.Oldest.Row > 1 && uint64(len(r.rows)) < asked.Count
		default:
			if next := entries[len(entries)-1].Serial; q.Reverse {
				q.To = next - 1
			} else {
				q.From = next + 1
			}
			if !q.Reverse || q.To >= q.From {
				continue
			}
		}
		break
	}
	if q.Reverse {
		slices.Reverse(r.rows)
	}
	return nil
}

// take takes rows as their latest versions, as far as the filter lets them pass, and
// returns how many it has looked at when there were enough.
func (r *rewinding) take(ctx context.Context, live Live, kept history.Log, head storage.LogHead, entries []storage.LogEntry, want int) (int, error) {
	latest, err := kept.RevisionsAt(ctx, head, entries, r.at)
	if err != nil {
		return 0, err
	}
	for i := range entries {
		if len(r.rows) >= want {
			return i, nil
		}
		entry := &entries[i]
		if newer, ok := latest[entry.Subject]; ok && entry.Subject != "" {
			entry = &newer
		}
		e, err := eventOfEntry(kept.Key, head.Stream, entry)
		if err != nil {
			return 0, err
		}
		if v := protocol.ParseRevision(e.Version); v != nil && v.Action == protocol.ActionAppend {
			v.Action = protocol.ActionUpdate // clients would add the whole to nothing else
			e.Version = v.AppendJSON()
		}
		if m := r.channel.event(e, live.Settings); r.tune.accepts(m, live.Settings) {
			r.rows = append(r.rows, m)
		}
	}
	return len(entries), nil
}

// rewound sends what was read, what has come meanwhile, and that it is done. The
// caller holds the channel's lock.
func (c *Conn) rewound(ch *channel, r *rewinding, send func(protocol.Frame)) {
	if r == nil {
		return
	}
	a, changed := answer{conn: c}, false
	for _, m := range r.rows {
		a.add(m.frame(c.format))
		changed = changed || m.change
	}
	r.done.Historical = len(r.rows)
	if s := ch.stream; s != r.stream || s.first() > r.at+1 {
		r.done.ByLimit = true // too much has come meanwhile to keep it
	} else {
		for _, m := range s.after(r.at) {
			if m.except != c.id && r.tune.accepts(m, c.hub.settings()) {
				a.add(m.form(c.v2.whole).frame(c.format))
				r.done.Live++
			}
		}
	}
	done := r.done.Message(ch.info.Name)
	if changed && ch.stream == r.stream {
		// A row has the serial of its newest version, so the last frame is not always the
		// newest: clients go on from here.
		done.StreamID, done.Serial = r.stream.id, r.stream.head
	}
	a.say(done)
	for _, f := range append(a.frames, a.last) {
		send(f)
	}
}
