package history

import (
	"fmt"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Append appends the page as JSON (HTTP API, sections 4.4 and 5.3). A row that cannot
// be read is an error.
func (p *Page) Append(b []byte) ([]byte, error) {
	k := p.log.kind()
	item := p.appendEvent
	if k.presence {
		item = p.appendPresence
	}
	o := object(b)
	o.key("items")
	o.b = append(o.b, '[')
	for i := range p.Rows {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		var err error
		if o.b, err = item(o.b, &p.Rows[i]); err != nil {
			return nil, fmt.Errorf("row %d of channel %q: %w", p.Rows[i].Row, p.log.channel(), err)
		}
	}
	o.b = append(o.b, ']')
	o.text("direction", p.Query.direction())
	o.uint("limit", uint64(p.Query.Limit))
	o.bool("has_more", p.More)
	o.textOrNull("next_cursor", p.Next)
	o.key("bounds")
	bounds := p.Query.Bounds.append(o.b)
	if p.Query.Socket {
		bounds.bool("until_attach", p.Query.UntilAttach)
		bounds.uintOrNull("attach_serial", p.Query.Attach)
	}
	o.b = bounds.end()
	o.key("continuity")
	healthy := stand{p.Floor}.healthy()
	continuity := p.Floor.appendContinuity(o.b, k)
	if k.presence {
		continuity.bool("degraded", !healthy)
	}
	continuity.bool("complete", !p.More && !p.Truncated && healthy)
	continuity.bool("truncated_by_retention", p.Truncated)
	o.b = continuity.end()
	o.key("stream_state")
	o.b = p.log.appendState(o.b, p.Floor)
	return o.end(), nil
}

// appendEvent appends one row of the history of events.
func (p *Page) appendEvent(b []byte, row *Row) ([]byte, error) {
	r, err := ParseRecord(row.Payload)
	if err != nil {
		return nil, err
	}
	stream, event, operation, size := p.Floor.Head.Stream, r.Event, "append", row.Size
	id := r.MessageID
	var message []byte
	if row.Latest == nil || r.MessageSerial == "" {
		if p.Query.DropTags {
			r.Tags = nil
		}
		message = r.Frame(stream, row.Serial, row.Row)
	} else {
		latest := r
		if row.Latest.Serial != row.Serial {
			if latest, err = ParseRecord(row.Latest.Payload); err != nil {
				return nil, fmt.Errorf("its version %d: %w", row.Latest.Serial, err)
			}
		}
		if p.Query.DropTags {
			latest.Tags = nil
		}
		own := ""
		if p.Query.Socket {
			own = stream
		}
		message = latest.Version(own, row.Latest.Serial, row.Row)
		operation, size = messageAction+latest.action(), len(message)
		event = protocol.PrefixSystemV2 + operation
	}
	o := p.beginItem(b, row)
	o.textOrNull("message_id", id)
	o.textOrNull("event_name", event)
	o.text("operation_kind", operation)
	o.uint("payload_size_bytes", uint64(size))
	o.raw("message", message)
	return o.end(), nil
}

// appendPresence appends one row of the presence history.
func (p *Page) appendPresence(b []byte, row *Row) ([]byte, error) {
	e, err := ParsePresenceEvent(row.Payload)
	if err != nil {
		return nil, err
	}
	o := p.beginItem(b, row)
	o.text("event", e.Event)
	o.text("cause", e.Cause)
	o.text("user_id", e.UserID)
	o.textOrNull("connection_id", e.ConnectionID)
	o.textOrNull("dead_node_id", e.DeadNodeID)
	o.uint("payload_size_bytes", uint64(row.Size))
	o.key("presence_event")
	inner := p.beginItem(o.b, row)
	e.append(inner)
	o.b = inner.end()
	return o.end(), nil
}

// beginItem begins an object with the position of a row.
func (p *Page) beginItem(b []byte, row *Row) *jsonObject {
	o := object(b)
	o.text("stream_id", p.Floor.Head.Stream)
	o.uint("serial", row.Row)
	o.number("published_at_ms", row.At)
	return o
}

// appendContinuity begins the object about what is shown.
func (f Floor) appendContinuity(b []byte, k kind) *jsonObject {
	o := object(b)
	o.textOrNull("stream_id", f.Head.Stream)
	f.appendEnds(o)
	f.appendSizes(o, k)
	return o
}

// appendRetained appends the object of what is kept.
func (f Floor) appendRetained(b []byte, k kind) []byte {
	o := object(b)
	o.textOrNull("stream_id", f.Head.Stream)
	f.appendSizes(o, k)
	f.appendEnds(o)
	return o.end()
}

func (f Floor) appendSizes(o *jsonObject, k kind) {
	o.uint("retained_"+k.counted, f.Rows())
	o.uint("retained_bytes", f.Bytes())
}

// appendEnds appends the first and the last row, null if there is none.
func (f Floor) appendEnds(o *jsonObject) {
	var oldest, newest *uint64
	var oldestAt, newestAt *int64
	if f.Oldest.Serial > 0 {
		oldest, newest, oldestAt, newestAt = &f.Oldest.Row, &f.Newest.Row, &f.Oldest.At, &f.Newest.At
	}
	o.uintOrNull("oldest_available_serial", oldest)
	o.uintOrNull("newest_available_serial", newest)
	o.numberOrNull("oldest_available_published_at_ms", oldestAt)
	o.numberOrNull("newest_available_published_at_ms", newestAt)
}

// appendState appends the object about the health of the log.
func (l Log) appendState(b []byte, f Floor) []byte {
	state, healthy := f.Head.State, stand{f}.healthy()
	name, source := state.Name, "durable_store"
	if healthy {
		name = "healthy"
	}
	if l.volatile() {
		source = "in_memory"
	}
	o := object(b)
	o.textOrNull("stream_id", f.Head.Stream)
	o.text("durable_state", name)
	o.bool(l.kind().proven, healthy)
	o.bool("reset_required", name == StateResetRequired)
	o.textOrNull("reason", state.Reason)
	o.textOrNull("node_id", state.Node)
	if state.Since == 0 {
		o.null("last_transition_at_ms")
	} else {
		o.number("last_transition_at_ms", state.Since)
	}
	o.text("authoritative_source", source)
	o.text("observed_source", source)
	return o.end()
}
