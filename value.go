package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/dustin/go-humanize"

	"github.com/sockudo/caddy-sockudo/realtime/delta"
)

// Settings are kept as they were written, because any of them may be a
// placeholder: the running configuration must go on showing {env.X} instead of
// what it stands for. They are read when a configuration is provisioned.

// Number is a whole number: in JSON a number, or a string of digits.
type Number string

// Duration is a length of time with its unit, such as "500ms", "90s", "2m" or
// "1d". A JSON number counts nanoseconds, as everywhere in Caddy.
type Duration string

// Size is a number of bytes, alone or with a unit such as KiB, MiB or MB.
type Size string

// Switch is on or off; true and false mean the same. In JSON it is a boolean.
type Switch string

var (
	numberType   = reflect.TypeFor[Number]()
	durationType = reflect.TypeFor[Duration]()
	sizeType     = reflect.TypeFor[Size]()
	switchType   = reflect.TypeFor[Switch]()
)

const none = "none"

// MarshalJSON writes a number, unless the text is none.
func (n Number) MarshalJSON() ([]byte, error) { return marshalDigits(string(n)) }

// MarshalJSON writes a number of bytes, unless the text has a unit.
func (s Size) MarshalJSON() ([]byte, error) { return marshalDigits(string(s)) }

// MarshalJSON writes a boolean, unless the text is a placeholder.
func (s Switch) MarshalJSON() ([]byte, error) {
	switch s {
	case "on", "true":
		return []byte("true"), nil
	case "off", "false":
		return []byte("false"), nil
	}
	return json.Marshal(string(s))
}

// UnmarshalJSON reads a number or a string.
func (n *Number) UnmarshalJSON(b []byte) error { return unmarshalValue(b, n) }

// UnmarshalJSON reads a string, or a number of nanoseconds.
func (d *Duration) UnmarshalJSON(b []byte) error { return unmarshalValue(b, d) }

// UnmarshalJSON reads a string, or a number of bytes.
func (s *Size) UnmarshalJSON(b []byte) error { return unmarshalValue(b, s) }

// UnmarshalJSON reads a boolean or a string.
func (s *Switch) UnmarshalJSON(b []byte) error { return unmarshalValue(b, s) }

func marshalDigits(text string) ([]byte, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		return []byte(text), nil
	}
	return json.Marshal(text)
}

func unmarshalValue[T ~string](b []byte, v *T) error {
	tree, err := parseJSON(b)
	if err != nil {
		return err
	}
	text, err := textOf(tree, reflect.TypeFor[T]())
	*v = T(text)
	return err
}

// textOf is the text of a JSON value where a setting of the given type is
// expected.
func textOf(tree any, kind reflect.Type) (string, error) {
	switch v := tree.(type) {
	case string:
		return v, nil
	case json.Number:
		switch kind {
		case numberType, sizeType:
			return v.String(), nil
		case durationType:
			n, err := v.Int64()
			if err != nil {
				return "", fmt.Errorf("%s is not a whole number of nanoseconds", v)
			}
			return time.Duration(n).String(), nil
		}
	case bool:
		if kind == switchType {
			return map[bool]string{true: "on", false: "off"}[v], nil
		}
	}
	return "", fmt.Errorf("must be %s", map[reflect.Type]string{
		numberType: "a number", durationType: "a string such as 90s", sizeType: "a number of bytes or a string such as 64KiB", switchType: "true or false",
	}[kind])
}

// rule is what a field says about its text, in tags of its own.
type rule struct {
	// min is the least value, zero unless the tag says more, and max the greatest.
	min, max string
	// none admits the word none. A duration may say off or 0 instead.
	none bool
	// words are the only ones admitted, and fold admits them in capitals too.
	words []string
	fold  bool
	// path demands names with dots between them.
	path bool
	// secret text is shown to nobody.
	secret bool
}

