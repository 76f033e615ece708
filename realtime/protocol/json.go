package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
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
