package push

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxMetadata and the others are the sizes of section 2, in bytes.
const (
	MaxMetadata     = 4096
	MaxTemplateData = 8192
	MaxOverride     = 4096
	MaxField        = 4096 // a rendered field
	MaxTitle        = 256
	MaxBody         = 4096
	MaxIcon         = 2048
	MaxCursor       = 2048
	maxWord         = 128 // a time zone, a locale
	maxAddress      = 4096
)

// maxQuoted bounds a name in the form in which a cursor has it, so that one of two
// names never exceeds MaxCursor.
const maxQuoted = 900

// Parse reads JSON that somebody has sent. Unknown members are ignored. An error names
// the member, but shows nothing of it.
func Parse(body []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		return Fault("body", "there is more after the JSON value")
	}
	var (
		kind  *json.UnmarshalTypeError
		fault *FieldError
	)
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &kind) && kind.Field != "":
		// Types that read two spellings embed themselves as plain, which is no member.
		return Fault(strings.ReplaceAll(kind.Field, "plain.", ""), "it cannot be a JSON %s", kindWord(kind.Value))
	case errors.As(err, &kind):
		return Fault("body", "it cannot be a JSON %s", kindWord(kind.Value))
	}
	return Fault("body", "it is not valid JSON")
}

// kindWord is what a decoder says of a value without the value, which it adds to
// numbers.
func kindWord(value string) string {
	word, _, _ := strings.Cut(value, " ")
	return word
}

// checkName refuses what cannot be an id or the name of a channel.
func checkName(field, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return Fault(field, "it must not be empty")
	case len(name) > MaxName:
		return Fault(field, "it has %d bytes, more than %d", len(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return Fault(field, "it must be text without control characters")
	case len(quote(quote(name))) > maxQuoted:
		return Fault(field, "it has too many characters that JSON writes as several")
	}
	return nil
}

// checkWord refuses what cannot be a time zone or the like.
func checkWord(field, word string) error {
	if strings.TrimSpace(word) == "" {
		return Fault(field, "it must not be empty")
	}
	return checkLength(field, word, maxWord)
}

// checkLength bounds a text.
func checkLength(field, text string, most int) error {
	if len(text) > most {
		return Fault(field, "it has %d bytes, more than %d", len(text), most)
	}
	return nil
}

// compact shortens JSON that somebody has sent, and bounds it. Null is nothing.
func compact(field string, text json.RawMessage, most int) (json.RawMessage, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil || !utf8.Valid(text) {
		return nil, Fault(field, "it is not valid JSON")
	}
	switch {
	case b.String() == "null":
		return nil, nil
	case b.Len() > most:
		return nil, Fault(field, "it has %d bytes, more than %d", b.Len(), most)
	}
	return b.Bytes(), nil
}

// compactObject does the same with what must be an object.
func compactObject(field string, text json.RawMessage, most int) (json.RawMessage, error) {
	short, err := compact(field, text, most)
	if err == nil && short != nil && short[0] != '{' {
		return nil, Fault(field, "it must be a JSON object")
	}
	return short, err
}

// quote is the JSON of a text, without the escapes that only HTML needs.
func quote(text string) string { return string(raw(text)) }
