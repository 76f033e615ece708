package rest

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/realtime/history"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// presenceLog is the log of who joined and left the channel of the call, and the most
// that a page of it has (section 5.2).
func (c *call) presenceLog() (past history.Log, pageSize int, f *failure) {
	if f := c.checkChannel(c.param); f != nil {
		return past, 0, f
	}
	if protocol.ParseChannel(c.param).Kind != protocol.Presence {
		return past, 0, errNotPresence
	}
	policy := c.live.PresenceHistoryPolicy(c.app, c.param)
	if !policy.Enabled {
		return past, 0, featureDisabled.with(fmt.Sprintf("Presence history is disabled by policy for channel '%s'", c.param))
	}
	past, f = c.logOf(history.Log{Key: history.PresenceKey(c.app.ID, c.param), Retention: policy.Retention})
	return past, policy.PageSize, f
}

// presenceHistory is a page of who joined and left (section 5.3).
func (c *call) presenceHistory() ([]byte, *failure) {
	past, pageSize, f := c.presenceLog()
	if f != nil {
		return nil, f
	}
	return c.page(past, pageSize)
}

// presenceHistoryState tells where the presence history of a channel stands (section
// 5.4).
func (c *call) presenceHistoryState() ([]byte, *failure) {
	past, _, f := c.presenceLog()
	if f != nil {
		return nil, f
	}
	return c.stateOf(past)
}

// resetPresenceHistory removes the presence history of a channel and begins a new one.
// No node keeps anything of it, so that nobody has to be told.
func (c *call) resetPresenceHistory() ([]byte, *failure) {
	past, _, f := c.presenceLog()
	if f != nil {
		return nil, f
	}
	return c.reset(past, "events", nil)
}

// presenceSnapshot is who was in a channel at a moment (section 5.5).
func (c *call) presenceSnapshot() ([]byte, *failure) {
	past, _, f := c.presenceLog()
	if f != nil {
		return nil, f
	}
	atSerial, f := c.unsigned("at_serial")
	if f != nil {
		return nil, f
	}
	atTime, f := c.moment("at_time_ms", "at")
	if f != nil {
		return nil, f
	}
	snapshot, err := past.Snapshot(c.r.Context(), atSerial, atTime)
	if err != nil {
		return nil, c.unread("replaying a presence history", err)
	}
	c.out = snapshot.Append(c.out[:0], c.param)
	return c.out, nil
}
