package history

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Version is one version of a message, as readers see it (HTTP API, section 6.7).
type Version struct {
	Channel string
	// Action is "create", "update", "delete" or "append".
	Action string
	// Content is what the message says in this version. The extras are those that are
	// shown, with the headers of the version.
	Content
	// Fragment is what an append has added, a JSON string. Without it, lists show what
	// the message says.
	Fragment json.RawMessage

	MessageSerial, VersionSerial  string
	HistorySerial, DeliverySerial uint64
	// At is in Unix milliseconds.
	At int64
	// ClientID and Description are absent if they are empty, and Metadata if it is nil.
	ClientID, Description string
	Metadata              json.RawMessage
}

// AppendJSON appends the version. whole says that an append shows all that the message
// says, and not only what it has added.
func (v *Version) AppendJSON(b []byte, whole bool) []byte {
	data := v.Data
	if !whole && v.Action == MutationAppend && v.Fragment != nil {
		data = v.Fragment
	}
	b = protocol.AppendString(append(b, `{"event":`...), protocol.PrefixSystemV2+"message."+v.Action)
	b = protocol.AppendString(append(b, `,"channel":`...), v.Channel)
	b = appendPresent(b, `,"data":`, data)
	if v.Name != nil {
		b = protocol.AppendString(append(b, `,"name":`...), *v.Name)
	}
	b = strconv.AppendUint(append(b, `,"serial":`...), v.DeliverySerial, 10)
	b = appendPresent(b, `,"extras":`, v.Extras)
	b = protocol.AppendString(append(b, `,"action":`...), v.Action)
	b = protocol.AppendString(append(b, `,"message_serial":`...), v.MessageSerial)
	b = strconv.AppendUint(append(b, `,"history_serial":`...), v.HistorySerial, 10)
	b = strconv.AppendUint(append(b, `,"delivery_serial":`...), v.DeliverySerial, 10)
	b = protocol.AppendString(append(b, `,"version":{"serial":`...), v.VersionSerial)
	if v.ClientID != "" {
		b = protocol.AppendString(append(b, `,"client_id":`...), v.ClientID)
	}
	b = strconv.AppendInt(append(b, `,"timestamp_ms":`...), v.At, 10)
	if v.Description != "" {
		b = protocol.AppendString(append(b, `,"description":`...), v.Description)
	}
	b = appendPresent(b, `,"metadata":`, v.Metadata)
	return append(b, `}}`...)
}

// appendPresent appends a member, unless its value is absent.
func appendPresent(b []byte, name string, value json.RawMessage) []byte {
	if len(value) == 0 {
		return b
	}
	return append(append(b, name...), value...)
}

// LatestJSON is the answer to whoever asks for a message.
func (v *Version) LatestJSON() []byte {
	b := protocol.AppendString(append(make([]byte, 0, 512+len(v.Data)), `{"channel":`...), v.Channel)
	b = v.AppendJSON(append(b, `,"item":`...), true)
	return append(b, '}')
}

// VersionQuery says which versions of a message are read.
type VersionQuery struct {
	// Message is its serial.
	Message string
	// OldestFirst is the order. Otherwise the newest come first.
	OldestFirst bool
	// Cursor is the serial of the last version that was read before, empty for none.
	Cursor string
	// Limit is positive.
	Limit int
}

// Direction is the word for the order.
func (q *VersionQuery) Direction() string {
	if q.OldestFirst {
		return "oldest_first"
	}
	return "newest_first"
}

// past reports whether a version comes after the cursor.
func (q *VersionQuery) past(serial string) bool {
	switch {
	case q.Cursor == "":
		return true
	case q.OldestFirst:
		return serial > q.Cursor
	default:
		return serial < q.Cursor
	}
}

// VersionPage is a part of the versions of a message.
type VersionPage struct {
	Channel string
	Query   VersionQuery
	Items   []Version
	More    bool
}

// AppendJSON appends the page as a client of the HTTP API gets it.
func (p *VersionPage) AppendJSON(b []byte) []byte {
	b = protocol.AppendString(append(b, `{"channel":`...), p.Channel)
	b = protocol.AppendString(append(b, `,"direction":`...), p.Query.Direction())
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(p.Query.Limit), 10)
	b = strconv.AppendBool(append(b, `,"has_more":`...), p.More)
	if p.More {
		b = protocol.AppendString(append(b, `,"next_cursor":`...), p.Items[len(p.Items)-1].VersionSerial)
	}
	b = append(b, `,"items":[`...)
	for i := range p.Items {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Items[i].AppendJSON(b, false)
	}
	return append(b, `]}`...)
}

// Versions reads versions of a message from the log of its channel with the id stream.
// version makes one of an entry. found is false if there is none, at the cursor or
// before it, which is no message at all.
func (l Log) Versions(
	ctx context.Context, stream string, q VersionQuery, version func(*storage.LogEntry) (Version, error),
) (p VersionPage, found bool, err error) {
	p.Query = q
	read := storage.LogQuery{Subject: q.Message, Reverse: !q.OldestFirst, Limit: q.Limit + 1}
	if keep := l.Retention.Keep(); keep > 0 {
		read.FromAt = l.Now - keep.Milliseconds()
	}
	for {
		entries, err := l.Store.Read(ctx, l.Key, stream, read)
		if err != nil {
			return p, found, fmt.Errorf("versions of %q: %w", q.Message, err)
		}
		for i := range entries {
			v, err := version(&entries[i])
			if err != nil {
				return p, found, fmt.Errorf("version %d of %q: %w", entries[i].Serial, q.Message, err)
			}
			found = true
			switch {
			case !q.past(v.VersionSerial):
			case len(p.Items) == q.Limit:
				p.More = true
				return p, true, nil
			default:
				p.Items = append(p.Items, v)
			}
		}
		if len(entries) < read.Limit {
			return p, found, nil
		}
		// A log has entries with serials from 1, so what is before the first is nothing.
		if last := entries[len(entries)-1].Serial; q.OldestFirst {
			read.From = last + 1
		} else if read.To = last - 1; last == 1 {
			return p, found, nil
		}
	}
}
