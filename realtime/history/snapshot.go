package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

// snapshotPage is how many events are read at once.
const snapshotPage = 1000

// Snapshot is who was in a presence channel at a moment, as its history tells.
type Snapshot struct {
	// Members are sorted by user.
	Members []Member
	// Replayed is the number of events that were read, and Serial and At are those of
	// the last one, zero for none.
	Replayed, Serial uint64
	At               int64
	// Complete says that there may not be other members. Truncated says that events
	// are not kept any more which would tell.
	Complete, Truncated bool
	Floor               Floor
}

// Member is a member of a presence channel, and its newest event.
type Member struct {
	UserID, Event string
	Serial        uint64
	At            int64
}

// Snapshot replays the presence history from its beginning. atSerial and atTime, in
// Unix milliseconds, bound it, inclusive; nil is none.
//
// A *QueryError says that the history contradicts itself, or was reset or trimmed
// under the reader again and again.
func (l Log) Snapshot(ctx context.Context, atSerial *uint64, atTime *int64) (snapshot *Snapshot, err error) {
	err = l.retry(func() error {
		snapshot, err = l.snapshot(ctx, Bounds{EndSerial: atSerial, EndTime: atTime})
		return err
	})
	switch {
	case errors.Is(err, ErrHole):
		return nil, refuse("presence history serial continuity check failed")
	case errors.Is(err, ErrMoved):
		return nil, refuse("presence history stream changed while reconstructing snapshot")
	}
	return snapshot, err
}

func (l Log) snapshot(ctx context.Context, b Bounds) (*Snapshot, error) {
	s, err := l.look(ctx)
	if err != nil {
		return nil, err
	}
	if err := l.trusts(s); err != nil {
		return nil, err
	}
	p := replay{members: map[string]Member{}, left: map[string]bool{}}
	r := s.rowsIn(b)
	for more := true; more; {
		var page []storage.LogEntry
		if page, more, err = l.read(ctx, s, r, true, snapshotPage); err != nil {
			return nil, err
		}
		for i := range page {
			if err := p.apply(&page[i]); err != nil {
				return nil, fmt.Errorf("row %d of channel %q: %w", page[i].Row, l.channel(), err)
			}
			r.low = page[i].Row + 1
		}
	}
	truncated := s.truncated(Bounds{})
	if p.anomaly != "" && !truncated && !r.timed {
		return nil, refuse("presence history transition anomaly: %s", p.anomaly)
	}
	p.Members = slices.SortedFunc(maps.Values(p.members), func(x, y Member) int { return cmp.Compare(x.UserID, y.UserID) })
	p.Truncated, p.Complete, p.Floor = truncated, !truncated && !p.begun && s.healthy(), s.Floor
	return &p.Snapshot, nil
}

// replay follows who joins and leaves.
type replay struct {
	Snapshot
	members map[string]Member
	left    map[string]bool
	// begun says that somebody was there before the history began: it was switched on
	// or reset while the channel had members, or its beginning is not kept.
	begun bool
	// anomaly is the first event that cannot have happened.
	anomaly string
}

func (p *replay) apply(row *storage.LogEntry) error {
	e, err := ParsePresenceEvent(row.Payload)
	if err != nil {
		return err
	}
	p.Replayed, p.Serial, p.At = p.Replayed+1, row.Row, row.At
	_, present := p.members[e.UserID]
	left := p.left[e.UserID]
	p.begun = p.begun || !present && !left && e.Event != MemberAdded
	if e.Event == MemberRemoved {
		if left {
			p.impossible("member_removed_without_join")
		}
		delete(p.members, e.UserID)
		p.left[e.UserID] = true
		return nil
	}
	switch {
	case e.Event == MemberAdded && present:
		p.impossible("duplicate_member_added")
	case e.Event == MemberUpdated && left:
		p.impossible("member_updated_without_join")
		return nil
	}
	delete(p.left, e.UserID)
	p.members[e.UserID] = Member{UserID: e.UserID, Event: e.Event, Serial: row.Row, At: row.At}
	return nil
}

func (p *replay) impossible(what string) {
	if p.anomaly == "" {
		p.anomaly = what
	}
}

// Append appends the snapshot as JSON (HTTP API, section 5.5).
func (s *Snapshot) Append(b []byte, channel string) []byte {
	o := object(b)
	o.text("channel", channel)
	o.key("members")
	o.b = append(o.b, '[')
	for i, m := range s.Members {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		member := object(o.b)
		member.text("user_id", m.UserID)
		member.text("last_event", m.Event)
		member.uint("last_event_serial", m.Serial)
		member.number("last_event_at_ms", m.At)
		o.b = member.end()
	}
	o.b = append(o.b, ']')
	o.uint("member_count", uint64(len(s.Members)))
	o.uint("events_replayed", s.Replayed)
	if s.Replayed == 0 {
		o.null("snapshot_serial")
		o.null("snapshot_time_ms")
	} else {
		o.uint("snapshot_serial", s.Serial)
		o.number("snapshot_time_ms", s.At)
	}
	o.key("continuity")
	continuity := s.Floor.appendContinuity(o.b, ofPresence)
	continuity.bool("complete", s.Complete)
	continuity.bool("truncated_by_retention", s.Truncated)
	o.b = continuity.end()
	return o.end()
}
