package filter

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime/filter/jmespath"
)

// Predicate is a compiled filter. It is not changed any more, and many goroutines may
// use it at once. A nil predicate lets everything pass.
type Predicate struct {
	events     []string // sorted; none for any
	tags       *node    // nil for any
	expression *jmespath.Expression
	key        string
}

// Switches say which parts of predicates act. What does not act lets everything pass.
type Switches struct {
	// Events is event_name_filtering.enabled: event names act.
	Events bool
	// Tags is tag_filtering.enabled: tags and expressions act.
	Tags bool
}

// Compile reads the members "filter" and "tags_filter" of a subscription, of which
// the former wins: raw JSON, empty or null where they are absent. What restricts
// nothing is a nil predicate. Its errors are texts for people that begin with the
// name of the member (section 6.4).
func Compile(filter, tagsFilter json.RawMessage, l Limits) (*Predicate, error) {
	source, err := parse(filter, tagsFilter, l)
	if err != nil {
		return nil, err
	}
	if len(source.events) == 0 && source.tags == nil && source.text == "" {
		return nil, nil //nolint:nilnil // as the comment says
	}
	p := &Predicate{events: source.events, tags: source.tags, key: source.key()}
	if source.text != "" {
		if p.expression, err = jmespath.Compile(source.text); err != nil {
			return nil, fmt.Errorf("filter.expression: %w", err)
		}
	}
	return p, nil
}

// Key is a text that is equal for predicates with the same meaning when they differ
// only in how their JSON is written. It is itself a filter that compiles to an equal
// predicate. That of a nil predicate is empty.
func (p *Predicate) Key() string {
	if p == nil {
		return ""
	}
	return p.key
}

// Match reports whether a message passes: its event name and its tags and the
// expression have to allow it. An expression whose evaluation fails does not.
func (p *Predicate) Match(m *Message, on Switches) bool {
	if p == nil {
		return true
	}
	if on.Events && len(p.events) > 0 {
		if _, listed := slices.BinarySearch(p.events, m.Event); !listed {
			return false
		}
	}
	if !on.Tags {
		return true
	}
	if p.tags != nil && !p.tags.match(m.Tags) {
		return false
	}
	return p.expression == nil || m.satisfies(p.expression)
}
