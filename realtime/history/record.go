package history

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Record is what the log of a channel keeps of an event, or of a change of one. The
// position is that of the log's entry and no part of it.
type Record struct {
	// Event is the name that the publisher gave, and Name that of a message which can
	// be changed: absent in an event that has only the former.
	Event, Channel, Name string
	// Data is a JSON value, nil where a change has cleared it. That of an append is the
	// whole text, not the fragment alone.
	Data              json.RawMessage
	UserID, MessageID string
	Tags              protocol.Tags
	// Extras is the JSON object that protocol.ParseExtras leaves, or nil.
	Extras json.RawMessage

	// Except is the socket that did not get the event. Client and Full are those of the
	// envelope.
	Except       string
	Client, Full bool
	// Publisher is the client that has created the message, "" for one that did not
	// identify itself.
	Publisher string
	// PublishedAt is when the event was published, in Unix milliseconds, by the clock of
	// the node. What readers see is the At of the entry.
	PublishedAt int64

	// Action is "update", "append" or "delete", and "" or "create" for an event itself.
	Action string
	// MessageSerial and VersionSerial are "" for an event that cannot be changed.
	MessageSerial, VersionSerial string
	// HistorySerial is the row of the event that a change is about.
	HistorySerial uint64
	// VersionAt is in Unix milliseconds.
	VersionAt                  int64
	VersionClient, Description string
	Metadata                   json.RawMessage
	// Fragment is what an append has added, a JSON string.
	Fragment json.RawMessage
	// Fingerprint is that of the call which made the change, for one that is repeated.
	Fingerprint string
}

// RecordOf is what the log keeps of an envelope.
func RecordOf(e *protocol.Envelope, publishedAt int64) *Record {
	// An envelope's facts about versions are to be read here once it carries them.
	return &Record{
		Event: e.Event, Channel: e.Channel, Data: e.Data, UserID: e.UserID, MessageID: e.MessageID, Tags: e.Tags, Extras: e.Extras,
		Except: e.Except, Client: e.Client, Full: e.Full, PublishedAt: publishedAt,
	}
}

// Envelope is the event as adapters carry it, at its place in the log.
func (r *Record) Envelope(app, stream string, serial uint64) *protocol.Envelope {
	// An envelope's facts about versions are to be written here once it carries them.
	e := &protocol.Envelope{
		App: app, Channel: r.Channel, Event: r.Event, Data: r.Data, UserID: r.UserID, MessageID: r.MessageID, Tags: r.Tags, Extras: r.Extras,
		Except: r.Except, Client: r.Client, Full: r.Full, Stream: stream, Serial: serial,
	}
	if user := protocol.ParseChannel(r.Channel).User; user != "" {
		e.Kind, e.User = protocol.KindUserEvent, user
	}
	return e
}

// action is the word of what the record is about.
func (r *Record) action() string { return cmp.Or(r.Action, "create") }

// name is the application's name for the event.
func (r *Record) name() string {
	if r.action() == "create" {
		return cmp.Or(r.Name, r.Event)
	}
	return r.Name
}

// Append appends the record as JSON: the frame as V2 clients know it, without its
// position, and beside it what they never see.
func (r *Record) Append(b []byte) []byte {
	b = append(b, `{"message":`...)
	m := object(b)
	m.text("event", r.Event)
	m.text("channel", r.Channel)
	m.raw("data", r.Data)
	m.textIf("name", r.Name)
	m.textIf("user_id", r.UserID)
	m.tags(r.Tags)
	m.textIf("message_id", r.MessageID)
	m.raw("extras", r.Extras)
	b = append(m.end(), `,"envelope":`...)
	e := object(b)
	e.textIf("except", r.Except)
	e.trueIf("client", r.Client)
	e.trueIf("full", r.Full)
	e.textIf("publisher", r.Publisher)
	e.numberIf("published_at", r.PublishedAt)
	e.textIf("action", r.Action)
	e.textIf("message_serial", r.MessageSerial)
	e.textIf("version_serial", r.VersionSerial)
	if r.HistorySerial > 0 {
		e.uint("history_serial", r.HistorySerial)
	}
	e.numberIf("version_at", r.VersionAt)
	e.textIf("version_client", r.VersionClient)
	e.textIf("description", r.Description)
	e.raw("metadata", r.Metadata)
	e.raw("fragment", r.Fragment)
	e.textIf("fingerprint", r.Fingerprint)
	return append(e.end(), '}')
}

// frame is a message as JSON.
type frame struct {
	Event     string            `json:"event"`
	Channel   string            `json:"channel"`
	Data      json.RawMessage   `json:"data"`
	Name      string            `json:"name"`
	UserID    string            `json:"user_id"`
	Tags      map[string]string `json:"tags"`
	MessageID string            `json:"message_id"`
	Extras    json.RawMessage   `json:"extras"`
}

// facts are what stands beside the message.
type facts struct {
	Except        string          `json:"except"`
	Client        bool            `json:"client"`
	Full          bool            `json:"full"`
	Publisher     string          `json:"publisher"`
	PublishedAt   int64           `json:"published_at"`
	Action        string          `json:"action"`
	MessageSerial string          `json:"message_serial"`
	VersionSerial string          `json:"version_serial"`
	HistorySerial uint64          `json:"history_serial"`
	VersionAt     int64           `json:"version_at"`
	VersionClient string          `json:"version_client"`
	Description   string          `json:"description"`
	Metadata      json.RawMessage `json:"metadata"`
	Fragment      json.RawMessage `json:"fragment"`
	Fingerprint   string          `json:"fingerprint"`
}

// ParseRecord reads what Append has written, and a frame alone. Members that it does
// not know are ignored.
func ParseRecord(text []byte) (*Record, error) {
	// All in one go: a page of a hundred records is mostly the time that this takes.
	var both struct {
		Message  *frame `json:"message"`
		Envelope facts  `json:"envelope"`
	}
	if err := json.Unmarshal(text, &both); err != nil {
		return nil, fmt.Errorf("record of %d bytes: %w", len(text), err)
	}
	m := both.Message
	if m == nil {
		m, both.Envelope = &frame{}, facts{}
		if err := json.Unmarshal(text, m); err != nil {
			return nil, fmt.Errorf("message of a record of %d bytes: %w", len(text), err)
		}
	}
	e := both.Envelope
	return &Record{
		Event: m.Event, Channel: m.Channel, Name: m.Name, Data: m.Data, UserID: m.UserID, MessageID: m.MessageID,
		Tags: tagsOf(m.Tags), Extras: value(m.Extras),
		Except: e.Except, Client: e.Client, Full: e.Full, Publisher: e.Publisher, PublishedAt: e.PublishedAt,
		Action: e.Action, MessageSerial: e.MessageSerial, VersionSerial: e.VersionSerial, HistorySerial: e.HistorySerial,
		VersionAt: e.VersionAt, VersionClient: e.VersionClient, Description: e.Description,
		Metadata: value(e.Metadata), Fragment: value(e.Fragment), Fingerprint: e.Fingerprint,
	}, nil
}

func tagsOf(members map[string]string) (tags protocol.Tags) {
	for key, value := range members {
		tags = append(tags, protocol.Tag{Key: key, Value: value})
	}
	slices.SortFunc(tags, func(x, y protocol.Tag) int { return strings.Compare(x.Key, y.Key) })
	return tags
}

// value is nil for null, which means the same as an absent member.
func value(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
