package lookup

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// ask puts one question to the store and tells everybody who waits for it.
func (c *Apps) ask(n name, l *load) {
	app, epoch, err := c.query(n)
	c.mu.Lock()
	delete(c.loads, n)
	var gone []string
	switch {
	case err == nil:
		app, gone = c.keepLocked(app, epoch)
	case errors.Is(err, storage.ErrNotFound):
		gone = c.forgetLocked(n)
		if epoch == c.epoch {
			c.missLocked(n, err, c.options.NegativeTTL)
		}
	case c.ctx.Err() == nil:
		if e := c.entryLocked(n); e != nil && c.freshLocked(e, c.now(), true) && !c.options.Off {
			app = e.app
		}
		c.missLocked(n, err, failureTTL)
	}
	if l.app = app; app == nil {
		l.err = err
	}
	c.mu.Unlock()
	close(l.done)
	c.tell(gone)
}

// query asks the store, one of a bounded number at a time. The answer is from the
// time of epoch or later.
func (c *Apps) query(n name) (app *storage.App, epoch uint64, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, loadTimeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	defer func() { <-c.slots }()
	c.mu.Lock()
	c.queries++
	epoch, read := c.epoch, c.options.Read
	c.mu.Unlock()
	if n.by == byKey {
		app, err = c.store.AppByKey(ctx, n.text)
	} else {
		app, err = c.store.AppByID(ctx, n.text)
	}
	if err == nil && read != nil {
		read(app)
	}
	return app, epoch, err
}

// keepLocked keeps what the store has said. An unchanged record stays the very
// same, so that whoever has made something of it need not make it again. changed
// names the app if followers should hear of it.
func (c *Apps) keepLocked(app *storage.App, epoch uint64) (kept *storage.App, changed []string) {
	now := c.now()
	e := c.entries[app.ID]
	switch {
	case e == nil:
		e = &entry{app: app, used: now}
		c.makeRoomLocked()
		c.entries[app.ID] = e
	case !sameRecord(e.app, app):
		c.dropLocked(e)
		e = &entry{app: app, used: e.used}
		c.entries[app.ID] = e
		changed = []string{app.ID}
	}
	c.keys[app.Key] = e
	delete(c.misses, name{byID, app.ID})
	delete(c.misses, name{byKey, app.Key})
	e.loaded = now
	c.scheduleLocked(e)
	if epoch != c.epoch { // something has changed since: this may be from before
		c.dueLocked(e, now)
	}
	return e.app, changed
}

// sameRecord compares what is stored of two apps.
func sameRecord(a, b *storage.App) bool {
	return a == b || a.ID == b.ID && a.Key == b.Key && a.Secret == b.Secret && a.Enabled == b.Enabled &&
		a.Stored != nil && bytes.Equal(a.Stored, b.Stored)
}

// forgetLocked drops the record that the name leads to. It names the app if it
// was known.
func (c *Apps) forgetLocked(n name) []string {
	e := c.entryLocked(n)
	if e == nil {
		return nil
	}
	c.dropLocked(e)
	return []string{e.app.ID}
}

func (c *Apps) dropLocked(e *entry) {
	if c.entries[e.app.ID] == e {
		delete(c.entries, e.app.ID)
	}
	if c.keys[e.app.Key] == e {
		delete(c.keys, e.app.Key)
	}
}

// missLocked remembers an answer without a record. Of too many names some are
// forgotten, whichever.
func (c *Apps) missLocked(n name, err error, ttl time.Duration) {
	if ttl <= 0 || c.options.Off {
		return
	}
	for other := range c.misses {
		if len(c.misses) < maxMisses {
			break
		}
		delete(c.misses, other)
	}
	c.misses[n] = miss{err, c.now().Add(ttl)}
}

// makeRoomLocked drops a few records when there are too many, those that were not
// used for longest among a handful.
func (c *Apps) makeRoomLocked() {
	for len(c.entries) >= maxEntries {
		var oldest *entry
		looked := 0
		for _, e := range c.entries {
			if oldest == nil || e.used.Before(oldest.used) {
				oldest = e
			}
			if looked++; looked == 16 {
				break
			}
		}
		c.dropLocked(oldest)
	}
}

// scheduleLocked says when a record is to be refreshed: in the last fifth of its
// time to live, so that many that came together are not asked for together.
func (c *Apps) scheduleLocked(e *entry) {
	if c.options.TTL < 0 {
		e.due = time.Time{}
		return
	}
	share := 0.8 + 0.15*rand.Float64()
	c.dueLocked(e, e.loaded.Add(time.Duration(share*float64(c.options.TTL))))
}

func (c *Apps) dueLocked(e *entry, at time.Time) {
	e.due = at
	if at.Before(c.nextLook) {
		c.nudge()
	}
}
