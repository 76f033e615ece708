package jmespath

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

func contains(r *run, arguments []any) (any, error) {
	if in, ok := arguments[0].(string); ok {
		part, ok := arguments[1].(string)
		return ok && strings.Contains(in, part), r.pay((len(in) + len(part)) / readPerStep)
	}
	for _, element := range arguments[0].([]any) {
		if same, err := r.equal(element, arguments[1]); err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func startsWith(r *run, arguments []any) (any, error) {
	all, part := arguments[0].(string), arguments[1].(string)
	return strings.HasPrefix(all, part), r.pay(len(part) / readPerStep)
}

func endsWith(r *run, arguments []any) (any, error) {
	all, part := arguments[0].(string), arguments[1].(string)
	return strings.HasSuffix(all, part), r.pay(len(part) / readPerStep)
}

func join(r *run, arguments []any) (any, error) {
	glue, elements := arguments[0].(string), arguments[1].([]any)
	parts := make([]string, len(elements))
	size := 0
	for i, element := range elements {
		parts[i] = element.(string)
		size += len(glue) + len(parts[i])
	}
	if err := r.pay(size / writePerStep); err != nil {
		return nil, err
	}
	return strings.Join(parts, glue), nil
}

func keys(r *run, arguments []any) (any, error) {
	names, err := r.names(arguments[0].(map[string]any))
	if err != nil {
		return nil, err
	}
	result := make([]any, len(names))
	for i, name := range names {
		result[i] = name
	}
	return result, nil
}

func values(r *run, arguments []any) (any, error) { return r.members(arguments[0].(map[string]any)) }

// length of a string is that in Unicode code points.
func length(r *run, arguments []any) (any, error) {
	switch v := arguments[0].(type) {
	case string:
		return float64(utf8.RuneCountInString(v)), r.pay(len(v) / readPerStep)
	case []any:
		return float64(len(v)), nil
	default:
		return float64(len(v.(map[string]any))), nil
	}
}

// merge lets the member of a later object win.
func merge(r *run, arguments []any) (any, error) {
	if err := r.pay(fixedCost); err != nil {
		return nil, err
	}
	result := map[string]any{}
	for _, argument := range arguments {
		object := argument.(map[string]any)
		if err := r.pay(2 * len(object)); err != nil {
			return nil, err
		}
		maps.Copy(result, object)
	}
	return result, nil
}

func notNull(_ *run, arguments []any) (any, error) {
	for _, argument := range arguments {
		if argument != nil {
			return argument, nil
		}
	}
	return nil, nil
}

func reverse(r *run, arguments []any) (any, error) {
	if s, ok := arguments[0].(string); ok {
		if err := r.pay(len(s) / writePerStep); err != nil {
			return nil, err
		}
		characters := []rune(s)
		slices.Reverse(characters)
		return string(characters), nil
	}
	elements := arguments[0].([]any)
	if err := r.pay(len(elements)); err != nil {
		return nil, err
	}
	elements = append([]any{}, elements...)
	slices.Reverse(elements)
	return elements, nil
}

func toArray(_ *run, arguments []any) (any, error) {
	if elements, ok := arguments[0].([]any); ok {
		return elements, nil
	}
	return []any{arguments[0]}, nil
}

// toNumber reads a string as a JSON number. What is none is null.
func toNumber(r *run, arguments []any) (any, error) {
	switch v := arguments[0].(type) {
	case float64:
		return v, nil
	case string:
		if err := r.pay(len(v) / readPerStep); err != nil {
			return nil, err
		}
		if v == "" || v[0] != '-' && !isDigit(v[0]) || !json.Valid([]byte(v)) {
			return nil, nil
		}
		if n, err := strconv.ParseFloat(strings.TrimRight(v, " \t\r\n"), 64); err == nil {
			return n, nil
		}
	}
	return nil, nil
}

// toString is the JSON text of a value, and a string itself.
func toString(r *run, arguments []any) (any, error) {
	if s, ok := arguments[0].(string); ok {
		return s, nil
	}
	if err := r.pay(fixedCost); err != nil {
		return nil, err
	}
	if err := r.weigh(arguments[0]); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(arguments[0]); err != nil {
		return nil, ErrRange
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// weigh pays for the text of a value. A value may hold another one many times over,
// so this has to be done before the text is made.
func (r *run) weigh(value any) error {
	if err := r.pay(1); err != nil {
		return err
	}
	switch v := value.(type) {
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return ErrRange
		}
	case string:
		return r.pay(len(v) / writePerStep)
	case []any:
		for _, element := range v {
			if err := r.weigh(element); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, member := range v {
			if err := r.pay(1 + len(name)/writePerStep); err != nil {
				return err
			}
			if err := r.weigh(member); err != nil {
				return err
			}
		}
	}
	return nil
}

func typeOf(_ *run, arguments []any) (any, error) { return kindOf(arguments[0]).name(), nil }
