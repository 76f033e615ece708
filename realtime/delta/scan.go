package delta

import (
	"bytes"
	"encoding/json"
)

// The functions here walk through valid JSON without building anything of it. On
// anything else they end somewhere, and find something or nothing.

// member is the value of a member of an object, the last one of that name; nil if
// there is none, or the value is no object.
func member(object json.RawMessage, name string) (found json.RawMessage) {
	at := skipSpace(object, 0)
	if at >= len(object) || object[at] != '{' {
		return nil
	}
	for at++; ; at++ { // over a brace or a comma
		at = skipSpace(object, at)
		if at >= len(object) || object[at] != '"' {
			return found
		}
		end := skipString(object, at)
		this := object[at:end]
		at = skipSpace(object, end)
		at = skipSpace(object, at+1) // over the colon
		end = skipValue(object, at)
		if at >= end {
			return found
		}
		if named(this, name) {
			found = object[at:end]
		}
		at = skipSpace(object, end)
	}
}

// named reports whether a JSON string is name.
func named(quoted json.RawMessage, name string) bool {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return len(quoted) == len(name)+2 && string(quoted[1:len(quoted)-1]) == name
	}
	var text string
	return json.Unmarshal(quoted, &text) == nil && text == name
}

func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// skipString is where the string that begins at a quote ends.
func skipString(text []byte, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(text)
}

// skipValue is where the value that begins at a place ends.
func skipValue(text []byte, at int) int {
	for depth := 0; at < len(text); {
		switch text[at] {
		case '"':
			at = skipString(text, at)
			if depth == 0 {
				return at
			}
		case '{', '[':
			depth++
			at++
		case '}', ']':
			if depth == 0 {
				return at
			}
			depth--
			at++
			if depth == 0 {
				return at
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return at
			}
			at++
		default:
			at++
		}
	}
	return len(text)
}
