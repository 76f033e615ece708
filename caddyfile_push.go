package sockudo

import (
	"encoding/json"
	"fmt"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

func (n *PushConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "providers":
		return true, d.Err("providers are written as provider NAME { ... } in a Caddyfile")
	case "provider":
		return true, n.parseProvider(d)
	}
	return false, nil
}

// parseProvider reads "provider NAME { ... }", whose block is the provider's.
func (n *PushConfig) parseProvider(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.Err("provider takes the name of one: fcm, apns, webpush, hms or wns")
	}
	name := d.Val()
	if n.Providers[name] != nil {
		return d.Errf("provider %s is written twice", name)
	}
	module, err := findProvider(name)
	if err != nil {
		return d.WrapErr(err)
	}
	guest, err := caddyfile.UnmarshalModule(d, module)
	if err != nil {
		return fmt.Errorf("provider %s: %w", name, err)
	}
	var warnings []caddyconfig.Warning
	raw := caddyconfig.JSON(guest, &warnings)
	if len(warnings) > 0 {
		return d.Errf("provider %s: %s", name, warnings[0].Message)
	}
	if n.Providers == nil {
		n.Providers = map[string]json.RawMessage{}
	}
	n.Providers[name] = canonicalJSON(raw)
	return nil
}

// parsePushRule reads "push_rule PATTERN { ... }".
func (c *HubConfig) parsePushRule(d *caddyfile.Dispenser) error {
	r := new(PushRuleConfig)
	args := d.RemainingArgs()
	if len(args) != 1 {
		return d.Errf("push_rule takes the pattern of channels, not %d arguments", len(args))
	}
	r.ChannelPattern = args[0]
	opened, err := openBlock(d, func() error { return parseBody(d, r) })
	if err != nil {
		return err
	}
	if !opened {
		return d.Err("push_rule needs a block with event_filter")
	}
	c.PushRules = append(c.PushRules, r)
	return nil
}

func (n *PushRuleConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "channel_pattern" {
		return true, d.Err("channel_pattern is written behind push_rule")
	}
	return false, nil
}

// parseArgs reads "suppress_if_present [CHANNEL]", without a block.
func (s *PushSuppress) parseArgs(d *caddyfile.Dispenser) (known bool, err error) { //nolint:unparam // others may not know
	args := d.RemainingArgs()
	if len(args) > 1 {
		return true, d.Errf("suppress_if_present takes one channel, not %d arguments", len(args))
	}
	if len(args) == 1 {
		s.Channel = args[0]
	}
	_, err = openBlock(d, func() error { return parseBody(d, s) })
	return true, err
}

func (n *PushRuleConfig) label() string { return "push_rule " + n.ChannelPattern }
