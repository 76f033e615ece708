package sockudo

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseWebhook reads "webhook URL { … }", or without an URL one that has a function.
func parseWebhook(d *caddyfile.Dispenser, to *[]*WebhookConfig) error {
	w := new(WebhookConfig)
	switch args := d.RemainingArgs(); {
	case len(args) > 1:
		return d.Errf("webhook takes one URL, not %d arguments", len(args))
	case len(args) == 1:
		w.URL = args[0]
	}
	opened, err := openBlock(d, func() error { return parseBody(d, w) })
	if err != nil {
		return err
	}
	if !opened {
		return d.Err("webhook needs a block with events")
	}
	if !placeholdersIn(w) {
		if _, err := w.record(); err != nil {
			return d.Errf("webhook: %w", err)
		}
	}
	*to = append(*to, w)
	return nil
}

func (w *WebhookConfig) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "url":
		return true, d.Err("url is written behind webhook")
	case "headers":
		return true, d.Err("headers are written as header NAME VALUE in a Caddyfile")
	case "header":
		args := d.RemainingArgs()
		if len(args) != 2 {
			return true, d.Errf("header takes a name and a value, not %d arguments", len(args))
		}
		if w.Headers == nil {
			w.Headers = HeaderValues{}
		}
		if w.Headers[args[0]] != nil {
			return true, d.Errf("header %s is written twice", args[0])
		}
		w.Headers[args[0]] = &args[1]
		return true, noBlock(d, word)
	}
	return false, nil
}

// parseArgs reads "FUNCTION REGION", if that stands behind the word.
func (l *LambdaConfig) parseArgs(d *caddyfile.Dispenser) (known bool, err error) {
	args := d.RemainingArgs()
	switch len(args) {
	case 0:
		return false, nil
	case 2:
		l.FunctionName, l.Region = args[0], args[1]
		return true, nil
	}
	return true, d.Errf("lambda takes a function and a region, not %d arguments", len(args))
}

func (p *AppPolicy) parseWord(d *caddyfile.Dispenser, word string) (known bool, err error) {
	switch word {
	case "webhook":
		return true, parseWebhook(d, &p.Webhooks)
	case "webhooks":
		return true, d.Err(webhooksHint)
	}
	return false, nil
}

const webhooksHint = "webhooks of an app are written as webhook URL in a Caddyfile"
