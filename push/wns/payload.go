package wns

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// MaxPayload is the size of what is sent: XML, or raw octets.
const MaxPayload = 5000

// message is a payload. Those that are rendered are toasts, and callers write all kinds:
//
//	{"type": "toast", "title": …, "body": …, "icon": URL, "sound": …, "launch": TEXT, "data": {…}}
//	{"type": "tile", "title": …, "body": …, "icon": URL}
//	{"type": "badge", "value": 7}, or one of the glyphs such as "alert"
//	{"type": "raw", "body": TEXT}, or {"type": "raw", "data": JSON}
//	{"type": "toast", "xml": "<toast>…</toast>"}, and in the same way for tile and badge
//
// and in all of them "headers", an object of texts, with some of those in headerForms.
// The type may also be written wns/toast and so on.
type message struct {
	Type    string            `json:"type"`
	Headers map[string]string `json:"headers,omitempty"`
	Title   string            `json:"title,omitempty"`
	Body    string            `json:"body,omitempty"`
	Icon    string            `json:"icon,omitempty"`
	Sound   string            `json:"sound,omitempty"`
	// Launch is what the app is told when the toast is opened. Default: the data.
	Launch string          `json:"launch,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"`
	Value  json.RawMessage `json:"value,omitempty"`
	// XML is the content in place of all other members.
	XML string `json:"xml,omitempty"`
}

// members are those that may stand beside type, headers and xml.
var members = map[string][]string{
	"toast": {"title", "body", "icon", "sound", "launch", "data"},
	"tile":  {"title", "body", "icon"},
	"badge": {"value"},
	"raw":   {"body", "data"},
}

// headerForms are the headers that a payload may have, and their values. The type of
// the message and that of its content follow from the payload.
var headerForms = map[string]*regexp.Regexp{
	"X-Wns-Cache-Policy":  regexp.MustCompile(`^(no-)?cache$`),
	"X-Wns-Ttl":           regexp.MustCompile(`^[1-9][0-9]{0,8}$`),
	"X-Wns-Tag":           tagForm,
	"X-Wns-Group":         tagForm,
	"X-Wns-Suppresspopup": regexp.MustCompile(`^(true|false)$`),
	"X-Wns-Priority":      regexp.MustCompile(`^(High|Medium|Low|Very-low)$`),
}

var tagForm = regexp.MustCompile(`^[A-Za-z0-9]{1,16}$`)

// glyphs are the badges that are no numbers.
var glyphs = []string{
	"none", "activity", "alarm", "alert", "attention", "available", "away", "busy", "error", "newMessage", "paused", "playing", "unavailable",
}

