// Package words reads the settings of drivers: their blocks in a Caddyfile, and
// the placeholders in their values. It is what the caddy.go files of drivers have
// in common.
package words

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"
)

// Set are the words of a block, each with what takes its arguments.
type Set map[string]func(args []string) error

// Read reads the name of a driver and its block, if it has one.
func Read(d *caddyfile.Dispenser, words Set) error {
	return ReadWith(d, words, nil)
}

// ReadWith is Read for a block that also has blocks within, which other takes. It
// reports whether it has.
func ReadWith(d *caddyfile.Dispenser, words Set, other func(word string) (bool, error)) error {
	d.Next() // the name of the driver
	if d.NextArg() {
		return d.ArgErr()
	}
	return Block(d, words, other)
}

// Block reads what stands between the braces behind a word. other may be nil.
func Block(d *caddyfile.Dispenser, words Set, other func(word string) (bool, error)) error {
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		word := d.Val()
		if seen[word] {
			return d.Errf("%s is written twice", word)
		}
		seen[word] = true
		if other != nil {
			taken, err := other(word)
			if err != nil {
				return err
			}
			if taken {
				continue
			}
		}
		set := words[word]
		if set == nil {
			return d.Errf("%s is unknown to this driver; it knows %q", word, slices.Sorted(maps.Keys(words)))
		}
		err := set(d.RemainingArgs())
		if _, wrong := errors.AsType[countError](err); wrong {
			return d.Errf("%s %w", word, err)
		}
		if err != nil {
			return d.Errf("%s: %w", word, err)
		}
	}
	return nil
}

// Within reads a block within another one, whose word has no arguments.
func Within(d *caddyfile.Dispenser, words Set, other func(word string) (bool, error)) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	return Block(d, words, other)
}

// OrTLS reads the word tls beside those of a Set, for ReadWith and Within.
func OrTLS(d *caddyfile.Dispenser, to **TLS) func(word string) (bool, error) {
	return func(word string) (bool, error) {
		if word != "tls" {
			return false, nil
		}
		return true, ReadTLS(d, to)
	}
}

// ReadTLS reads a block that may be empty or not be there: then the word alone
// switches TLS on.
func ReadTLS(d *caddyfile.Dispenser, to **TLS) error {
	*to = new(TLS)
	return Within(d, (*to).Words(), nil)
}

// countError says how many arguments a word takes.
type countError string

func (e countError) Error() string { return string(e) }

// one makes a setter of a single value.
func one(set func(string) error) func([]string) error {
	return func(args []string) error {
		if len(args) != 1 {
			return countError(fmt.Sprintf("takes one value, not %d", len(args)))
		}
		return set(args[0])
	}
}

// Text takes any value.
func Text(to *string) func([]string) error {
	return one(func(text string) error {
		*to = text
		return nil
	})
}

// List takes one value or more.
func List(to *[]string) func([]string) error {
	return func(args []string) error {
		if len(args) == 0 {
			return countError("takes one value or more")
		}
		*to = args
		return nil
	}
}

// Number takes a whole number.
func Number(to *int) func([]string) error {
	return one(func(text string) error {
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		*to = int(n)
		return nil
	})
}

// Size takes a number of bytes, with or without a unit.
func Size(to *int64) func([]string) error {
	return one(func(text string) error {
		n, err := humanize.ParseBytes(text)
		if err != nil || n > math.MaxInt64 {
			return fmt.Errorf("%q is not a size such as 65536, 64KiB or 10MB", text)
		}
		*to = int64(n)
		return nil
	})
}

// Duration takes a time with a unit.
func Duration(to *caddy.Duration) func([]string) error {
	return one(func(text string) error {
		if _, err := strconv.ParseFloat(text, 64); err == nil {
			return fmt.Errorf("%q has no unit; write %ss for seconds", text, text)
		}
		d, err := caddy.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("%q is not a duration such as 500ms, 90s, 2m or 1d", text)
		}
		*to = caddy.Duration(d)
		return nil
	})
}

// Share takes a number that may have a fraction.
func Share(to *float64) func([]string) error {
	return one(func(text string) error {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		*to = n
		return nil
	})
}

// Switch takes on or off; a word alone is on.
func Switch(to *bool) func([]string) error {
	return func(args []string) error {
		if len(args) == 0 {
			*to = true
			return nil
		}
		return one(func(text string) error {
			switch strings.ToLower(text) {
			case "on", "true", "yes", "1":
				*to = true
			case "off", "false", "no", "0":
				*to = false
			default:
				return fmt.Errorf("%q is not on or off", text)
			}
			return nil
		})(args)
	}
}

