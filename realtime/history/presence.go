package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// The events of a presence history.
const (
	MemberAdded   = "member_added"
	MemberUpdated = "member_updated"
	MemberRemoved = "member_removed"
)

// The causes of those events (HTTP API, section 5.1).
const (
	CauseJoin       = "join"
	CauseDisconnect = "disconnect"
	CauseOrphan     = "orphan_cleanup"
	CauseTimeout    = "timeout"
	CauseForced     = "forced_disconnect"
)

// PresenceEvent is what became of a member of a presence channel.
type PresenceEvent struct {
	Event, Cause, UserID string
	// ConnectionID is the socket, or "".
	ConnectionID string
	// UserInfo is a JSON value, nil for none.
	UserInfo json.RawMessage
	// DeadNodeID is the node whose members are removed because it is gone, or "".
	DeadNodeID string
	// Once, unless it is empty, names the event, which is recorded once however often
	// that is tried. It is at most 256 bytes, and not kept in the event.
	Once string
}

// Append appends the event as JSON.
func (e *PresenceEvent) Append(b []byte) []byte {
	o := object(b)
	e.append(o)
	return o.end()
}

func (e *PresenceEvent) append(o *jsonObject) {
	o.text("event", e.Event)
	o.text("cause", e.Cause)
	o.text("user_id", e.UserID)
	o.textOrNull("connection_id", e.ConnectionID)
	if len(e.UserInfo) == 0 {
		o.null("user_info")
	} else {
		o.raw("user_info", e.UserInfo)
	}
	o.textOrNull("dead_node_id", e.DeadNodeID)
}

// ParsePresenceEvent reads what Append has written. Members that it does not know are
// ignored.
func ParsePresenceEvent(text []byte) (*PresenceEvent, error) {
	var e struct {
		Event        string          `json:"event"`
		Cause        string          `json:"cause"`
		UserID       string          `json:"user_id"`
		ConnectionID string          `json:"connection_id"`
		UserInfo     json.RawMessage `json:"user_info"`
		DeadNodeID   string          `json:"dead_node_id"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("presence event of %d bytes: %w", len(text), err)
	}
	return &PresenceEvent{
		Event: e.Event, Cause: e.Cause, UserID: e.UserID, ConnectionID: e.ConnectionID, UserInfo: value(e.UserInfo), DeadNodeID: e.DeadNodeID,
	}, nil
}

// digestPrefix begins subjects that are not user ids themselves.
const digestPrefix = "sha256:"

// PresenceSubject is the subject of a user's entries: the id, or a digest of one that
// is too long or looks like a digest.
func PresenceSubject(user string) string {
	if len(user) <= storage.MaxLogText && !strings.HasPrefix(user, digestPrefix) {
		return user
	}
	sum := sha256.Sum256([]byte(user))
	return digestPrefix + hex.EncodeToString(sum[:])
}

// recordTries is how often an event is tried again that another node was faster to
// record something about the same user.
const recordTries = 16

// RecordPresence adds an event to the log of PresenceKey, published at a time in Unix
// milliseconds, and reports whether it did. A member that is there is not added again,
// and one that was removed is neither updated nor removed again: several nodes may see
// the same. A first event of any kind is recorded, because what came before it may have
// been removed, or may never have been recorded.
func RecordPresence(ctx context.Context, l Log, e *PresenceEvent, at int64, keep time.Duration) (recorded bool, err error) {
	subject, payload := PresenceSubject(e.UserID), e.Append(nil)
	for range recordTries {
		last, serial, err := l.lastOf(ctx, subject)
		if err != nil {
			return false, fmt.Errorf("presence history of channel %q: %w", l.channel(), err)
		}
		if last != "" && (last == MemberRemoved) == (e.Event != MemberAdded) {
			return false, nil
		}
		a := &storage.LogAppend{
			Key: l.Key, Fresh: protocol.NewMessageID(), At: at, Row: true, Subject: subject, Once: e.Once, After: &serial, Payload: payload, Keep: keep,
		}
		l.Store.Append(ctx, []*storage.LogAppend{a})
		switch {
		case a.Err == nil:
			return true, nil
		case errors.Is(a.Err, storage.ErrExists):
			return false, nil
		case !errors.Is(a.Err, storage.ErrConflict):
			return false, fmt.Errorf("presence history of channel %q: %w", l.channel(), a.Err)
		}
	}
	return false, fmt.Errorf("presence history of channel %q: other nodes recorded the same member %d times: %w", l.channel(), recordTries, storage.ErrConflict)
}

// lastOf is the user's newest event that is shown, "" for none, and the serial of the
// newest that there is.
func (l Log) lastOf(ctx context.Context, subject string) (event string, serial uint64, err error) {
	head, err := l.Store.Head(ctx, l.Key)
	if errors.Is(err, storage.ErrNotFound) {
		return "", 0, nil
	}
	if err != nil {
		return "", 0, err
	}
	latest, err := l.Store.Latest(ctx, l.Key, head.Stream, []string{subject})
	if err != nil {
		return "", 0, err
	}
	e, ok := latest[subject]
	if !ok {
		return "", 0, nil
	}
	if !l.Retention.shows(&e, head, l.Now) {
		return "", e.Serial, nil
	}
	last, err := ParsePresenceEvent(e.Payload)
	if err != nil {
		return "", 0, fmt.Errorf("entry %d: %w", e.Serial, err)
	}
	return last.Event, e.Serial, nil
}

// shows reports whether a row is shown, as Floor has it.
func (r Retention) shows(e *storage.LogEntry, head storage.LogHead, now int64) bool {
	newest := e.Row >= head.Row
	switch {
	case r.Age > 0 && e.At < now-r.Age.Milliseconds():
		return false
	case r.Rows > 0 && !newest && head.Row-e.Row >= uint64(r.Rows):
		return false
	case r.Bytes > 0 && !newest && head.Total-e.Total+uint64(e.Size) > uint64(r.Bytes):
		return false
	}
	return true
}
