package sockudo

import (
	"encoding/json"
	"errors"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

// parseGlobalOption reads the global option, which may stand several times:
//
//	sockudo [NAME] {
//		...               # as in the directive, without name
//	}
func parseGlobalOption(d *caddyfile.Dispenser, existing any) (any, error) {
	app := App{Hubs: map[string]*HubConfig{}}
	if before, ok := existing.(httpcaddyfile.App); ok {
		if err := json.Unmarshal(before.Value, &app); err != nil {
			return nil, err
		}
	}
	d.Next() // the option
	name := defaultHub
	if args := d.RemainingArgs(); len(args) == 1 {
		name = args[0]
	} else if len(args) > 1 {
		return nil, d.Errf("sockudo takes one name, not %q", args)
	}
	if app.Hubs[name] != nil {
		return nil, d.Errf("sockudo %s is defined twice", name)
	}
	config := new(HubConfig)
	opened, err := openBlock(d, func() error { return parseBody(d, config) })
	if err == nil && !opened {
		err = d.Errf("sockudo %s needs a block here, which says what the hub is", name)
	}
	if err != nil {
		return nil, err
	}
	app.Hubs[name] = config
	value, err := json.Marshal(app)
	return httpcaddyfile.App{Name: "sockudo", Value: value}, err
}

// parseWord reads the words of the directive that are not settings of their own.
func (c *HubConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "app":
		return true, c.parseApp(d)
	case "apps":
		return true, aliasError("app_manager")
	case "database":
		return true, c.parseDatabase(d)
	case "push_rules":
		return true, d.Err("push_rules are written as push_rule PATTERN { ... } in a Caddyfile")
	case "push_rule":
		return true, c.parsePushRule(d)
	}
	return false, nil
}

// aliasError says that a word is another spelling, in a Caddyfile only.
type aliasError string

func (e aliasError) Error() string { return "is another spelling of " + string(e) }

// parseArgs reads "MAX WINDOW", if that stands behind the word.
func (r *RateConfig) parseArgs(d *caddyfile.Dispenser) (known bool, err error) {
	word, args := d.Val(), d.RemainingArgs()
	if len(args) == 0 {
		return false, nil
	}
	if len(args) != 2 {
		return true, d.Errf("%s takes a number and a window such as 100 60s, not %q", word, args)
	}
	r.Max, r.Window = Number(args[0]), Duration(args[1])
	fields := fieldsOf(rateType)
	for name, text := range map[string]string{"max": args[0], "window": args[1]} {
		if f := fields[name]; !hasPlaceholder(text) {
			err = errors.Join(err, at(word, f.rule.check(text, f.kind)))
		}
	}
	return true, wrap(d, err)
}

func wrap(d *caddyfile.Dispenser, err error) error {
	if err == nil {
		return nil
	}
	return d.WrapErr(err)
}
