package conformance

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// envelope is one message of the server as this suite's own codecs read it, whatever
// the encoding.
type envelope struct {
	Event, Channel string
	// Data is a JSON value, nil when the member is absent. Kind is how a binary encoding
	// wrote it, empty in JSON.
	Data         json.RawMessage
	Kind         string
	Name, UserID string
	Tags         map[string]string
	MessageID    string
	StreamID     string
	Serial       *uint64
	// Extras is the member in JSON. Binary encodings have no such text: it is made of
	// what they carry, with sorted names.
	Extras   json.RawMessage
	DeltaSeq *uint64
	DeltaKey *string

	// text is the message in JSON: the very bytes that came, or, of a binary encoding,
	// what a JSON connection should have got.
	text string
	// raw is what came.
	raw []byte
}

// extras are those that binary encodings know, in the order in which JSON has them.
type extras struct {
	Headers        map[string]any `json:"headers,omitempty"`
	Ephemeral      *bool          `json:"ephemeral,omitempty"`
	IdempotencyKey *string        `json:"idempotencyKey,omitempty"`
	Echo           *bool          `json:"echo,omitempty"`
	AI             *aiExtras      `json:"ai,omitempty"`
}

type aiExtras struct {
	Transport map[string]string `json:"transport,omitempty"`
	Codec     map[string]string `json:"codec,omitempty"`
}

// asJSON writes the message with the members in the order of section 0.3.
func (e *envelope) asJSON() string {
	var b strings.Builder
	add := func(name, value string) {
		if value == "" {
			return
		}
		b.WriteString(map[bool]string{true: "{", false: ","}[b.Len() == 0])
		b.WriteString(`"` + name + `":` + value)
	}
	add("event", text(e.Event))
	add("channel", text(e.Channel))
	add("data", string(e.Data))
	add("name", text(e.Name))
	add("user_id", text(e.UserID))
	if e.Tags != nil {
		add("tags", compact(e.Tags))
	}
	add("message_id", text(e.MessageID))
	add("stream_id", text(e.StreamID))
	add("serial", number(e.Serial))
	add("extras", string(e.Extras))
	add("__delta_seq", number(e.DeltaSeq))
	if e.DeltaKey != nil {
		add("__conflation_key", compact(*e.DeltaKey))
	}
	return b.String() + "}"
}

func text(s string) string {
	if s == "" {
		return ""
	}
	return compact(s)
}

func number(n *uint64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(*n, 10)
}

// compact is a value in JSON, with <, > and & as they are.
func compact(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // texts, numbers and maps of them
	}
	return strings.TrimSuffix(b.String(), "\n")
}

var (
	drawnID     = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`)
	drawnSocket = regexp.MustCompile(`socket_id\\":\\"[0-9]{1,10}\.[0-9]{1,10}\\"`)
	ownName     = regexp.MustCompile(`=[0-9]+`)
)

// plain is a text with … for each id that the server has drawn, and without what makes
// the names of a stage its own: as the examples of the specification are written.
func plain(s string) string {
	s = drawnID.ReplaceAllString(s, "…")
	s = drawnSocket.ReplaceAllString(s, `socket_id\":\"…\"`)
	return ownName.ReplaceAllString(s, "")
}