// render makes the payload of a toast.
func render(c *push.Content) (json.RawMessage, error) {
	m := &message{Type: "wns/toast", Title: c.Title, Body: c.Body, Icon: c.Icon, Sound: c.Sound}
	if len(c.Data) > 0 && string(c.Data) != "null" {
		m.Data = c.Data
	}
	if tag := tagOf(c.CollapseKey); tag != "" {
		m.Headers = map[string]string{"X-WNS-Group": tag, "X-WNS-Tag": tag}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return nil, push.Fault("data", "it is no JSON")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// tagOf is a collapse key as the service takes it: at most 16 letters and digits. Any
// other is replaced by the begin of its hash.
func tagOf(key string) string {
	if key == "" || tagForm.MatchString(key) {
		return key
	}
	return push.Hash(key)[:16]
}

// parse reads and checks a payload.
func parse(payload json.RawMessage) (*message, error) {
	var given map[string]json.RawMessage
	if json.Unmarshal(payload, &given) != nil || given == nil {
		return nil, push.Fault("payload", "it is no JSON object")
	}
	m := new(message)
	for name, to := range map[string]any{
		"type": &m.Type, "headers": &m.Headers, "title": &m.Title, "body": &m.Body, "icon": &m.Icon, "sound": &m.Sound,
		"launch": &m.Launch, "data": &m.Data, "value": &m.Value, "xml": &m.XML,
	} {
		if text, ok := given[name]; ok && json.Unmarshal(text, to) != nil {
			return nil, push.Fault(name, "it has the wrong type")
		}
	}
	m.Type = strings.TrimPrefix(m.Type, "wns/")
	may, ok := members[m.Type]
	if !ok {
		return nil, push.Fault("type", "it must be toast, tile, badge or raw")
	}
	if string(m.Data) == "null" {
		m.Data = nil
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		switch {
		case name == "type" || name == "headers" || name == "xml" && m.Type != "raw":
		case !slices.Contains(may, name):
			return nil, push.Fault("payload", "a %s has no member %.32q", m.Type, name)
		case m.XML != "":
			return nil, push.Fault("xml", "it cannot be there together with %s", name)
		}
	}
	if err := m.checkHeaders(); err != nil {
		return nil, err
	}
	return m, m.check()
}

func (m *message) checkHeaders() error {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
		canonical, value := http.CanonicalHeaderKey(name), m.Headers[name]
		form := headerForms[canonical]
		switch {
		case form == nil:
			return push.Fault("headers", "%.32q cannot be written here", name)
		case seen[canonical]:
			return push.Fault("headers."+name, "it is written twice")
		case !form.MatchString(value):
			return push.Fault("headers."+name, "it must match %s", form)
		}
		seen[canonical] = true
	}
	return nil
}

// check checks the content.
func (m *message) check() error {
	switch {
	case m.XML != "":
		if err := checkXML(m.XML, m.Type); err != nil {
			return push.Fault("xml", "%v", err)
		}
		return nil
	case m.Type == "badge":
		return m.checkValue()
	case m.Type == "raw":
		if (m.Body == "") == (len(m.Data) == 0) {
			return push.Fault("body", "a raw notification has either a body or data")
		}
		return nil
	case m.Title == "" && m.Body == "":
		return push.Fault("title", "it is missing, and so are body and xml")
	}
	return nil
}

func (m *message) checkValue() error {
	var glyph string
	if json.Unmarshal(m.Value, &glyph) == nil && slices.Contains(glyphs, glyph) {
		return nil
	}
	if _, err := strconv.ParseUint(string(m.Value), 10, 31); err != nil {
		return push.Fault("value", "it must be a whole number, or one of %s", strings.Join(glyphs, ", "))
	}
	return nil
}

// content is what is sent.
func (m *message) content() []byte {
	switch {
	case m.XML != "":
		return []byte(m.XML)
	case m.Type == "toast":
		return m.toast()
	case m.Type == "tile":
		return m.tile()
	case m.Type == "badge":
		return m.badge()
	case len(m.Data) > 0:
		return compact(m.Data)
	}
	return []byte(m.Body)
}

// compact is JSON without white space.
func compact(text json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text // cannot be, because it has been parsed
	}
	return b.Bytes()
}

// header are the headers of the request. The caller's go before those that follow from
// the notification, and its time to live counts if it is the shorter one.
func (m *message) header(ttl time.Duration, collapseKey string) http.Header {
	h := http.Header{"X-Wns-Type": {"wns/" + m.Type}, "X-Wns-Requestforstatus": {"true"}, "X-Wns-Cache-Policy": {"cache"}}
	h.Set("Content-Type", "text/xml")
	if m.Type == "raw" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if tag := tagOf(collapseKey); tag != "" && (m.Type == "toast" || m.Type == "tile") {
		h.Set("X-WNS-Tag", tag)
		if m.Type == "toast" {
			h.Set("X-WNS-Group", tag)
		}
	}
	for name, value := range m.Headers {
		h.Set(name, value)
	}
	seconds := max(1, int(ttl/time.Second))
	if own, err := strconv.Atoi(h.Get("X-WNS-TTL")); err == nil {
		seconds = min(seconds, own)
	}
	h.Set("X-WNS-TTL", strconv.Itoa(seconds))
	return h
}
