package jmespath

import (
	"math/bits"
	"slices"
	"strings"
)

// Truth is what a value counts for in conditions: null, false and everything empty
// are false.
func Truth(value any) bool {
	switch v := value.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	default:
		return true
	}
}

// kinds is a set of kinds of values.
type kinds uint16

const (
	null kinds = 1 << iota
	boolean
	number
	text
	array
	object
	reference // an expression that is not evaluated
	numbers   // an array of numbers only
	texts     // an array of strings only

	anything = null | boolean | number | text | array | object
)

// kindOf is the one kind of a value, whatever an array holds.
func kindOf(value any) kinds {
	switch value.(type) {
	case nil:
		return null
	case bool:
		return boolean
	case float64:
		return number
	case string:
		return text
	case []any:
		return array
	case map[string]any:
		return object
	default:
		return reference
	}
}

// name is what the function "type" calls a kind.
func (k kinds) name() string {
	switch k {
	case null:
		return "null"
	case boolean:
		return "boolean"
	case number:
		return "number"
	case text:
		return "string"
	case array:
		return "array"
	default:
		return "object"
	}
}

// is reports whether a value is of one of some kinds.
func (r *run) is(some kinds, value any) (bool, error) {
	if some&kindOf(value) != 0 {
		return true, nil
	}
	elements, ok := value.([]any)
	if !ok || some&(numbers|texts) == 0 {
		return false, nil
	}
	if err := r.pay(len(elements)); err != nil {
		return false, err
	}
	var found kinds
	for _, element := range elements {
		found |= kindOf(element)
	}
	return some&numbers != 0 && found&^number == 0 || some&texts != 0 && found&^text == 0, nil
}

// equal compares all that two values are made of.
func (r *run) equal(a, b any) (bool, error) {
	if err := r.pay(1); err != nil {
		return false, err
	}
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		if !ok || len(a) != len(b) {
			return false, nil
		}
		return a == b, r.pay(len(a) / readPerStep)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false, nil
		}
		for i := range a {
			if same, err := r.equal(a[i], b[i]); err != nil || !same {
				return false, err
			}
		}
		return true, nil
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return false, nil
		}
		return r.equalObjects(a, b)
	}
	switch b.(type) {
	case []any, map[string]any: // which cannot be compared as below
		return false, nil
	}
	return a == b, nil
}

// equalObjects compares members in the order of their names, so that equal
// evaluations cost the same.
func (r *run) equalObjects(a, b map[string]any) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	names, err := r.names(a)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		other, ok := b[name]
		if !ok {
			return false, nil
		}
		if same, err := r.equal(a[name], other); err != nil || !same {
			return false, err
		}
	}
	return true, nil
}

// names are those of an object's members, sorted.
func (r *run) names(object map[string]any) ([]string, error) {
	if err := r.pay(len(object)); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	return names, sort(r, names, r.compareTexts)
}

// members are the values of an object, in the order of their names.
func (r *run) members(object map[string]any) ([]any, error) {
	names, err := r.names(object)
	if err != nil {
		return nil, err
	}
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = object[name]
	}
	return values, nil
}

// sort costs in advance what about n log n comparisons do, of which four are a step.
func sort[T any](r *run, values []T, compare func(a, b T) int) error {
	if err := r.pay(len(values) * bits.Len(uint(len(values))) / 4); err != nil {
		return err
	}
	slices.SortFunc(values, compare)
	return r.pay(0) // for what the comparisons cost beyond
}

// compareTexts costs what it reads. When there are no steps left, it reads no more.
func (r *run) compareTexts(a, b string) int {
	if r.pay(min(len(a), len(b))/readPerStep) != nil {
		return 0
	}
	return strings.Compare(a, b)
}
