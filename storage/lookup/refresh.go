package lookup

import (
	"errors"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// refreshBatch is how many records are refreshed before the next look at the
	// clock.
	refreshBatch = 16
	// retryRefresh is the pause after a refresh that failed.
	retryRefresh = time.Second
	// idleTTLs is after how many times to live, and the time that stale records
	// count, a record is dropped that nobody has asked for and no follower uses.
	idleTTLs = 2
)

// follower wants to hear of changes.
type follower struct {
	inUse   func(id string) bool
	changed func(id string)
}

// FollowApps registers somebody who uses records beyond a lookup, see
// storage.AppFollowed.
func (c *Apps) FollowApps(inUse func(id string) bool, changed func(id string)) (stop func()) {
	f := &follower{inUse, changed}
	c.mu.Lock()
	c.followers[f] = struct{}{}
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		delete(c.followers, f)
		c.mu.Unlock()
	}
}

func (c *Apps) followersNow() []*follower {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*follower, 0, len(c.followers))
	for f := range c.followers {
		list = append(list, f)
	}
	return list
}

// tell says that records have changed or are gone.
func (c *Apps) tell(ids []string) {
	if len(ids) == 0 {
		return
	}
	for _, f := range c.followersNow() {
		for _, id := range ids {
			f.changed(id)
		}
	}
}

// changed takes what the store's watcher says.
func (c *Apps) changed(id string) {
	c.mu.Lock()
	c.epoch++
	now := c.now()
	for _, e := range c.entries {
		if id == "" || e.app.ID == id {
			c.dueLocked(e, now)
		}
	}
	clear(c.misses) // the change may be a new app, or a new key
	c.mu.Unlock()
}

// nudge makes the loop look at what is due.
func (c *Apps) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// refresh asks the store again for what is due, until Close.
func (c *Apps) refresh() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, next := c.due()
		var all sync.WaitGroup
		for _, e := range due {
			all.Go(func() { c.refreshOne(e) })
		}
		all.Wait()
		if len(due) > 0 && c.ctx.Err() == nil {
			continue
		}
		timer.Reset(next)
		select {
		case <-c.ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
	}
}

// due are some records whose time has come, or else the time until the next.
func (c *Apps) due() (due []*entry, next time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, next := c.now(), time.Hour
	for _, e := range c.entries {
		if e.due.IsZero() {
			continue
		}
		if wait := e.due.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if due = append(due, e); len(due) == refreshBatch {
			break
		}
	}
	c.nextLook = now.Add(next)
	return due, next
}

// refreshOne asks for one record again, unless nobody needs it.
func (c *Apps) refreshOne(e *entry) {
	id := e.app.ID
	if c.idle(e) {
		c.mu.Lock()
		c.dropLocked(e)
		c.mu.Unlock()
		return
	}
	app, epoch, err := c.query(name{byID, id})
	var gone []string
	c.mu.Lock()
	switch {
	case err == nil:
		_, gone = c.keepLocked(app, epoch)
	case errors.Is(err, storage.ErrNotFound):
		gone = c.forgetLocked(name{byID, id})
	default:
		c.dueLocked(e, c.now().Add(retryRefresh))
		// Kept for followers' sake beyond its time; find decides what still counts.
	}
	c.mu.Unlock()
	c.tell(gone)
}

// idle reports whether a record has not been asked for lately and is not in use.
func (c *Apps) idle(e *entry) bool {
	c.mu.Lock()
	ttl, stale, used := c.options.TTL, c.options.StaleIfError, e.used
	c.mu.Unlock()
	if ttl < 0 || c.now().Sub(used) < idleTTLs*ttl+stale {
		return false
	}
	for _, f := range c.followersNow() {
		if f.inUse(e.app.ID) {
			return false
		}
	}
	return true
}
