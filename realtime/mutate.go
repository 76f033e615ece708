package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// changeTries is how often a change is tried again that another node was faster to
	// make another one.
	changeTries = 1024
	// changers is the number of messages that can be changed here at one time.
	changers = 64
)

// ErrNoMessage says that a channel has no such message, or not any more.
var ErrNoMessage = fmt.Errorf("message: %w", storage.ErrNotFound)

// Change is a change of a message that is there already (HTTP API, section 6.4).
type Change struct {
	history.Mutation
	// Message is the serial of the message.
	Message string
	// OpID makes the change once, however often it is tried. It is empty for none.
	OpID string
	// Actor is the client in whose name it is made, nil for a server.
	Actor *string
	// May reports whether the actor may change what publisher has created, which is empty
	// for somebody who did not say. Nil may always.
	May func(publisher string) error
}

// Changed is a change as it was made.
type Changed struct {
	Message, Version  string
	History, Delivery uint64
	// Before says that it was made before, by the same OpID.
	Before bool
}

// changing keeps changes of one message on this node apart: they would only get in each
// other's way.
type changing [changers]chan struct{}

func newChanging() (c changing) {
	for i := range c {
		c[i] = make(chan struct{}, 1)
	}
	return c
}

// Change changes a message and tells the V2 subscribers of its channel. What is wrong
// with the change itself is ErrNoMessage, ErrOtherContent, history.ErrAppendData or an
// error of May.
func (l Live) Change(ctx context.Context, app *storage.App, channel string, c *Change) (done Changed, err error) {
	p := l.HistoryPolicy(app, channel)
	key := history.Key(app.ID, channel)
	mine := l.Hub.changing[maphash.String(l.Hub.seed, app.ID+"\x00"+channel+"\x00"+c.Message)%changers]
	select {
	case mine <- struct{}{}:
		defer func() { <-mine }()
	case <-ctx.Done():
		return done, ctx.Err()
	}
	result := "applied"
	defer func() {
		switch {
		case err != nil:
			result = "failed"
		case done.Before:
			result = "duplicate"
		}
		l.Hub.metrics.history.mutations.WithLabelValues(app.ID, c.Action, result).Inc()
	}()
	for range changeTries {
		var again bool
		done, again, err = l.change(ctx, app, key, p, c)
		if !again {
			return done, err
		}
	}
	return done, err
}

// change is one try of Change. again says that another node has changed the message
// meanwhile.
func (l Live) change(ctx context.Context, app *storage.App, key storage.LogKey, p HistoryPolicy, c *Change) (done Changed, again bool, err error) {
	latest, r, err := l.message(ctx, key, p, c.Message)
	if err != nil {
		return done, false, err
	}
	if c.May != nil {
		if err := c.May(r.Publisher); err != nil {
			return done, false, err
		}
	}
	now := time.Now()
	next, err := l.changed(r, c, now)
	if err != nil && c.OpID == "" {
		return done, false, err
	}
	a := &storage.LogAppend{Key: key, At: now.UnixMilli(), Subject: c.Message, After: &latest.Serial, Keep: p.Retention.Keep()}
	if c.OpID != "" {
		a.Once = history.ReceiptKey(key.App, key.Channel, c.Message, "message."+c.Action, c.OpID)
	}
	if err != nil {
		// What cannot be done now may have been done before.
		if known, ok := l.madeBefore(ctx, key, a.Once, c); ok {
			return known, false, nil
		}
		return done, false, err
	}
	a.Payload = next.Append(nil)
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = l.append(ctx, a)
	switch {
	case errors.Is(err, storage.ErrExists):
		done, err = l.receipt(ctx, a, c)
		return done, false, err
	case errors.Is(err, storage.ErrConflict):
		return done, true, err
	case err != nil:
		l.Hub.metrics.history.failures.WithLabelValues(key.App).Inc()
		return done, false, err
	}
	l.Hub.metrics.history.writes.WithLabelValues(key.App).Inc()
	l.spread(ctx, app, next.Envelope(key.App, a.Stream, a.Entry.Serial), key.Channel, next)
	return Changed{Message: c.Message, Version: next.VersionSerial, History: next.HistorySerial, Delivery: a.Entry.Serial}, false, nil
}

// message reads the newest version of a message.
func (l Live) message(ctx context.Context, key storage.LogKey, p HistoryPolicy, serial string) (latest storage.LogEntry, r *history.Record, err error) {
	store := l.Settings.Drivers.History
	head, err := store.Head(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return latest, nil, ErrNoMessage
	}
	if err != nil {
		return latest, nil, err
	}
	found, err := store.Latest(ctx, key, head.Stream, []string{serial})
	if err != nil {
		return latest, nil, err
	}
	latest, ok := found[serial]
	if keep := p.Retention.Keep(); !ok || keep > 0 && latest.At < time.Now().Add(-keep).UnixMilli() {
		return latest, nil, ErrNoMessage
	}
	r, err = history.ParseRecord(latest.Payload)
	if err != nil {
		return latest, nil, fmt.Errorf("entry %d of channel %s: %w", latest.Serial, key.Channel, err)
	}
	if latest.IsRow {
		r.HistorySerial = latest.Row
	}
	return latest, r, nil
}

