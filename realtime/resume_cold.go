package realtime

import (
	"context"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// cold is what the history of a channel has after a position, up to what this node
// keeps.
type cold struct {
	channel *channel
	stream  *stream // of which nothing is dropped meanwhile
	page    eventPage
	events  []*message
	read    bool
}

// release lets the channels forget again what was kept for the answer.
func (a *answer) release() {
	for _, c := range a.cold {
		c.channel.mu.Lock()
		c.stream.watchers--
		c.channel.mu.Unlock()
	}
	a.cold = nil
}

// readHistory reads what the history has after a position and this node does not
// keep. Whatever comes meanwhile is kept until the answer is made.
func (a *answer) readHistory(ctx context.Context, live Live, ch *channel, p protocol.Position, n numbering) error {
	ch.mu.Lock()
	s := ch.stream
	if s == nil || s.broken != "" {
		ch.mu.Unlock()
		return nil
	}
	if s.watchers == 0 {
		s.expire(ch.app.hub, n.recovery) // or the answer would find less than is seen here
	}
	c := &cold{channel: ch, stream: s}
	s.watchers++
	before, enough := s.first(), ch.reaches(p, n.size)
	ch.mu.Unlock()
	if a.cold == nil {
		a.cold = map[string]*cold{}
	}
	a.cold[p.Channel] = c
	if enough {
		return nil
	}
	page, err := ch.positions(live, n).after(ctx, p.Serial, n.size)
	if err != nil {
		return nil // the answer says so
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	c.page, c.read = page, true
	c.events = ch.past(page, before, live.Settings)
	return nil
}

// judgeCold says why the history does not lead from a position to what this node
// keeps, if so.
func (a *answer) judgeCold(s *stream, p protocol.Position, n numbering) bool {
	c, floor, empty, gap := a.cold[p.Channel], "retained_history_floor_is_ahead_of_requested_serial", "durable_history_empty_after_prior_writes", "durable_history_is_not_contiguous"
	if n.history.Versions {
		floor, empty, gap = "version_replay_floor_is_ahead_of_requested_serial", "version_replay_empty_after_prior_writes", "version_replay_is_not_contiguous"
	}
	var code, reason string
	switch {
	case p.StreamID == "":
		code, reason = protocol.ResumeUnverifiable, "legacy_serial_only_position_cannot_use_cold_recovery"
	case c == nil || !c.read:
		code, reason = protocol.ResumePersistenceDown, "durable_history_read_failed"
	case c.page.head.reason != "":
		code, reason = protocol.ResumePersistenceDown, c.page.head.reason
	case c.page.head.stream != s.id:
		code, reason = protocol.ResumeStreamReset, "durable_stream_changed_during_reconnect"
	case c.page.first == 0:
		code, reason = protocol.ResumeExpired, empty
	case c.page.first > p.Serial+1:
		code, reason = protocol.ResumeExpired, floor
	case c.page.from() != p.Serial+1 || p.Serial+1+uint64(len(c.events)) < s.first():
		code, reason = protocol.ResumeUnverifiable, gap
	default:
		return true
	}
	a.fail(p, code, reason, &s.id, s)
	if c != nil && c.read {
		f := &a.result.Failed[len(a.result.Failed)-1]
		if f.Oldest = nil; c.page.first > 0 {
			f.Oldest = &c.page.first
		}
	}
	return false
}

// missed are the events after a position, and where they are from.
func (a *answer) missed(s *stream, p protocol.Position) (events []*message, source string) {
	if p.Serial+1 >= s.first() {
		return s.after(p.Serial), "hot"
	}
	c := a.cold[p.Channel]
	events = append(events, c.events...)
	return append(events, s.after(p.Serial+uint64(len(c.events)))...), "cold"
}
