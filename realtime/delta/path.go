package delta

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxPath and maxSegments bound a conflation key path, in bytes and in names.
	maxPath     = 256
	maxSegments = 16
	// maxKey bounds a conflation key, in bytes: every socket keeps its keys.
	maxKey = 256
	// maxSearched is the length of data or extras, in bytes, above which they are not
	// searched.
	maxSearched = 64 << 10
)

// Path is where the conflation key of a message is found (section 6.5). The zero
// value is no path; nothing is found there.
type Path struct {
	segments []string
}

// ParsePath reads names separated by dots, such as "symbol" or "data.instrument.id".
// The empty text is no path. A path of more than 256 bytes or 16 names, or with an
// empty name, is an error.
func ParsePath(text string) (Path, error) {
	if text == "" {
		return Path{}, nil
	}
	if len(text) > maxPath {
		return Path{}, fmt.Errorf("conflation key path of %d bytes, at most %d are allowed", len(text), maxPath)
	}
	segments := strings.Split(text, ".")
	if len(segments) > maxSegments {
		return Path{}, fmt.Errorf("conflation key path %q has %d names, at most %d are allowed", text, len(segments), maxSegments)
	}
	if slices.Contains(segments, "") {
		return Path{}, fmt.Errorf("conflation key path %q has an empty name", text)
	}
	return Path{segments}, nil
}

// Set reports whether there is a path; see Settings.Keyed.
func (p Path) Set() bool { return len(p.segments) > 0 }

// Message is what a path is resolved on: the members of an event that can tell what
// it is about. What differs for each message, as ids and serials do, is not among
// them and never a key.
type Message struct {
	Event, Channel, Name, UserID string
	// Data is the JSON value of the member data. If it is a string that holds JSON,
	// that JSON is searched.
	Data json.RawMessage
	// Tag finds a tag, nil for none. What follows "tags." in a path is one name, dots
	// and all.
	Tag func(name string) (value string, ok bool)
	// Extras is a JSON object, or nothing.
	Extras json.RawMessage
}

// KeyAt is the conflation key of a message. A path begins with the name of one of the
// message's members; a single name that is none of them, or finds nothing there, is
// looked for in data. Only objects are entered, of a repeated name the last one counts.
//
// Keys are strings, numbers as they are written, true and false, of 1 to 256 bytes.
// Data and extras above 64 KiB are not searched. A text with double quotes,
// backslashes or control characters is no key: clients cut the member with the key out
// of the frame with a regular expression that ends at the first quote.
func (p Path) KeyAt(m Message) (key string, ok bool) {
	if !p.Set() {
		return "", false
	}
	key, ok = p.member(m)
	if !ok && len(p.segments) == 1 {
		key, ok = find(parsed(m.Data), p.segments)
	}
	if !ok || key == "" || !usableKey(key) {
		return "", false
	}
	return key, true
}

// member resolves the path from the message's members on.
func (p Path) member(m Message) (string, bool) {
	rest := p.segments[1:]
	plain := ""
	switch p.segments[0] {
	case "data":
		return find(parsed(m.Data), rest)
	case "extras":
		return find(checked(m.Extras), rest)
	case "tags":
		if len(rest) == 0 || m.Tag == nil {
			return "", false
		}
		return m.Tag(strings.Join(rest, "."))
	case "event":
		plain = m.Event
	case "channel":
		plain = m.Channel
	case "name":
		plain = m.Name
	case "user_id":
		plain = m.UserID
	}
	return plain, plain != "" && len(rest) == 0
}

// parsed is data, or the JSON in it if it is a string that holds some. It is nil for
// what is not searched.
func parsed(data json.RawMessage) json.RawMessage {
	var text string
	if len(data) == 0 || data[0] != '"' {
		return checked(data)
	}
	if len(data) > maxSearched || json.Unmarshal(data, &text) != nil {
		return nil
	}
	if inner := json.RawMessage(text); json.Valid(inner) {
		return inner
	}
	return data
}

// checked is a value, nil if it is not searched.
func checked(value json.RawMessage) json.RawMessage {
	if len(value) > maxSearched || !json.Valid(value) {
		return nil
	}
	return value
}

// find is the scalar at a path of names below a valid JSON value.
func find(value json.RawMessage, names []string) (string, bool) {
	for _, name := range names {
		value = member(value, name)
	}
	return scalar(value)
}

// scalar is the text of a string, a number or a boolean.
func scalar(value json.RawMessage) (string, bool) {
	value = value[skipSpace(value, 0):]
	if len(value) == 0 {
		return "", false
	}
	switch value[0] {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err == nil
	case '{', '[', 'n':
		return "", false
	default:
		return strings.TrimRight(string(value), " \t\r\n"), true
	}
}

// usableKey reports whether clients can take a key, which may be empty, out of a frame.
func usableKey(key string) bool {
	if len(key) > maxKey || !utf8.ValidString(key) {
		return false
	}
	for i := range len(key) {
		if key[i] < 0x20 || key[i] == '"' || key[i] == '\\' {
			return false
		}
	}
	return true
}
