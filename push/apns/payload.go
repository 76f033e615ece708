package apns

import (
	"bytes"
	"encoding/json"

	"github.com/sockudo/caddy-sockudo/push"
)

// The most bytes of a body, which APNs refuses beyond.
const (
	maxBody     = 4096
	maxVoipBody = 5120
)

// Render makes a payload with the headers that belong to the notification. Those of the
// device and of the moment are added when it is sent.
func (Provider) Render(c *push.Content) (json.RawMessage, error) {
	type alert struct {
		Title string `json:"title,omitempty"`
		Body  string `json:"body,omitempty"`
	}
	var p struct {
		Headers struct {
			Type     string `json:"apns-push-type"`
			Priority string `json:"apns-priority"`
			Collapse string `json:"apns-collapse-id,omitempty"`
		} `json:"headers"`
		APS struct {
			Alert alert  `json:"alert"`
			Sound string `json:"sound,omitempty"`
		} `json:"aps"`
		Data json.RawMessage `json:"data,omitempty"`
	}
	p.Headers.Type, p.Headers.Priority, p.Headers.Collapse = "alert", "10", collapseID(c.CollapseKey)
	p.APS.Alert, p.APS.Sound = alert{c.Title, c.Body}, c.Sound
	if !absent(c.Data) {
		p.Data = c.Data
	}
	b, err := encode(p)
	if err != nil {
		return nil, push.Fault("data", "is not JSON")
	}
	return b, nil
}

// CheckPayload refuses what APNs would. The headers of a payload do not count towards
// its size, and everything else does.
func (Provider) CheckPayload(payload json.RawMessage, override bool) error {
	p, err := parsePayload(payload)
	if err != nil {
		return err
	}
	most := maxBody
	if p.pushType == "voip" {
		most = maxVoipBody
	}
	if len(p.body) > most {
		return push.Fault("payload", "has %d bytes without its headers, which is more than %d", len(p.body), most)
	}
	if override && string(p.body) == "{}" {
		return push.Fault("payload", "has nothing besides headers")
	}
	return nil
}

// payload is one that has been taken apart.
type payload struct {
	headers
	// body is what is sent: every member besides headers.
	body []byte
}

// parsePayload takes a payload apart.
func parsePayload(text json.RawMessage) (p payload, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return p, push.Fault("payload", "is not a JSON object")
	}
	if p.headers, err = parseHeaders(members["headers"]); err != nil {
		return p, err
	}
	delete(members, "headers")
	if aps := members["aps"]; !absent(aps) && aps[0] != '{' {
		return p, push.Fault("aps", "is not a JSON object")
	}
	p.body, err = encode(members)
	return p, err
}

// absent reports whether a member is not there, or null.
func absent(member json.RawMessage) bool { return len(member) == 0 || string(member) == "null" }

// encode writes JSON in the fewest bytes, because APNs counts them.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return plain(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// escaped are the characters that encoding/json writes as six bytes each for the sake of
// pages of HTML. A payload comes through it several times on its way.
var escaped = map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&", `\u2028`: "\u2028", `\u2029`: "\u2029"}

// plain replaces them by what they stand for.
func plain(text []byte) []byte {
	if !bytes.Contains(text, []byte(`\u`)) {
		return text
	}
	to := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		switch {
		case text[i] != '\\' || i+1 == len(text):
			to = append(to, text[i])
			i++
		case text[i+1] == 'u' && i+6 <= len(text) && escaped[string(text[i:i+6])] != "":
			to = append(to, escaped[string(text[i:i+6])]...)
			i += 6
		default: // also a backslash that is escaped itself
			to = append(to, text[i], text[i+1])
			i += 2
		}
	}
	return to
}
