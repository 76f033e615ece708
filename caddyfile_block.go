package sockudo

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// wordParser is a section with words that are not settings of their own.
type wordParser interface {
	parseWord(d *caddyfile.Dispenser, word string) (known bool, err error)
}

// argsParser is a section that may be written as arguments instead of a block.
type argsParser interface {
	parseArgs(d *caddyfile.Dispenser) (known bool, err error)
}

// extraWords are those of sections in a Caddyfile beside the JSON names.
var extraWords = map[reflect.Type][]string{
	hubType:                          {"app", "apps", "database", "push_rule"},
	reflect.TypeFor[Handler]():       {"app", "apps", "database", "push_rule"},
	pushType:                         {"provider"},
	reflect.TypeFor[AppConfig]():     {"namespace", "webhook", "delta"},
	reflect.TypeFor[AppPolicy]():     {"webhook"},
	reflect.TypeFor[WebhookConfig](): {"header"},
	reflect.TypeFor[AppChannels]():   {"namespace", "delta"},
}

// openBlock calls body if a block opens here, and reports whether one did.
func openBlock(d *caddyfile.Dispenser, body func() error) (opened bool, err error) {
	nesting := d.Nesting()
	if !d.NextBlock(nesting) {
		return d.ValRaw() == "}", nil // an empty block has been read over; "}" in quotes is a value
	}
	d.Prev() // the body's own loop takes this word
	return true, body()
}

// parseBlock reads the block of a section, if there is one.
func parseBlock(d *caddyfile.Dispenser, section any) error {
	_, err := openBlock(d, func() error { return parseBody(d, section) })
	return err
}

// parseBody reads the words of an open block into a section: those of its JSON
// fields, and some of its own.
func parseBody(d *caddyfile.Dispenser, section any) error {
	spelled := map[string]string{}
	for nesting := d.Nesting() - 1; d.NextBlock(nesting); {
		if err := parseWord(d, section, spelled); err != nil {
			return err
		}
	}
	return nil
}

func parseWord(d *caddyfile.Dispenser, section any, spelled map[string]string) error {
	word := d.Val()
	written := word
	if p, ok := section.(wordParser); ok {
		known, err := p.parseWord(d, word)
		other, isAlias := errors.AsType[aliasError](err)
		if known && !isAlias {
			return err
		}
		if isAlias {
			word = string(other)
		}
	}
	v := reflect.ValueOf(section).Elem()
	f, a, err := findWord(v.Type(), word, extraWords[v.Type()]...)
	why, needless := errors.AsType[needlessError](err)
	switch {
	case needless:
		f.name = word
	case err != nil:
		return d.Errf("%s %w", word, err)
	}
	if other := spelled[f.name]; other == written {
		return d.Errf("%s is written twice", written)
	} else if other != "" {
		return d.Errf("%s and %s mean the same: write one of them", other, written)
	}
	spelled[f.name] = written
	if needless {
		return why.parse(d)
	}
	return parseField(d, v.FieldByIndex(f.index), f, a)
}

// parseField reads what follows a word.
func parseField(d *caddyfile.Dispenser, v reflect.Value, f field, a alias) error {
	word := d.Val()
	switch {
	case f.namespace != "":
		raw, err := parseDriver(d, f.name)
		v.SetBytes(raw)
		return err
	case f.kind.Implements(driverSectionType):
		v.Set(reflect.New(f.kind.Elem()))
		return parseDriverSection(d, v.Interface().(driverSection))
	case f.kind.Kind() == reflect.Pointer:
		v.Set(reflect.New(f.kind.Elem()))
		return parseSection(d, word, v.Interface())
	case f.kind == listType:
		args := d.RemainingArgs()
		if len(args) == 0 {
			return d.Errf("%s takes one value or more", word)
		}
		v.Set(reflect.ValueOf(args))
		return noBlock(d, word)
	default:
		text, err := parseText(d, word, f, a)
		v.SetString(text)
		return err
	}
}

func parseSection(d *caddyfile.Dispenser, word string, section any) error {
	if p, ok := section.(argsParser); ok {
		if known, err := p.parseArgs(d); known {
			return err
		}
	}
	args := d.RemainingArgs()
	v := reflect.ValueOf(section).Elem()
	if alone := fieldsOf(v.Type())[lexicons[v.Type()].alone]; alone.name != "" {
		return parseAlone(d, word, args, section, alone)
	}
	if len(args) > 0 {
		return d.Errf("%s takes a block, not %q", word, args)
	}
	opened, err := openBlock(d, func() error { return parseBody(d, section) })
	if err == nil && !opened {
		err = d.Errf("%s needs a block", word)
	}
	return err
}

// parseAlone reads a section that may be written as a switch: "recovery on", or as a
// block. The word alone is on.
func parseAlone(d *caddyfile.Dispenser, word string, args []string, section any, f field) error {
	opened, err := openBlock(d, func() error { return parseBody(d, section) })
	switch {
	case err != nil:
		return err
	case len(args) > 1 || len(args) == 1 && opened:
		return d.Errf("%s takes on, off or a block, and no more than that", word)
	case opened:
		return nil
	case len(args) == 0:
		args = []string{"on"}
	}
	if err := f.rule.check(args[0], f.kind); err != nil && !hasPlaceholder(args[0]) {
		return d.Errf("%s: %w", word, err)
	}
	reflect.ValueOf(section).Elem().FieldByIndex(f.index).SetString(args[0])
	return nil
}

// parse reads over a word with a value that asks for nothing.
func (e needlessError) parse(d *caddyfile.Dispenser) error {
	word := d.Val()
	if args := d.RemainingArgs(); len(args) != 1 || !slices.Contains(e.nothing, args[0]) {
		return d.Errf("%s %w", word, e)
	}
	return noBlock(d, word)
}

// parseText reads one value. A switch may stand alone, and is on then.
func parseText(d *caddyfile.Dispenser, word string, f field, a alias) (string, error) {
	args := d.RemainingArgs()
	isSwitch := f.kind == switchType || strings.HasPrefix(word, "disconnect_on")
	if len(args) == 0 && isSwitch {
		args = []string{"on"}
	}
	if len(args) != 1 {
		return "", d.Errf("%s takes one value, not %d", word, len(args))
	}
	text := args[0]
	if a.convert != nil {
		var err error
		if text, err = a.convert(text); err != nil {
			return "", d.Errf("%s: %w", word, err)
		}
	}
	if !hasPlaceholder(text) {
		if err := f.rule.check(text, f.kind); err != nil {
			return "", d.Errf("%s: %w", word, err)
		}
	}
	return text, noBlock(d, word)
}

// noBlock refuses a block where none belongs.
func noBlock(d *caddyfile.Dispenser, word string) error {
	if opened, _ := openBlock(d, func() error { return nil }); opened {
		return d.Errf("%s takes no block", word)
	}
	return nil
}
