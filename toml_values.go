package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
)

// text is a string that the adapter itself needs.
func (r *fileReader) text(n *fileNode, otherwise string) string {
	if n == nil || n.value == nil {
		return otherwise
	}
	s, ok := n.value.(string)
	if !ok {
		r.refuse(n, false, errors.New("must be a string"))
		return otherwise
	}
	return r.vars.plain(s)
}

// number is a whole number that the adapter itself needs.
func (r *fileReader) number(n *fileNode, otherwise, least, most int) int {
	if n == nil || n.value == nil {
		return otherwise
	}
	text := ""
	switch v := n.value.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = r.vars.plain(v)
	}
	number, err := strconv.Atoi(text)
	switch {
	case err != nil:
		r.refuse(n, false, errors.New("must be a whole number"))
		return otherwise
	case number < least || number > most:
		r.refuse(n, false, fmt.Errorf("must be from %d to %d", least, most))
		return otherwise
	}
	return number
}

// boolean is a switch that the adapter itself needs.
func (r *fileReader) boolean(n *fileNode, otherwise bool) bool {
	if n == nil || n.value == nil {
		return otherwise
	}
	switch v := n.value.(type) {
	case bool:
		return v
	case string:
		if on, err := parseSwitch(r.vars.plain(v)); err == nil {
			return on
		}
	}
	r.refuse(n, false, errors.New("must be true or false"))
	return otherwise
}

// isTable reports whether a value is a table, and says if it is not.
func (r *fileReader) isTable(n *fileNode) bool {
	if n == nil {
		return false
	}
	_, ok := n.value.(fileTable)
	if !ok {
		r.refuse(n, false, errors.New("must be a table"))
	}
	return ok
}

// ofSetting is a value as a setting of a section has it. Times without a unit are
// seconds, as everywhere in Sockudo.
func (r *fileReader) ofSetting(n *fileNode, f field, a alias) (any, error) {
	value := n.value
	switch v := value.(type) {
	case string:
		plain := r.vars.plain(v)
		switch {
		case f.kind == stringType && len(f.rule.words) == 0 && !f.rule.path:
			value = r.vars.forCaddy(v)
		case len(f.rule.words) > 0:
			value = strings.ToLower(plain)
		default:
			value = r.bare(plain, f, a)
		}
	case json.Number:
		value = r.bare(v.String(), f, a)
	case bool:
	default:
		return nil, errors.New("must be " + settingKind(f))
	}
	if f.kind == stringType && a.convert == nil {
		if _, ok := value.(string); !ok {
			return nil, errors.New("must be a string")
		}
	}
	return canonicalField(value, f, a, "")
}

// bare is a number without a unit, which is a time in seconds where a time is meant, and
// zero is no bound where there may be none.
func (r *fileReader) bare(text string, f field, a alias) any {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
	case a.convert != nil:
	case f.kind == durationType:
		return text + "s"
	case n == 0 && f.rule.none && f.rule.min != "":
		return none
	case f.kind == numberType || f.kind == sizeType:
		return json.Number(text)
	}
	return text
}

func settingKind(f field) string {
	switch f.kind {
	case switchType:
		return "true or false"
	case numberType, sizeType:
		return "a number"
	case durationType:
		return "a number of seconds, or a string such as 90s"
	}
	return "a string"
}

var caddyDurationType = reflect.TypeFor[caddy.Duration]()

// guestSuffixes are how keys of Sockudo say their unit.
var guestSuffixes = []struct{ suffix, unit string }{{"_ms", "ms"}, {"_seconds", "s"}, {"_secs", "s"}}

// ofGuest is a value as a setting of a driver has it.
func (r *fileReader) ofGuest(n *fileNode, t reflect.Type, unit string) (any, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := n.value.(type) {
	case string:
		switch {
		case t == caddyDurationType:
			return guestDuration(r.vars.plain(v), unit)
		case t.Kind() == reflect.String:
			return r.vars.forCaddy(v), nil
		}
		if isInteger(t) {
			_, err := strconv.ParseInt(r.vars.plain(v), 10, 64)
			if err == nil {
				return json.Number(r.vars.plain(v)), nil
			}
		}
	case json.Number:
		switch {
		case t == caddyDurationType:
			return guestDuration(v.String(), unit)
		case isInteger(t):
			if _, err := v.Int64(); err == nil {
				return v, nil
			}
		case t.Kind() == reflect.Float64:
			return v, nil
		}
	case bool:
		if t.Kind() == reflect.Bool {
			return v, nil
		}
	}
	switch {
	case t == caddyDurationType:
		return nil, errors.New("must be a time such as 5s")
	case isInteger(t):
		return nil, errors.New("must be a whole number")
	}
	kinds := map[reflect.Kind]string{reflect.String: "a string", reflect.Float64: "a number", reflect.Bool: "true or false", reflect.Slice: "a list", reflect.Struct: "a table", reflect.Map: "a table"}
	return nil, errors.New("must be " + kinds[t.Kind()])
}

func isInteger(t reflect.Type) bool {
	return t != caddyDurationType && t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

func guestDuration(text, unit string) (any, error) {
	if _, err := parseNumber(text); err == nil && unit != "" {
		text += unit
	}
	d, err := parseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("must not be negative")
	}
	return text, err
}