func ruleOf(f reflect.StructField) rule {
	return rule{
		min:    f.Tag.Get("min"),
		max:    f.Tag.Get("max"),
		none:   f.Tag.Get("none") != "",
		words:  strings.Fields(f.Tag.Get("words")),
		fold:   f.Tag.Get("fold") != "",
		path:   f.Tag.Get("path") != "",
		secret: f.Name == "Secret" || f.Tag.Get("secret") != "",
	}
}

// hasPlaceholder reports whether text has to be expanded before it means anything.
func hasPlaceholder(text string) bool { return strings.Contains(text, "{") }

// check reports what is wrong with text as a setting of the given type.
func (r rule) check(text string, kind reflect.Type) error {
	if r.none && isNone(text, kind) {
		return nil
	}
	switch kind {
	case numberType:
		n, err := parseNumber(text)
		return r.within(n, err, parseNumber)
	case durationType:
		d, err := parseDuration(text)
		return r.within(int64(d), err, func(s string) (int64, error) {
			d, err := parseDuration(s)
			return int64(d), err
		})
	case sizeType:
		n, err := parseSize(text)
		return r.within(n, err, parseSize)
	case switchType:
		_, err := parseSwitch(text)
		return err
	}
	if r.path {
		_, err := delta.ParsePath(text)
		return err
	}
	if r.fold {
		text = strings.ToLower(text)
	}
	if len(r.words) == 0 || slices.Contains(r.words, text) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(r.words, ", "))
}

// within checks a number that was read, with an error or without, against the bounds.
func (r rule) within(n int64, err error, parse func(string) (int64, error)) error {
	least, most := int64(0), int64(math.MaxInt64)
	if err == nil && r.min != "" {
		least, err = parse(r.min)
	}
	if err == nil && r.max != "" {
		most, err = parse(r.max)
	}
	switch {
	case err != nil:
		return err
	case n < 0:
		return errors.New("must not be negative")
	case n < least:
		return fmt.Errorf("must be at least %s", r.min)
	case n > most:
		return fmt.Errorf("must be at most %s", r.max)
	}
	return nil
}

// isNone reports whether text says that there is no bound, or no such time.
func isNone(text string, kind reflect.Type) bool {
	if text == none || kind != durationType {
		return text == none
	}
	d, err := parseDuration(text)
	return text == "off" || text == "0" || err == nil && d == 0
}

func parseNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is not a whole number", text)
	case n > math.MaxInt32:
		return 0, fmt.Errorf("%s is more than %d", text, math.MaxInt32)
	}
	return n, nil
}

func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf("%q has no unit; write %ss for seconds", text, text)
	}
	d, err := caddy.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 90s, 2m or 1d", text)
	}
	return d, nil
}

func parseSize(text string) (int64, error) {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size such as 65536, 64KiB or 10MB", text)
	}
	return int64(n), nil
}

func parseSwitch(text string) (bool, error) {
	switch text {
	case "on", "true":
		return true, nil
	case "off", "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither on nor off", text)
}

// The readers below are for text that was checked: of several defaults, and of
// what is written, the last one that is there counts.

func (n Number) or(otherwise int) int {
	if v, err := parseNumber(string(n)); err == nil {
		return int(v)
	}
	return otherwise
}

func (d Duration) or(otherwise time.Duration) time.Duration {
	if v, err := parseDuration(string(d)); err == nil {
		return v
	}
	return otherwise
}

// orNone is or for a time that there may be none of, which is zero.
func (d Duration) orNone(otherwise time.Duration) time.Duration {
	if isNone(string(d), durationType) {
		return 0
	}
	return d.or(otherwise)
}

func (s Size) or(otherwise int64) int64 {
	if v, err := parseSize(string(s)); err == nil {
		return v
	}
	return otherwise
}

func (s Switch) or(otherwise bool) bool {
	if v, err := parseSwitch(string(s)); err == nil {
		return v
	}
	return otherwise
}
