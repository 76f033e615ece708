package rest

import (
	"bytes"
	"encoding/json"
)

// walker goes through an object or an array that validJSON has passed.
type walker struct {
	text []byte
	pos  int
}

func walk(container []byte) walker { return walker{text: container, pos: 1} }

// member is the next member of an object, its name decoded.
func (w *walker) member() (name, value []byte, ok bool) {
	if !w.more() {
		return nil, nil, false
	}
	raw := w.next()
	name = raw[1 : len(raw)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		name = []byte(decoded(raw))
	}
	w.skip(':')
	return name, w.next(), true
}

// element is the next element of an array.
func (w *walker) element() (value []byte, ok bool) {
	if !w.more() {
		return nil, false
	}
	return w.next(), true
}

// more goes to the next entry and reports whether there is one.
func (w *walker) more() bool {
	w.skip(',')
	return w.text[w.pos] != '}' && w.text[w.pos] != ']'
}

// skip passes whitespace and a separator.
func (w *walker) skip(separator byte) {
	for isSpace(w.text[w.pos]) || w.text[w.pos] == separator {
		w.pos++
	}
}

// next is the value at pos.
func (w *walker) next() []byte {
	start := w.pos
	switch w.text[w.pos] {
	case '"':
		w.passString()
	case '{', '[':
		w.passContainer()
	default:
		for !isSpace(w.text[w.pos]) && w.text[w.pos] != ',' && w.text[w.pos] != '}' && w.text[w.pos] != ']' {
			w.pos++
		}
	}
	return w.text[start:w.pos]
}

// passString passes a string: it ends with the first quote that has an even
// number of backslashes before it.
func (w *walker) passString() {
	for w.pos++; ; {
		w.pos += bytes.IndexByte(w.text[w.pos:], '"') + 1
		backslashes := 0
		for w.text[w.pos-2-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return
		}
	}
}

func (w *walker) passContainer() {
	for depth := 0; ; {
		switch w.text[w.pos] {
		case '"':
			w.passString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		w.pos++
		if depth == 0 {
			return
		}
	}
}

// textOf is the value of a JSON string. ok is false for any other value.
func textOf(raw []byte) (text string, ok bool) {
	if raw[0] != '"' {
		return "", false
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), true
	}
	return decoded(raw), true
}

// decoded is the value of a valid JSON string with escapes.
func decoded(raw []byte) string {
	var text string
	_ = json.Unmarshal(raw, &text) // it has been checked
	return text
}

func isNull(raw []byte) bool   { return raw[0] == 'n' }
func isBool(raw []byte) bool   { return raw[0] == 't' || raw[0] == 'f' }
func isObject(raw []byte) bool { return raw[0] == '{' }
func isArray(raw []byte) bool  { return raw[0] == '[' }
