package filter

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"

	"github.com/sockudo/caddy-sockudo/realtime/filter/jmespath"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// maxDocument is the longest JSON text of a document for expressions, in bytes.
const maxDocument = 64 << 10

// Message is what predicates see of a message. Its fields must not change after a
// predicate has seen it; then many goroutines may show it to predicates at once. Texts
// that are empty are null for expressions.
type Message struct {
	Event, Channel string
	// Data is a JSON value. For expressions, a string that holds valid JSON is that
	// JSON, as publishers over HTTP mean it (D19). Empty is null.
	Data         json.RawMessage
	Name, UserID string
	// Tags are sorted by key.
	Tags protocol.Tags
	// Headers are without a null, an array or an object. Those of the server, whose
	// names begin with "sockudo_", are hidden.
	Headers             []protocol.Header
	MessageID, StreamID string
	// Serial is null if it is 0.
	Serial uint64
	// Action is that of a mutable message: create, update, delete, append or summary.
	Action string

	once     sync.Once
	document map[string]any // nil if there is none
}

// satisfies reports whether the value of an expression is true. It is not if there is
// no value.
func (m *Message) satisfies(e *jmespath.Expression) bool {
	m.once.Do(m.project)
	if m.document == nil {
		return false
	}
	value, err := e.Search(m.document)
	return err == nil && jmespath.Truth(value)
}

// project makes the document, once for all expressions. There is none if it would be
// too long, or hold a number that is too large for expressions.
func (m *Message) project() {
	text, ok := m.text()
	if !ok {
		return
	}
	var document map[string]any
	if json.Unmarshal(text, &document) == nil {
		m.document = document
	}
}

// text is the JSON of the document. It reports false when that gets too long, which it
// sees before it writes much.
func (m *Message) text() ([]byte, bool) {
	known := len(m.Event) + len(m.Channel) + len(m.Name) + len(m.UserID) + len(m.MessageID) + len(m.StreamID) + len(m.Action)
	for _, tag := range m.Tags {
		known += len(tag.Key) + len(tag.Value)
	}
	for _, header := range m.Headers {
		if !hidden(header) {
			known += len(header.Name) + len(header.Value)
		}
	}
	data := m.data()
	if known > maxDocument || len(data) > maxDocument-known {
		return nil, false
	}
	b := make([]byte, 0, known+len(data)+256)
	b = append(b, `{"event":`...)
	b = appendOrNull(b, m.Event)
	b = append(b, `,"channel":`...)
	b = appendOrNull(b, m.Channel)
	b = append(b, `,"data":`...)
	b = append(b, data...)
	b = append(b, `,"name":`...)
	b = appendOrNull(b, m.Name)
	b = append(b, `,"userId":`...)
	b = appendOrNull(b, m.UserID)
	b = append(b, `,"tags":`...)
	b = m.appendTags(b)
	b = append(b, `,"headers":`...)
	b = m.appendHeaders(b)
	b = append(b, `,"messageId":`...)
	b = appendOrNull(b, m.MessageID)
	b = append(b, `,"streamId":`...)
	b = appendOrNull(b, m.StreamID)
	b = append(b, `,"serial":`...)
	if m.Serial == 0 {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendUint(b, m.Serial, 10)
	}
	b = append(b, `,"action":`...)
	b = append(appendOrNull(b, m.Action), '}')
	return b, len(b) <= maxDocument
}

func (m *Message) appendTags(b []byte) []byte {
	if len(m.Tags) == 0 {
		return append(b, "null"...)
	}
	for i, tag := range m.Tags {
		b = append(b, "{,"[min(i, 1)])
		b = append(protocol.AppendString(b, tag.Key), ':')
		b = protocol.AppendString(b, tag.Value)
	}
	return append(b, '}')
}

func (m *Message) appendHeaders(b []byte) []byte {
	if len(m.Headers) == 0 {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for _, header := range m.Headers {
		if hidden(header) {
			continue
		}
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(protocol.AppendString(b, header.Name), ':')
		b = append(b, header.Value...)
	}
	return append(b, '}')
}

// hidden says that a header is the server's.
func hidden(h protocol.Header) bool { return strings.HasPrefix(h.Name, protocol.ReservedHeader) }

// data is the value that expressions see: what a string holds if that is JSON.
func (m *Message) data() json.RawMessage {
	// An escaped character takes six bytes at most, so a longer string holds too much.
	if len(m.Data) > 6*maxDocument+2 {
		return m.Data
	}
	if text, ok := textOf(m.Data); ok {
		if held := []byte(text); json.Valid(held) {
			return bytes.TrimSpace(held)
		}
	}
	if len(m.Data) == 0 {
		return json.RawMessage("null")
	}
	return m.Data
}

func appendOrNull(b []byte, text string) []byte {
	if text == "" {
		return append(b, "null"...)
	}
	return protocol.AppendString(b, text)
}
