package realtime

import (
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// window counts events in a fixed window that starts with its first event.
type window struct {
	start int64 // by clock
	count int
}

// started is when this process began, for clock.
var started = time.Now()

// clock counts milliseconds since the process began, from one. Unlike the time of
// day it never jumps.
func clock() int64 { return time.Since(started).Milliseconds() + 1 }

// allow counts one event. The limit-th event of a window is allowed, the next is not.
func (w *window) allow(now int64, limit int, length time.Duration) bool {
	if w.start == 0 || now-w.start >= length.Milliseconds() {
		w.start, w.count = now, 0
	}
	if w.count >= limit {
		return false
	}
	w.count++
	return true
}

// effective are the limits that hold for one connection: those of its app, else
// the hub's.
type effective struct {
	channelName, eventName, eventPayload int
	presenceMembers, presenceMemberSize  int
	clientEvents                         int
	clientWindow                         time.Duration
}

func (c *Conn) limits() effective { return effectiveLimits(c.app.record(), c.hub.settings()) }

func effectiveLimits(p *policy, s *Settings) effective {
	return effective{
		channelName:        or(p.Limits.MaxChannelNameLength, s.Limits.ChannelNameLength),
		eventName:          or(p.Limits.MaxEventNameLength, s.Limits.EventNameLength),
		eventPayload:       or(p.Limits.MaxEventPayloadInKB<<10, s.Limits.EventPayload),
		presenceMembers:    or(p.Limits.MaxPresenceMembersPerChannel, s.Limits.PresenceMembers),
		presenceMemberSize: or(p.Limits.MaxPresenceMemberSizeInKB<<10, s.Limits.PresenceMemberSize),
		clientEvents:       or(p.Limits.MaxClientEventsPerSecond, s.Rate.EventsPerSecond),
		clientWindow:       time.Duration(max(p.Limits.DecaySeconds, 1)) * time.Second,
	}
}

func or(value, otherwise int) int {
	if value > 0 {
		return value
	}
	return otherwise
}

// allowMessage counts an inbound message against the app's message rate.
func (c *Conn) allowMessage(now int64) *protocol.Error {
	rate := c.app.record().Limits.MessageRate
	if rate == nil {
		return nil
	}
	c.app.meter.rateChecked("messages", contextOther)
	if c.messages.allow(now, rate.MaxAttempts, rate.Decay) {
		return nil
	}
	c.app.meter.rateTriggered("messages", contextOther)
	if rate.Terminate {
		return protocol.ErrRateTerminated
	}
	return protocol.ErrRateLimited
}

// allowClientEvent counts a client event against the app's rate.
func (c *Conn) allowClientEvent(now int64, l effective) *protocol.Error {
	if l.clientEvents == 0 {
		return nil
	}
	c.app.meter.rateChecked("client_events", contextOther)
	if c.clientEvents.allow(now, l.clientEvents, l.clientWindow) {
		return nil
	}
	c.app.meter.rateTriggered("client_events", contextOther)
	if c.app.record().Limits.TerminateOnLimit {
		return protocol.ErrRateTerminated
	}
	return protocol.ErrRateLimited
}
