package webpush

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// MaxPlaintext is the longest message, in bytes: encryption adds 103, and a push service
// need not take more than 4096.
const MaxPlaintext = 3993

// maxTTL is what services keep messages for at most; some refuse more.
const maxTTL = 28 * 24 * time.Hour

// maxTopic bounds a topic, in characters.
const maxTopic = 32

// topicAlphabet is that of base64url.
const topicAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// headers are those of the request, as a payload names them.
type headers struct {
	TTL     json.RawMessage `json:"ttl,omitempty"`
	Urgency *string         `json:"urgency,omitempty"`
	Topic   *string         `json:"topic,omitempty"`
}

// message is a payload that has been read.
type message struct {
	plaintext []byte
	// ttl is nil unless the payload has one.
	ttl     *time.Duration
	urgency string
	// topic is empty if the payload says nothing of it.
	topic string
}

// content is what a service worker gets.
type content struct {
	Notification shown           `json:"notification"`
	Data         json.RawMessage `json:"data,omitempty"`
}

// shown is what a browser shows.
type shown struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body,omitempty"`
	Image string `json:"image,omitempty"`
}

func render(c *push.Content) (json.RawMessage, error) {
	normal := "normal"
	h := headers{Urgency: &normal}
	if topic := topicOf(c.CollapseKey); topic != "" {
		h.Topic = &topic
	}
	data := c.Data
	if string(data) == "null" {
		data = nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it would only make messages longer
	err := e.Encode(struct {
		Headers headers `json:"headers"`
		content
	}{h, content{shown{c.Title, c.Body, c.Icon}, data}})
	if err != nil {
		return nil, push.Fault("data", "is not JSON")
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// topicOf is the topic that stands for a collapse key: the key itself where that can be
// one, and else the start of its hash.
func topicOf(key string) string {
	if len(key) <= maxTopic && !strings.ContainsFunc(key, notOfTopic) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return encoding.EncodeToString(sum[:])[:maxTopic]
}

func notOfTopic(r rune) bool { return !strings.ContainsRune(topicAlphabet, r) }

// readMessage takes a payload apart: its headers, and all else, which is encrypted.
func readMessage(payload json.RawMessage) (*message, error) {
	raw, plaintext, err := split(payload)
	if err != nil {
		return nil, err
	}
	if len(plaintext) > MaxPlaintext {
		return nil, push.Fault("payload", "has %d bytes without its headers, more than %d", len(plaintext), MaxPlaintext)
	}
	m := &message{plaintext: plaintext, urgency: "normal"}
	if raw == nil || string(raw) == "null" {
		return m, nil
	}
	return m, m.readHeaders(raw)
}

// split cuts the member headers out of an object. What is left keeps its order. It is
// written without the escapes of < > & that JSON may but need not have, so that it is as
// long whoever has written it again on the way.
func split(payload json.RawMessage) (headers json.RawMessage, rest []byte, err error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, push.Fault("payload", "is not a JSON object")
	}
	b := bytes.NewBuffer(make([]byte, 0, len(payload)))
	b.WriteByte('{')
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return nil, nil, push.Fault("payload", "is not a JSON object")
		}
		if name == "headers" {
			if headers != nil {
				return nil, nil, push.Fault("headers", "is there twice")
			}
			headers = value
			continue
		}
		if err := writeMember(b, name, value); err != nil {
			return nil, nil, push.Fault("payload", "is not a JSON object")
		}
	}
	if _, err := d.Token(); err != nil || d.InputOffset() != int64(len(bytes.TrimRight(payload, " \t\r\n"))) {
		return nil, nil, push.Fault("payload", "is not a JSON object")
	}
	b.WriteByte('}')
	return headers, b.Bytes(), nil
}

func writeMember(b *bytes.Buffer, name string, value json.RawMessage) error {
	if b.Len() > 1 {
		b.WriteByte(',')
	}
	text, err := json.Marshal(name)
	if err != nil {
		return err
	}
	b.Write(unescape(text))
	b.WriteByte(':')
	start := b.Len()
	if err := json.Compact(b, value); err != nil {
		return err
	}
	short := unescape(b.Bytes()[start:])
	b.Truncate(start + len(short))
	return nil
}

// escapes are those that encoding/json writes and that JSON does not need.
var escapes = map[string]string{"003c": "<", "003e": ">", "0026": "&", "2028": "\u2028", "2029": "\u2029"}

// unescape replaces them in place.
func unescape(text []byte) []byte {
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	short := text[:0]
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			short = append(short, text[i])
			continue
		}
		if text[i+1] == 'u' && i+6 <= len(text) {
			if plain, ok := escapes[strings.ToLower(string(text[i+2:i+6]))]; ok {
				short = append(short, plain...)
				i += 5
				continue
			}
		}
		short = append(short, text[i], text[i+1])
		i++
	}
	return short
}

func (m *message) readHeaders(raw json.RawMessage) error {
	var h headers
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
			return push.Fault("headers."+wrong.Field, "is not a text")
		}
		return push.Fault("headers", "is not an object with ttl, urgency and topic at most")
	}
	if h.Urgency != nil {
		switch *h.Urgency {
		case "very-low", "low", "normal", "high":
			m.urgency = *h.Urgency
		default:
			return push.Fault("headers.urgency", "is not one of very-low, low, normal and high")
		}
	}
	if h.Topic != nil {
		if len(*h.Topic) > maxTopic || *h.Topic == "" || strings.ContainsFunc(*h.Topic, notOfTopic) {
			return push.Fault("headers.topic", "is not of 1 to %d characters of A-Z, a-z, 0-9, - and _", maxTopic)
		}
		m.topic = *h.Topic
	}
	return m.readTTL(h.TTL)
}

// readTTL reads seconds, as a number or as its digits.
func (m *message) readTTL(raw json.RawMessage) error {
	text := string(raw)
	if text == "" || text == "null" {
		return nil
	}
	if len(text) > 2 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return push.Fault("headers.ttl", "is not a number of seconds")
	}
	ttl := time.Duration(seconds) * time.Second
	m.ttl = &ttl
	return nil
}