// Pointer makes a setting that knows whether it was given.
func Pointer[T any](to **T, read func(*T) func([]string) error) func([]string) error {
	return func(args []string) error {
		*to = new(T)
		return read(*to)(args)
	}
}

// Or is what p points to, or otherwise if it is nil.
func Or[T any](p *T, otherwise T) T {
	if p != nil {
		return *p
	}
	return otherwise
}

// Expand replaces the placeholders of a value. One that means nothing is an error
// that names the field.
func Expand(field, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	expanded, err := caddy.NewReplacer().ReplaceOrErr(text, true, true)
	if err != nil {
		return "", fmt.Errorf("%s: %w", field, err)
	}
	return expanded, nil
}

// Field is a setting of text and where its expanded value goes.
type Field struct {
	Name, Text string
	To         *string
}

// ExpandAll expands the placeholders of several settings.
func ExpandAll(fields ...Field) error {
	for _, f := range fields {
		expanded, err := Expand(f.Name, f.Text)
		if err != nil {
			return err
		}
		*f.To = expanded
	}
	return nil
}

// NotNegative checks numbers by their names.
func NotNegative(values map[string]int64) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] < 0 {
			return fmt.Errorf("%s must not be negative", name)
		}
	}
	return nil
}

// Reliability says how the jobs of a queue are tried again, as every queue has it.
type Reliability struct {
	// MaxAttempts is the number of runs of a job, at least 1. Default: 5.
	MaxAttempts *int `json:"max_attempts,omitempty"`

	// RetryBase is the delay before the second run, which doubles with each further
	// one. Default: 1s.
	RetryBase caddy.Duration `json:"retry_base,omitempty"`

	// RetryMax bounds the delay. Default: 60s.
	RetryMax caddy.Duration `json:"retry_max,omitempty"`

	// RetryJitter is the share by which a delay may be shorter or longer, from 0 to
	// 1. Default: 0.2.
	RetryJitter *float64 `json:"retry_jitter,omitempty"`

	// DeduplicationTTL is how long the id of a finished job is known, so that it is
	// not queued again; 0 is no time. Default: 5m.
	DeduplicationTTL *caddy.Duration `json:"deduplication_ttl,omitempty"`

	// FailedRetention is how many failed jobs each queue keeps; 0 is none. Default:
	// 10000.
	FailedRetention *int `json:"failed_retention,omitempty"`
}

// Words are those of the block.
func (r *Reliability) Words() Set {
	return Set{
		"max_attempts":      Pointer(&r.MaxAttempts, Number),
		"retry_base":        Duration(&r.RetryBase),
		"retry_max":         Duration(&r.RetryMax),
		"retry_jitter":      Pointer(&r.RetryJitter, Share),
		"deduplication_ttl": Pointer(&r.DeduplicationTTL, Duration),
		"failed_retention":  Pointer(&r.FailedRetention, Number),
	}
}

// Check checks the bounds.
func (r *Reliability) Check() error {
	base, most := cmp.Or(r.RetryBase, caddy.Duration(time.Second)), cmp.Or(r.RetryMax, caddy.Duration(time.Minute))
	err := NotNegative(map[string]int64{
		"failed_retention": int64(Or(r.FailedRetention, 0)), "retry_base": int64(r.RetryBase), "retry_max": int64(r.RetryMax),
		"deduplication_ttl": int64(Or(r.DeduplicationTTL, 0)),
	})
	switch {
	case err != nil:
		return err
	case Or(r.MaxAttempts, 1) < 1:
		return errors.New("max_attempts must be at least 1")
	case Or(r.RetryJitter, 0) < 0 || Or(r.RetryJitter, 0) > 1:
		return errors.New("retry_jitter must be from 0 to 1")
	case base > most:
		return fmt.Errorf("retry_base %v must not be longer than retry_max %v", time.Duration(base), time.Duration(most))
	}
	return nil
}

// NoneIfZero is an option that is absent, given, or given as zero: 0, itself, or
// -1 for none.
func NoneIfZero[T int | float64 | caddy.Duration](p *T) T {
	switch {
	case p == nil:
		return 0
	case *p == 0:
		return -1
	}
	return *p
}
