package hms

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

const (
	// MaxPayload is the size of a message without its registration token, in bytes.
	MaxPayload = 4096
	// maxTTL is how long the service keeps a message.
	maxTTL = 15 * 24 * time.Hour
	// minCollapse and maxCollapse bound collapse keys.
	minCollapse, maxCollapse = -1, 100
)

// object is a JSON object whose members stay as they are.
type object map[string]json.RawMessage

// message is a payload on its way: what is set when it is sent, and everything else as
// it is.
type message struct {
	whole, message, android object
	// life is how long the caller wants it kept at most, or zero.
	life time.Duration
}

// render makes a payload. Members that have nothing to say are left out.
func render(c *push.Content) (json.RawMessage, error) {
	type action struct {
		Type int `json:"type"`
	}
	type android struct {
		ClickAction  action `json:"click_action"`
		Sound        string `json:"sound,omitempty"`
		DefaultSound *bool  `json:"default_sound,omitempty"`
	}
	m, a := map[string]any{}, map[string]any{}
	if c.Title != "" || c.Body != "" {
		notification := map[string]string{"title": c.Title, "body": c.Body}
		if c.Icon != "" {
			notification["image"] = c.Icon
		}
		m["notification"] = notification
		shown := android{ClickAction: action{3}} // opens the app
		if usual := c.Sound == "default"; c.Sound != "" {
			shown.DefaultSound = &usual
			if !usual {
				shown.Sound = c.Sound
			}
		}
		a["notification"] = shown
	}
	if key, err := strconv.Atoi(c.CollapseKey); err == nil && key >= minCollapse && key <= maxCollapse {
		a["collapse_key"] = key
	}
	if len(a) > 0 {
		m["android"] = a
	}
	data, err := dataText(c.Data)
	if err != nil {
		return nil, err
	}
	if data != "" {
		m["data"] = data
	}
	return encode(map[string]any{"message": m})
}

// dataText is the data as the service wants it: the text of a JSON object.
func dataText(data json.RawMessage) (string, error) {
	if len(data) == 0 || string(data) == "null" {
		return "", nil
	}
	var b bytes.Buffer
	if json.Compact(&b, data) != nil || b.Bytes()[0] != '{' {
		return "", push.Fault("data", "it is no JSON object")
	}
	return b.String(), nil
}

// parse reads a payload and checks what the service is known to refuse. Members that
// it does not know are the caller's business.
func parse(payload json.RawMessage) (*message, error) {
	m := new(message)
	if json.Unmarshal(payload, &m.whole) != nil || m.whole == nil {
		return nil, push.Fault("payload", "it is no JSON object")
	}
	if json.Unmarshal(m.whole["message"], &m.message) != nil || m.message == nil {
		return nil, push.Fault("message", "it is missing or no JSON object")
	}
	for _, name := range []string{"token", "topic", "condition"} {
		if _, ok := m.message[name]; ok {
			return nil, push.Fault("message."+name, "the address is that of the recipient, and cannot be written here")
		}
	}
	if err := m.message.want("message.", map[string]check{"data": isText, "notification": isObject, "android": isObject}); err != nil {
		return nil, err
	}
	if text, ok := m.message["android"]; ok && json.Unmarshal(text, &m.android) != nil {
		return nil, push.Fault("message.android", "it is no JSON object")
	}
	if m.android == nil {
		m.android = object{}
	}
	err := m.android.want("message.android.", map[string]check{
		"collapse_key": isCollapseKey, "ttl": isTTL, "urgency": isUrgency, "data": isText, "notification": isObject,
	})
	if err != nil {
		return nil, err
	}
	if text, ok := m.android["ttl"]; ok {
		m.life = lifeOf(text)
	}
	return m, nil
}

// check says what is wrong with a value, or nothing.
type check func(value json.RawMessage) string

// want checks the members that are there.
func (o object) want(path string, checks map[string]check) error {
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		if value, ok := o[name]; ok {
			if text := checks[name](value); text != "" {
				return push.Fault(path+name, "%s", text)
			}
		}
	}
	return nil
}

func isText(v json.RawMessage) string {
	if v[0] != '"' {
		return "it must be a text"
	}
	return ""
}

func isObject(v json.RawMessage) string {
	if v[0] != '{' {
		return "it must be a JSON object"
	}
	return ""
}

func isCollapseKey(v json.RawMessage) string {
	if key, err := strconv.Atoi(string(v)); err != nil || key < minCollapse || key > maxCollapse {
		return "it must be a whole number from -1 to 100"
	}
	return ""
}

func isUrgency(v json.RawMessage) string {
	if s := string(v); s != `"HIGH"` && s != `"NORMAL"` {
		return "it must be HIGH or NORMAL"
	}
	return ""
}

var ttlForm = regexp.MustCompile(`^"[0-9]{1,9}(\.[0-9]{1,9})?s"$`)

func isTTL(v json.RawMessage) string {
	if !ttlForm.Match(v) || lifeOf(v) < time.Second {
		return "it must be seconds such as 600s, and at least one"
	}
	return ""
}

// lifeOf is the time of a text that isTTL takes, without fractions of a second.
func lifeOf(v json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.TrimSuffix(strings.Trim(string(v), `"`), "s"), 64)
	if err != nil {
		return 0
	}
	return time.Duration(math.Floor(min(seconds, maxTTL.Seconds()))) * time.Second
}

// encode writes the message for a registration token, with the shorter one of the
// caller's time to live and the given one.
func (m *message) encode(token string, ttl time.Duration) ([]byte, error) {
	ttl = min(max(ttl, time.Second), maxTTL)
	if m.life > 0 {
		ttl = min(ttl, m.life)
	}
	whole, inner, android := m.whole.with(), m.message.with(), m.android.with()
	android["ttl"] = json.RawMessage(`"` + strconv.Itoa(int(ttl/time.Second)) + `s"`)
	for _, part := range []struct {
		in   object
		name string
		v    any
	}{{inner, "android", android}, {inner, "token", []string{token}}, {whole, "message", inner}} {
		if part.name == "token" && token == "" {
			continue
		}
		text, err := encode(part.v)
		if err != nil {
			return nil, err
		}
		part.in[part.name] = text
	}
	return encode(whole)
}

// size is that of the message as it is sent, without the registration token.
func (m *message) size() int {
	text, err := m.encode("", maxTTL)
	if err != nil {
		return math.MaxInt // cannot be, because it has been parsed
	}
	return len(text)
}

// with is a copy to which members can be added.
func (o object) with() object {
	copied := make(object, len(o)+2)
	maps.Copy(copied, o)
	return copied
}

// encode writes JSON without the escapes that only HTML needs.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