// changed is the message after a change.
func (l Live) changed(r *history.Record, c *Change, now time.Time) (*history.Record, error) {
	content := history.Content{Data: r.Data, Extras: r.Extras}
	if r.Event != "" {
		content.Name = &r.Event
	}
	after, err := c.Apply(content)
	if err != nil {
		return nil, err
	}
	next := *r
	next.Name = ""
	if after.Name != nil {
		next.Name = *after.Name
	}
	next.Event = next.Name
	next.Data, next.Extras = after.Data, after.Extras
	next.Action, next.MessageID = c.Action, protocol.NewMessageID()
	next.Fragment = nil
	if c.Action == protocol.ActionAppend {
		next.Fragment = c.Data
	}
	next.VersionSerial, next.VersionAt = history.NewSerial(now, l.Settings.NodeID, r.VersionSerial), now.UnixMilli()
	next.VersionClient, next.Description, next.Metadata = "", "", c.Metadata
	switch {
	case c.ClientID != nil:
		next.VersionClient = *c.ClientID
	case c.Actor != nil:
		next.VersionClient = *c.Actor
	}
	next.UserID = cmp.Or(next.VersionClient, r.Publisher)
	if c.Description != nil {
		next.Description = *c.Description
	}
	next.Except, next.Fingerprint = "", c.Fingerprint(c.Actor)
	return &next, nil
}

// receipt is what a change was answered with when it was made.
func (l Live) receipt(ctx context.Context, a *storage.LogAppend, c *Change) (done Changed, err error) {
	entries, err := l.Settings.Drivers.History.Read(ctx, a.Key, a.Stream, storage.LogQuery{From: a.Entry.Serial, To: a.Entry.Serial, Limit: 1})
	if err == nil && len(entries) == 0 {
		err = ErrNoMessage
	}
	if err != nil {
		return done, err
	}
	return receiptOf(&entries[0], c)
}

func receiptOf(entry *storage.LogEntry, c *Change) (done Changed, err error) {
	r, err := history.ParseRecord(entry.Payload)
	switch {
	case err != nil:
		return done, err
	case r.Fingerprint != c.Fingerprint(c.Actor):
		return done, ErrOtherContent
	}
	return Changed{Message: c.Message, Version: r.VersionSerial, History: r.HistorySerial, Delivery: entry.Serial, Before: true}, nil
}

// madeBefore looks for a change among the versions of its message.
func (l Live) madeBefore(ctx context.Context, key storage.LogKey, once string, c *Change) (done Changed, ok bool) {
	store := l.Settings.Drivers.History
	head, err := store.Head(ctx, key)
	if err != nil {
		return done, false
	}
	q := storage.LogQuery{Subject: c.Message, Reverse: true, Limit: 100}
	for {
		entries, err := store.Read(ctx, key, head.Stream, q)
		if err != nil || len(entries) == 0 {
			return done, false
		}
		for i := range entries {
			if entries[i].Once == once {
				done, err = receiptOf(&entries[i], c)
				return done, err == nil
			}
		}
		q.To = entries[len(entries)-1].Serial - 1
		if q.To == 0 {
			return done, false
		}
	}
}

// spread tells everybody about a version that is kept. Who does not hear of it now
// reads it with the next event.
func (l Live) spread(ctx context.Context, app *storage.App, e *protocol.Envelope, channel string, r *history.Record) {
	e.Channel, e.Version = channel, r.Revision()
	err := l.broadcast(ctx, e)
	if err == nil {
		err = l.reachPatterns(ctx, e)
	}
	if err != nil {
		l.Settings.Log.Error("telling about a change of a message", zap.String("app", e.App), zap.String("channel", channel), zap.Error(err))
	}
	l.tellVersion(app, e)
}

// Message reads the newest version of a message.
func (l Live) Message(ctx context.Context, app *storage.App, channel, serial string) (storage.LogEntry, *history.Record, error) {
	return l.message(ctx, history.Key(app.ID, channel), l.HistoryPolicy(app, channel), serial)
}

// Versions is where the versions of the messages of a channel are read.
func (l Live) Versions(app *storage.App, channel string) history.Log {
	return l.historyLog(history.Key(app.ID, channel), l.HistoryPolicy(app, channel).Retention)
}

// Actor is a socket that is connected here, in whose name a server acts.
func (l Live) Actor(app *storage.App, socketID string) (actor protocol.Actor, connected bool) {
	a := l.Hub.liveApp(app.ID)
	if a == nil || socketID == "" {
		return actor, false
	}
	c := a.conn(socketID)
	if c == nil {
		return actor, false
	}
	actor.Version = protocol.V1
	if c.v2 != nil {
		actor.Version, actor.Capabilities = protocol.V2, c.rights()
	}
	if u := c.currentUser(); u != nil {
		actor.ClientID = u.id
	}
	return actor, true
}
