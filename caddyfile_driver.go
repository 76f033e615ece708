package sockudo

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// driverTokens are the name of a driver and the part of a block that is its own.
type driverTokens struct {
	name       caddyfile.Token
	open, shut caddyfile.Token // the braces of the block
	own        []caddyfile.Token
}

// read reads the block of the driver, if there is one. Words that other takes are
// not the driver's.
func (t *driverTokens) read(d *caddyfile.Dispenser, other func(word string) (taken bool, err error)) error {
	_, err := openBlock(d, func() error {
		t.open = d.Token()
		for nesting := d.Nesting() - 1; d.NextBlock(nesting); {
			if taken, err := other(d.Val()); err != nil {
				return err
			} else if !taken {
				t.own = append(t.own, d.NextSegment()...)
			}
		}
		t.shut = d.Token()
		return nil
	})
	return err
}

// unmarshal gives the tokens to the module of the driver.
func (t *driverTokens) unmarshal(d *caddyfile.Dispenser, kind string) (json.RawMessage, error) {
	return t.unmarshalFor(d, kind, namespaces[kind])
}

func (t *driverTokens) unmarshalFor(d *caddyfile.Dispenser, kind, namespace string) (json.RawMessage, error) {
	id, err := findDriver(namespace, t.name.Text)
	if err != nil {
		return nil, d.Errf("%s: %w", kind, err)
	}
	tokens := []caddyfile.Token{t.name}
	if len(t.own) > 0 {
		tokens = slices.Concat(tokens, []caddyfile.Token{t.open}, t.own, []caddyfile.Token{t.shut})
	}
	segment := caddyfile.NewDispenser(tokens)
	segment.Next()
	guest, err := caddyfile.UnmarshalModule(segment, id)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", kind, err)
	}
	var warnings []caddyconfig.Warning
	raw := caddyconfig.JSONModuleObject(guest, "driver", driverName(t.name.Text), &warnings)
	if len(warnings) > 0 {
		return nil, d.Errf("%s: %s", kind, warnings[0].Message)
	}
	return raw, nil
}

// parseDriverName reads the name behind the word. Without one it is the default,
// where that is admitted.
func parseDriverName(d *caddyfile.Dispenser, kind string, required bool) (t driverTokens, named bool, err error) {
	t.name = d.Token()
	switch args := d.RemainingArgs(); {
	case len(args) == 1:
		t.name = d.Token()
		return t, true, nil
	case len(args) == 0 && !required:
		t.name.Text = defaultDrivers[kind]
		return t, false, nil
	default:
		return t, false, d.Errf("%s takes the name of one driver, not %d arguments", kind, len(args))
	}
}

// parseDriver reads "DRIVER" or "DRIVER { ... }", whose block is the driver's.
func parseDriver(d *caddyfile.Dispenser, kind string) (json.RawMessage, error) {
	t, _, err := parseDriverName(d, kind, true)
	if err != nil {
		return nil, err
	}
	err = t.read(d, func(word string) (bool, error) {
		if isLaterOfDriver(namespaces[kind], word) {
			return true, d.Errf("%s: %s %w", kind, word, errLater)
		}
		if kind == kindAdapter && word == "cluster_health" {
			return true, d.Errf("%s: cluster_health is written beside it: cluster_health { ... }", kind)
		}
		if kind == kindApps && word == "cache" {
			return true, d.Errf("%s: cache is written beside it: app_cache { ... }", kind)
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	return t.unmarshal(d, kind)
}

// parseDriverSection reads a block that has words of its own and of the driver.
func parseDriverSection(d *caddyfile.Dispenser, s driverSection) error {
	kind, driver, options := s.selection()
	section, spelled := reflect.TypeOf(s).Elem(), map[string]string{}
	t, named, err := parseDriverName(d, kind, false)
	if err != nil {
		return err
	}
	if _, err := parseSwitch(t.name.Text); named && err == nil && lexicons[section].alone != "" {
		return parseSwitched(d, kind, s, t.name.Text)
	}
	err = t.read(d, func(word string) (bool, error) {
		if !isOwnWord(section, kind, word, t.name.Text) {
			return false, nil
		}
		return true, parseWord(d, s, spelled)
	})
	if err != nil || (!named && len(t.own) == 0) {
		return err
	}
	raw, err := t.unmarshal(d, kind)
	if err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return err
	}
	*driver = driverName(t.name.Text)
	if delete(object, "driver"); len(object) > 0 {
		*options = object
	}
	return nil
}

// parseSwitched takes a switch that stands where the name of a driver could.
func parseSwitched(d *caddyfile.Dispenser, word string, section any, text string) error {
	v := reflect.ValueOf(section).Elem()
	v.FieldByIndex(fieldsOf(v.Type())[lexicons[v.Type()].alone].index).SetString(text)
	return noBlock(d, word+" "+text)
}

func (r *RateLimiterConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "driver" {
		return true, d.Errf("driver is written behind rate_limiter: rate_limiter memory")
	}
	return false, nil
}

func (c *HistoryConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "driver" || word == "backend" {
		return true, d.Errf("%s is written behind history: history postgres", word)
	}
	return false, nil
}

// isOwnWord reports whether a word of the block is not the driver's. A misspelt
// one counts as what it is most like.
func isOwnWord(section reflect.Type, kind, word, driver string) bool {
	fields, words := fieldsOf(section), lexiconOf(section)
	own := slices.Concat(sortedKeys(fields), sortedKeys(words.aliases), sortedKeys(words.needless))
	if slices.Contains(own, word) {
		return true
	}
	guests := guestWords(kind, driver)
	if slices.Contains(guests, word) {
		return false
	}
	return slices.Contains(own, nearest(word, slices.Concat(own, guests)))
}

// guestWords are the JSON names of a driver's settings, for suggestions.
func guestWords(kind, driver string) []string {
	id, err := findDriver(namespaces[kind], driver)
	if err != nil {
		return nil
	}
	info, err := caddy.GetModule(id)
	if err != nil {
		return nil
	}
	t := reflect.TypeOf(info.New())
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return sortedKeys(fieldsOf(t))
}
