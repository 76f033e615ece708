package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// eventText is a text with placeholders, taken apart when the configuration is loaded.
type eventText struct {
	parts []textPart
	// json says that the text is JSON, with placeholders in its strings only.
	json bool
}

// textPart is a piece of a text.
type textPart struct {
	// literal is what stands there as it is.
	literal string
	// name is that of a placeholder, or "".
	name string
	// inner is a string of JSON that has placeholders in it, or nil.
	inner []textPart
}

// parseEventText takes a text apart. JSON is for data only.
func parseEventText(text string, mayBeJSON bool) (eventText, error) {
	if !mayBeJSON || !looksLikeJSON(text) {
		return eventText{parts: splitText(text)}, nil
	}
	if !json.Valid([]byte(text)) {
		return eventText{}, fmt.Errorf("begins like JSON, and is not: placeholders stand in its strings, as in {\"id\":\"{http.request.uuid}\"}: %w", jsonError(text))
	}
	parts, err := splitJSON(text)
	return eventText{parts: parts, json: true}, err
}

func jsonError(text string) error {
	var v any
	return json.Unmarshal([]byte(text), &v)
}

// looksLikeJSON reports whether a text begins as an object or a list does, and not as a
// placeholder or a text in brackets.
func looksLikeJSON(text string) bool {
	text = strings.TrimSpace(text)
	if text == "" {
		return false
	}
	rest := strings.TrimSpace(text[1:])
	if rest == "" {
		return false
	}
	switch text[0] {
	case '{':
		return rest[0] == '"' || rest[0] == '}'
	case '[':
		return strings.IndexByte(`"{[]-0123456789`, rest[0]) >= 0
	}
	return false
}

// splitText finds the placeholders of a text. A brace behind a backslash is a brace.
func splitText(text string) (parts []textPart) {
	var literal strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '{' || text[i+1] == '}'):
			i++
			literal.WriteByte(text[i])
			continue
		case text[i] == '{':
			if end := strings.IndexByte(text[i:], '}'); end > 1 {
				if literal.Len() > 0 {
					parts = append(parts, textPart{literal: literal.String()})
					literal.Reset()
				}
				parts = append(parts, textPart{name: text[i+1 : i+end]})
				i += end
				continue
			}
		}
		literal.WriteByte(text[i])
	}
	if literal.Len() > 0 || len(parts) == 0 {
		parts = append(parts, textPart{literal: literal.String()})
	}
	return parts
}

// splitJSON finds the strings of a JSON text that have placeholders in them. What such
// a placeholder stands for becomes part of the string and of nothing else, whatever
// characters it has.
func splitJSON(text string) (parts []textPart, err error) {
	from := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		end := i + 1
		for text[end] != '"' { // the text is valid
			if text[end] == '\\' {
				end++
			}
			end++
		}
		var value string
		if err := json.Unmarshal([]byte(text[i:end+1]), &value); err != nil {
			return nil, err
		}
		if inner := splitText(value); len(inner) > 1 || inner[0].name != "" || inner[0].literal != value {
			parts = append(parts, textPart{literal: text[from:i]}, textPart{inner: inner})
			from = end + 1
		}
		i = end
	}
	return append(parts, textPart{literal: text[from:]}), nil
}

// names calls f for each placeholder.
func (t eventText) names(f func(name string) error) error {
	var walk func(parts []textPart) error
	walk = func(parts []textPart) (err error) {
		for _, p := range parts {
			if p.name != "" {
				err = errors.Join(err, f(p.name))
			}
			err = errors.Join(err, walk(p.inner))
		}
		return err
	}
	return walk(t.parts)
}

// static reports whether the text has no placeholder.
func (t eventText) static() bool {
	found := false
	_ = t.names(func(string) error {
		found = true
		return nil
	})
	return !found
}

// fill puts values in the places of placeholders.
func (t eventText) fill(value func(name string) (string, error)) (string, error) {
	return fillParts(t.parts, value)
}

func fillParts(parts []textPart, value func(name string) (string, error)) (string, error) {
	var b strings.Builder
	for _, p := range parts {
		switch {
		case p.inner != nil:
			text, err := fillParts(p.inner, value)
			if err != nil {
				return "", err
			}
			quoted, err := json.Marshal(text)
			if err != nil {
				return "", err
			}
			b.Write(quoted)
		case p.name != "":
			text, err := value(p.name)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
		default:
			b.WriteString(p.literal)
		}
	}
	return b.String(), nil
}
