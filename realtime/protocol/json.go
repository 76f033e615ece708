package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

var errNotObject = errors.New("not a JSON object")

// objectOf splits a JSON object into its members. Names are matched exactly, and
// of a repeated name the last one counts.
func objectOf(text []byte) (map[string]json.RawMessage, error) {
	if i := firstByte(text); i < 0 || text[i] != '{' {
		if !json.Valid(text) {
			return nil, errors.New("not valid JSON")
		}
		return nil, errNotObject
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	return members, nil
}

// member is one member of a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

// strictObjectOf splits a JSON object into its members, in their order. It refuses
// one that is there twice, and text around the object. The errors do not repeat the
// text.
func strictObjectOf(text []byte) ([]member, error) {
	members, twice, err := walkObject(text)
	if twice {
		return nil, errors.New("an object with a member that is there twice")
	}
	return members, err
}

// orderedMembers splits a JSON object in the order in which it is written. Of a
// repeated name the last one counts, in the place of the first.
func orderedMembers(text []byte) ([]member, error) {
	members, _, err := walkObject(text)
	return members, err
}

// walkObject splits a JSON object in its order and reports whether a name is repeated.
func walkObject(text []byte) (members []member, twice bool, err error) {
	switch i := firstByte(text); {
	case !utf8.Valid(text):
		return nil, false, errors.New("not valid UTF-8")
	case !json.Valid(text):
		return nil, false, errors.New("not valid JSON")
	case text[i] != '{':
		return nil, false, errNotObject
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return nil, false, errNotObject
	}
	places := map[string]int{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, false, errNotObject
		}
		m := member{name: token.(string)} // a name is always a string
		if err := d.Decode(&m.value); err != nil {
			return nil, false, errNotObject
		}
		if i, known := places[m.name]; known {
			members[i], twice = m, true
			continue
		}
		places[m.name] = len(members)
		members = append(members, m)
	}
	return members, twice, nil
}

// textsOf is a JSON array of strings. ok is false for any other value.
func textsOf(raw json.RawMessage) (texts []string, ok bool) {
	var entries []json.RawMessage
	if isNull(raw) || json.Unmarshal(raw, &entries) != nil {
		return nil, false
	}
	for _, entry := range entries {
		text, ok := stringOf(entry)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// objectOrText splits a JSON object, or a JSON string that holds one.
func objectOrText(data json.RawMessage) (map[string]json.RawMessage, error) {
	if text, ok := stringOf(data); ok {
		return objectOf([]byte(text))
	}
	if len(data) == 0 {
		return nil, errors.New("is missing")
	}
	return objectOf(data)
}

// stringOf is the value of a JSON string. ok is false for any other value.
func stringOf(raw json.RawMessage) (s string, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	if inner := raw[1 : len(raw)-1]; bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), true
	}
	return s, json.Unmarshal(raw, &s) == nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

func firstByte(text []byte) int {
	for i, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return -1
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string. It escapes what JSON requires and
// nothing else, so that text stays as short as it was.
func AppendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

func appendEscaped[T string | []byte](dst []byte, s T) []byte {
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, s[start:]...)
}

// appendUnquoted appends the value of a JSON string that is valid.
func appendUnquoted(dst []byte, raw json.RawMessage) []byte {
	rest := raw[1 : len(raw)-1]
	for {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 {
			return append(dst, rest...)
		}
		r, size := escaped(rest[i:])
		dst = utf8.AppendRune(append(dst, rest[:i]...), r)
		rest = rest[i+size:]
	}
}

// escaped is the character for which the escape at the beginning of s stands, and
// the length of the escape. Half of a surrogate pair is a replacement character, as
// encoding/json has it.
func escaped(s []byte) (r rune, size int) {
	if len(s) < 2 {
		return unicode.ReplacementChar, len(s)
	}
	switch s[1] {
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'u':
	default:
		return rune(s[1]), 2
	}
	if len(s) < 6 {
		return unicode.ReplacementChar, len(s)
	}
	if r = hexRune(s[2:6]); !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if both := utf16.DecodeRune(r, hexRune(s[8:12])); both != unicode.ReplacementChar {
			return both, 12
		}
	}
	return unicode.ReplacementChar, 6
}

func hexRune(digits []byte) (r rune) {
	for _, c := range digits {
		if c > '9' {
			c += 9 // the low bits of A and a are those of 1
		}
		r = r<<4 | rune(c&15)
	}
	return r
}

// EventData turns the data of a published event into what subscribers get: a
// JSON string. A string passes as it was written; any other value is compacted
// and put into a string; a missing value is the string "null" (section 0.4).
// size is the length that payload limits count: that of the string's value.
func EventData(raw json.RawMessage) (data json.RawMessage, size int) {
	if len(raw) == 0 {
		return json.RawMessage(`"null"`), len("null")
	}
	if raw[0] == '"' {
		return raw, valueLength(raw)
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		compact.Reset()
		compact.Write(raw)
	}
	return AppendString(make([]byte, 0, compact.Len()+compact.Len()/4+2), compact.Bytes()), compact.Len()
}

// valueLength is the UTF-8 length of the value of a JSON string.
func valueLength(raw json.RawMessage) int {
	if bytes.IndexByte(raw, '\\') < 0 {
		return len(raw) - 2
	}
	s, _ := stringOf(raw)
	return len(s)
}
