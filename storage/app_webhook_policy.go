package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// legacyRegion is where a function is that a record names without a region.
const legacyRegion = "us-east-1"

// policyWebhook is a webhook in the spelling of Sockudo's own records.
type policyWebhook struct {
	URL              string            `json:"url,omitempty"`
	Lambda           *policyLambda     `json:"lambda,omitempty"`
	LambdaFunction   string            `json:"lambda_function,omitempty"`
	EventTypes       []string          `json:"event_types"`
	Filter           *policyFilter     `json:"filter,omitempty"`
	Headers          map[string]string `json:"headers,omitempty"`
	Retry            *policyRetry      `json:"retry,omitempty"`
	RequestTimeoutMS digits            `json:"request_timeout_ms,omitempty"`
}

type policyLambda struct {
	FunctionName string `json:"function_name"`
	Region       string `json:"region"`
}

type policyFilter struct {
	ChannelPrefix     string   `json:"channel_prefix,omitempty"`
	ChannelSuffix     string   `json:"channel_suffix,omitempty"`
	ChannelPattern    string   `json:"channel_pattern,omitempty"`
	ChannelNamespace  string   `json:"channel_namespace,omitempty"`
	ChannelNamespaces []string `json:"channel_namespaces,omitempty"`
}

type policyRetry struct {
	Enabled          *bool  `json:"enabled,omitempty"`
	MaxAttempts      digits `json:"max_attempts,omitempty"`
	MaxElapsedTimeMS digits `json:"max_elapsed_time_ms,omitempty"`
	InitialBackoffMS digits `json:"initial_backoff_ms,omitempty"`
	MaxBackoffMS     digits `json:"max_backoff_ms,omitempty"`
}

// MarshalWebhooks writes the webhooks of an app as a JSON array in the spelling of
// Sockudo. It is nil for none.
func MarshalWebhooks(app *App) ([]byte, error) {
	if len(app.Webhooks) == 0 {
		return nil, nil
	}
	all, err := policyWebhooks(app.Webhooks)
	if err != nil {
		return nil, err
	}
	return json.Marshal(all)
}

func policyWebhooks(webhooks []Webhook) (all []policyWebhook, err error) {
	for i := range webhooks {
		w := &webhooks[i]
		p := policyWebhook{URL: w.URL, EventTypes: append([]string{}, w.EventTypes...), Headers: w.Headers}
		if l := w.Lambda; l != nil {
			p.Lambda = &policyLambda{l.FunctionName, l.Region}
		}
		if f := w.Filter; f.Prefix != "" || f.Suffix != "" || f.Pattern != "" || len(f.Namespaces) > 0 {
			p.Filter = &policyFilter{ChannelPrefix: f.Prefix, ChannelSuffix: f.Suffix, ChannelPattern: f.Pattern, ChannelNamespaces: f.Namespaces}
		}
		if p.RequestTimeoutMS, err = milliseconds("timeout", w.Timeout); err != nil {
			return nil, fmt.Errorf("webhook %d: %w", i+1, err)
		}
		if w.Retry != nil {
			if p.Retry, err = w.Retry.policy(); err != nil {
				return nil, fmt.Errorf("webhook %d: retry: %w", i+1, err)
			}
		}
		all = append(all, p)
	}
	return all, nil
}

func (r *WebhookRetry) policy() (*policyRetry, error) {
	enabled := !r.Off
	elapsed, err1 := milliseconds("max_elapsed", r.MaxElapsed)
	initial, err2 := milliseconds("initial_backoff", r.InitialBackoff)
	most, err3 := milliseconds("max_backoff", r.MaxBackoff)
	return &policyRetry{&enabled, digits(r.MaxAttempts), elapsed, initial, most}, errors.Join(err1, err2, err3)
}

// milliseconds is a length of time as stores keep it.
func milliseconds(name string, d time.Duration) (digits, error) {
	ms := d / time.Millisecond
	if d%time.Millisecond != 0 || ms < 0 || int64(ms) != int64(int32(ms)) {
		return 0, fmt.Errorf("%s: %v is not a number of whole milliseconds up to 2147483647, in which stores keep it", name, d)
	}
	return digits(ms), nil
}

func webhooksOf(all []policyWebhook) (webhooks []Webhook) {
	for _, p := range all {
		w := Webhook{URL: p.URL, Timeout: time.Duration(p.RequestTimeoutMS) * time.Millisecond}
		switch {
		case p.Lambda != nil:
			w.Lambda = &Lambda{p.Lambda.FunctionName, p.Lambda.Region}
		case p.LambdaFunction != "":
			w.Lambda = &Lambda{p.LambdaFunction, legacyRegion}
		}
		if len(p.EventTypes) > 0 {
			w.EventTypes = p.EventTypes
		}
		if len(p.Headers) > 0 {
			w.Headers = p.Headers
		}
		if p.Filter != nil {
			w.Filter = p.Filter.filter()
		}
		if r := p.Retry; r != nil {
			ms := func(d digits) time.Duration { return time.Duration(d) * time.Millisecond }
			w.Retry = &WebhookRetry{r.Enabled != nil && !*r.Enabled, int(r.MaxAttempts), ms(r.MaxElapsedTimeMS), ms(r.InitialBackoffMS), ms(r.MaxBackoffMS)}
		}
		webhooks = append(webhooks, w)
	}
	return webhooks
}

func (p *policyFilter) filter() WebhookFilter {
	f := WebhookFilter{Prefix: p.ChannelPrefix, Suffix: p.ChannelSuffix, Pattern: p.ChannelPattern}
	switch one := p.ChannelNamespace; {
	case one == "" && len(p.ChannelNamespaces) > 0:
		f.Namespaces = p.ChannelNamespaces
	case one != "" && (len(p.ChannelNamespaces) == 0 || slices.Contains(p.ChannelNamespaces, one)):
		f.Namespaces = []string{one}
	case one != "":
		f.Namespaces = []string{""} // both have to agree and do not: no channel at all
	}
	return f
}

// keepWebhooks takes over what an earlier version of the same webhooks says beside
// the members that are read.
func (o object) keepWebhooks(other object) error {
	const member = "webhooks"
	var now, then []object
	if err := errors.Join(read(o[member], &now), read(other[member], &then)); err != nil {
		return fmt.Errorf("policy: %s: %w", member, err)
	}
	if len(now) == 0 {
		return nil
	}
	for _, w := range now {
		i := slices.IndexFunc(then, func(before object) bool {
			return before != nil && bytes.Equal(w["url"], before["url"]) && bytes.Equal(w["lambda"], before["lambda"])
		})
		if i >= 0 {
			w.keep(then[i], policyWebhook{})
			then[i] = nil
		}
	}
	text, err := json.Marshal(now)
	o[member] = text
	return err
}
