package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// Limits are those of filters by event name that settings may lower. They count up to
// 64 names and 256 bytes, whatever they say.
type Limits struct {
	// MaxEvents is the number of event names in one filter.
	MaxEvents int
	// MaxEventLength is the longest event name in a filter, in bytes.
	MaxEventLength int
}

const (
	mostEvents         = 64
	longestEventLength = 256
)

// source is a filter as it was written, with all that was said about tags compiled.
type source struct {
	events []string // sorted, each once
	tags   *node
	text   string // of the expression, empty if there is none
}

// parse reads the compound form, or else a tag node.
func parse(filter, tagsFilter json.RawMessage, l Limits) (source, error) {
	switch {
	case present(filter):
		members, err := objectOf("filter", filter)
		if err != nil {
			return source{}, err
		}
		for _, name := range []string{"events", "tags", "expression"} {
			if _, compound := members[name]; compound {
				return parseCompound(members, l)
			}
		}
		tags, err := parseTags("filter", filter)
		return source{tags: tags}, err
	case present(tagsFilter):
		tags, err := parseTags("tags_filter", tagsFilter)
		return source{tags: tags}, err
	default:
		return source{}, nil
	}
}

func parseCompound(members map[string]json.RawMessage, l Limits) (s source, err error) {
	if err := onlyKnown("filter", members, "events", "tags", "expression"); err != nil {
		return s, err
	}
	if raw := members["events"]; present(raw) {
		if s.events, err = parseEvents(raw, l); err != nil {
			return s, err
		}
	}
	if raw := members["tags"]; present(raw) {
		if s.tags, err = parseTags("filter.tags", raw); err != nil {
			return s, err
		}
	}
	if raw := members["expression"]; present(raw) {
		if s.text, err = parseExpression(raw); err != nil {
			return s, err
		}
	}
	return s, nil
}

func parseEvents(raw json.RawMessage, l Limits) ([]string, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, fmt.Errorf("filter.events must be an array of strings, and is %.40s", raw)
	}
	most, longest := min(l.MaxEvents, mostEvents), min(l.MaxEventLength, longestEventLength)
	if len(list) > most {
		return nil, fmt.Errorf("filter.events has %d names, more than %d", len(list), most)
	}
	events := make([]string, len(list))
	for i, raw := range list {
		name, ok := textOf(raw)
		switch {
		case !ok:
			return nil, fmt.Errorf("filter.events[%d] must be a string, and is %.40s", i, raw)
		case name == "":
			return nil, fmt.Errorf("filter.events[%d] is empty", i)
		case len(name) > longest:
			return nil, fmt.Errorf("filter.events[%d] has %d bytes, more than %d: %.40q", i, len(name), longest, name)
		}
		events[i] = name
	}
	slices.Sort(events)
	return slices.Compact(events), nil
}

// parseExpression reads an expression: a string, or an object that names the language.
func parseExpression(raw json.RawMessage) (string, error) {
	text, ok := textOf(raw)
	if !ok {
		members, err := objectOf("filter.expression", raw)
		if err != nil {
			return "", fmt.Errorf("filter.expression must be a string or an object, and is %.40s", raw)
		}
		if err := onlyKnown("filter.expression", members, "language", "source"); err != nil {
			return "", err
		}
		if language, _ := textOf(members["language"]); language != "jmespath" {
			return "", fmt.Errorf(`filter.expression.language must be "jmespath", and is %.40s`, orMissing(members["language"]))
		}
		if text, ok = textOf(members["source"]); !ok {
			return "", fmt.Errorf("filter.expression.source must be a string, and is %.40s", orMissing(members["source"]))
		}
	}
	if text == "" {
		return "", errors.New("filter.expression is empty")
	}
	return text, nil
}

// key is the filter in the one form that all have which mean the same.
func (s *source) key() string {
	b := []byte{'{'}
	member := func(name string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(protocol.AppendString(b, name), ':')
	}
	if len(s.events) > 0 {
		member("events")
		b = appendTexts(b, s.events)
	}
	if s.tags != nil {
		member("tags")
		b = s.tags.appendTo(b)
	}
	if s.text != "" {
		member("expression")
		b = protocol.AppendString(b, s.text)
	}
	return string(append(b, '}'))
}

func appendTexts(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, text := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = protocol.AppendString(b, text)
	}
	return append(b, ']')
}

// objectOf splits an object into its members, whose names are matched exactly.
func objectOf(where string, raw json.RawMessage) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, fmt.Errorf("%s must be an object, and is %.40s", where, orMissing(raw))
	}
	return members, nil
}

// onlyKnown refuses members that would be ignored: a misspelt one would let more pass
// than was asked for.
func onlyKnown(where string, members map[string]json.RawMessage, known ...string) error {
	var unknown []string
	for name := range members {
		if !slices.Contains(known, name) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("%s has the unknown member %.40q", where, slices.Min(unknown))
}

// textOf is the value of a JSON string.
func textOf(raw json.RawMessage) (text string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	return text, json.Unmarshal(raw, &text) == nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func orMissing(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "missing"
	}
	return string(raw)
}
