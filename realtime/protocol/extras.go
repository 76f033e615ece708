package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ReservedHeader begins the names of headers that belong to the server (section 6.1).
const ReservedHeader = "sockudo_"

// Extras are those of an event as V2 clients get them (section 6.1): without what
// is for the server alone, which are push and the idempotency key.
type Extras struct {
	// JSON is the whole object, its members as they were written. Empty means that
	// nothing of it is left for clients.
	JSON json.RawMessage
	// Headers are in the order in which they were written.
	Headers   []Header
	Ephemeral bool
	// Echo is nil when it is absent.
	Echo *bool
	// AI is the member of that name, or nil.
	AI *AIExtras
}

// Header is one of the headers of an event: a JSON string, number or boolean.
type Header struct {
	Name  string
	Value json.RawMessage
}

// AIExtras are the flat texts of the extras' ai member.
type AIExtras struct {
	Transport, Codec Tags
}

// ExtrasRules say which members count. What does not is taken out.
type ExtrasRules struct{ Ephemeral, Echo bool }

// ParseExtras reads the extras of a published event. An error is a text for people
// that names the member.
func ParseExtras(raw json.RawMessage, rules ExtrasRules) (*Extras, error) {
	members, err := orderedMembers(raw)
	if err != nil {
		return nil, fmt.Errorf("extras must be an object: %w", err)
	}
	x := &Extras{}
	kept := append(make([]byte, 0, len(raw)), '{')
	for _, m := range members {
		keep, err := x.take(m, rules)
		if err != nil {
			return nil, err
		}
		if !keep {
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(AppendString(kept, m.name), ':')
		kept = append(kept, m.value...)
	}
	if len(kept) > 1 {
		x.JSON = append(kept, '}')
	}
	return x, nil
}

// take reads one member and says whether clients get it.
func (x *Extras) take(m member, rules ExtrasRules) (keep bool, err error) {
	if isNull(m.value) {
		return false, nil
	}
	switch m.name {
	case "idempotencyKey", "idempotency_key", "push":
		return false, nil
	case "headers":
		x.Headers, err = parseHeaders(m.value)
		return len(x.Headers) > 0, err
	case "ephemeral":
		on, err := boolOf("extras.ephemeral", m.value)
		x.Ephemeral = on && rules.Ephemeral
		return rules.Ephemeral, err
	case "echo":
		on, err := boolOf("extras.echo", m.value)
		if rules.Echo {
			x.Echo = &on
		}
		return rules.Echo, err
	case "ai":
		x.AI, err = parseAI(m.value)
		return true, err
	}
	return true, nil
}

func parseHeaders(raw json.RawMessage) ([]Header, error) {
	members, err := orderedMembers(raw)
	if err != nil {
		return nil, errors.New("extras.headers must be an object of strings, numbers or booleans")
	}
	headers := make([]Header, 0, len(members))
	for _, m := range members {
		switch {
		case strings.HasPrefix(m.name, ReservedHeader):
			return nil, fmt.Errorf("extras.headers: names that begin with %q are the server's: %q", ReservedHeader, m.name)
		case !isScalar(m.value):
			return nil, fmt.Errorf("extras.headers: %q must be a string, a number or a boolean", m.name)
		}
		headers = append(headers, Header{m.name, m.value})
	}
	return headers, nil
}

func parseAI(raw json.RawMessage) (*AIExtras, error) {
	members, err := orderedMembers(raw)
	if err != nil {
		return nil, errors.New("extras.ai must be an object")
	}
	ai := &AIExtras{}
	for _, m := range members {
		var into *Tags
		switch m.name {
		case "transport":
			into = &ai.Transport
		case "codec":
			into = &ai.Codec
		default:
			continue
		}
		fields, err := orderedMembers(m.value)
		if err != nil {
			return nil, fmt.Errorf("extras.ai.%s must be an object of strings", m.name)
		}
		for _, f := range fields {
			text, ok := stringOf(f.value)
			if !ok {
				return nil, fmt.Errorf("extras.ai.%s: %q must be a string", m.name, f.name)
			}
			*into = append(*into, Tag{f.name, text})
		}
	}
	return ai, nil
}

func boolOf(field string, raw json.RawMessage) (bool, error) {
	switch string(raw) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s must be a boolean", field)
}

// isScalar reports whether a JSON value is a string, a number or a boolean.
func isScalar(raw json.RawMessage) bool {
	return len(raw) > 0 && raw[0] != '{' && raw[0] != '[' && !isNull(raw)
}
