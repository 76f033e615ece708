package realtime

import (
	"slices"
	"time"
)

// A connection that is lost without a closing handshake leaves a ghost in each of its
// presence channels: its member stays for a while, and if the user is back by then
// nobody hears of it (section 2.6).

// grace is how long the members of the connection stay when it ends.
func (c *Conn) grace(graceful bool) time.Duration {
	s := c.hub.settings()
	switch {
	case graceful || c.hub.closing.Load():
		return 0
	case c.v2 != nil:
		return s.Presence.GraceV2
	default:
		return s.Presence.Grace
	}
}

// linger ends a subscription but for what it counts for, until grace has passed. It
// reports false for one that does not belong to a member.
func (sub *subscription) linger(grace time.Duration) bool {
	ch := sub.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if sub.member == nil {
		return false
	}
	if sub.detachLocked() {
		sub.member.ghosts = append(sub.member.ghosts, sub)
		ch.app.hub.wheel.at(clock()+grace.Milliseconds(), sub.vanish)
	}
	return true
}

// vanish ends what a ghost counts for, unless that has ended.
func (sub *subscription) vanish() {
	ch := sub.channel
	ch.withTable(func(s *shard) {
		i := slices.Index(sub.member.ghosts, sub)
		if i < 0 {
			return
		}
		sub.member.ghosts = slices.Delete(sub.member.ghosts, i, i+1)
		sub.vanished = true
		ch.releaseLocked(sub)
		ch.dropLocked(s)
	})
}

// layGhosts ends what the ghosts of a member count for, who is back. The caller holds
// mu and keeps the channel in the table.
func (ch *channel) layGhosts(m *member) {
	ghosts := m.ghosts
	m.ghosts = nil
	for _, sub := range ghosts {
		ch.releaseLocked(sub)
	}
}
