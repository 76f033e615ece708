package sockudo

import (
	"reflect"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseApp reads "app ID { … }".
func (c *HubConfig) parseApp(d *caddyfile.Dispenser) error {
	app := new(AppConfig)
	if args := d.RemainingArgs(); len(args) != 1 {
		return d.Errf("app takes one id, not %d arguments", len(args))
	}
	app.ID = d.Val()
	for _, other := range c.Apps {
		if other.ID == app.ID {
			return d.Errf("app %s is written twice", app.ID)
		}
	}
	opened, err := openBlock(d, func() error { return parseBody(d, app) })
	if err != nil {
		return err
	}
	if !opened {
		return d.Errf("app %s needs a block with key and secret", app.ID)
	}
	if _, err := app.flat(); err != nil {
		return d.Errf("app %s: %w", app.ID, err)
	}
	c.Apps = append(c.Apps, app)
	return nil
}

func (a *AppConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "id" {
		return true, d.Errf("id is written behind app: app %s", a.ID)
	}
	switch word {
	case "webhook":
		return true, parseWebhook(d, &a.Webhooks)
	case "webhooks":
		return true, d.Err(webhooksHint)
	}
	return a.AppChannels.parseWord(d, word)
}

func (c *AppChannels) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "namespace":
		return true, c.parseNamespace(d)
	case "delta":
		return true, c.parseDelta(d)
	case "channel_delta_compression":
		return true, d.Errf("channel_delta_compression is written as delta CHANNEL MODE in a Caddyfile")
	case "channel_namespaces":
		return true, d.Errf("channel_namespaces is written as namespace NAME in a Caddyfile")
	}
	return false, nil
}

func (c *AppChannels) parseNamespace(d *caddyfile.Dispenser) error {
	n := new(NamespaceConfig)
	if args := d.RemainingArgs(); len(args) != 1 {
		return d.Errf("namespace takes one name, not %d arguments", len(args))
	}
	n.Name = d.Val()
	_, err := openBlock(d, func() error { return parseBody(d, n) })
	c.ChannelNamespaces = append(c.ChannelNamespaces, n)
	return err
}

func (n *NamespaceConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "name" {
		return true, d.Errf("name is written behind namespace: namespace %s", n.Name)
	}
	return false, nil
}

// parseDelta reads "delta CHANNEL MODE", with a block or without.
func (c *AppChannels) parseDelta(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("delta takes a channel or a pattern and a mode, not %d arguments", len(args))
	}
	name, one := args[0], &ChannelDeltaConfig{Mode: args[1]}
	if c.ChannelDelta[name] != nil {
		return d.Errf("delta %s is written twice", name)
	}
	f := fieldsOf(reflect.TypeFor[ChannelDeltaConfig]())["mode"]
	if err := f.rule.check(one.Mode, f.kind); err != nil && !hasPlaceholder(one.Mode) {
		return d.Errf("delta %s: %w", name, err)
	}
	if err := parseBlock(d, one); err != nil {
		return err
	}
	if c.ChannelDelta == nil {
		c.ChannelDelta = map[string]*ChannelDeltaConfig{}
	}
	c.ChannelDelta[name] = one
	err := checkDeltaChannel(name)
	if err == nil && !placeholdersIn(one) {
		_, err = one.record()
	}
	return wrap(d, at("delta "+name, err))
}

func (c *ChannelDeltaConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	if word == "mode" {
		return true, d.Errf("mode is written behind the channel: delta CHANNEL %s", c.Mode)
	}
	return false, nil
}
