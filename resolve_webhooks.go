package sockudo

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// legacyRegion is where the function of lambda_function is.
const legacyRegion = "us-east-1"

// laterEvents are those of features that this version does not have.
var laterEvents = []string{
	"ai_run_started", "ai_turn_started",
	"ai_run_ended", "ai_turn_ended", "ai_cancel_requested", "ai_stream_orphaned", "ai_stream_cancelled",
}

// resolveWebhooks says how webhooks are sent, if they are. With a store of apps
// nobody knows whether one of them has any; then a block webhooks or a queue asks
// for them.
func (d *definition) resolveWebhooks(c *HubConfig) error {
	w := c.Webhooks
	if w != nil && !w.Enabled.or(true) {
		return nil
	}
	written := slices.ContainsFunc(d.apps, func(a *storage.App) bool { return len(a.Webhooks) > 0 })
	stored := d.drivers[kindApps].driver != defaultDrivers[kindApps]
	if !written && !(stored && (w != nil || c.QueueRaw != nil)) {
		d.webhooksUnsent = stored
		return nil
	}
	if w == nil {
		w = new(WebhooksConfig)
	}
	s := &webhooks.Settings{
		Single:              !w.BatchingEnabled.or(true),
		MaxBatch:            w.MaxBatchSize.or(0),
		FlushInterval:       w.FlushInterval.or(0),
		Timeout:             w.Timeout.or(0),
		Concurrency:         w.Concurrency.or(0),
		EndpointConcurrency: w.EndpointConcurrency.or(0),
		AllowPrivate:        w.AllowPrivate.or(c.Mode == "development"),
	}
	if r := w.Retry.record(); r != nil {
		s.Retry = *r
	}
	if err := w.readCA(s); err != nil {
		return at("webhooks: ca", err)
	}
	for _, app := range d.apps {
		for i := range app.Webhooks {
			plain, err := checkTarget(&app.Webhooks[i], s.AllowPrivate)
			if err != nil {
				return fmt.Errorf("app %s: webhook %d: %w", app.ID, i+1, err)
			}
			if plain {
				d.warnings = append(d.warnings, fmt.Sprintf("webhook %d of app %s is sent in plain HTTP, which anybody on the way can read", i+1, app.ID))
			}
		}
	}
	d.settings.Webhooks.Debounce = w.Debounce.or(d.settings.Webhooks.Debounce)
	d.webhooks, d.lossyQueue, d.needsQueue = s, w.AllowLossyQueue.or(false), true
	return nil
}

func (w *WebhooksConfig) readCA(s *webhooks.Settings) error {
	if w.CA == "" {
		return nil
	}
	text, err := os.ReadFile(w.CA)
	if err != nil {
		return err
	}
	if s.Roots, err = x509.SystemCertPool(); err != nil {
		s.Roots = x509.NewCertPool()
	}
	if !s.Roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("%s has no certificate in PEM", w.CA)
	}
	return nil
}

// checkTarget refuses a receiver that no request could reach. plain says that
// others could read what is sent to it.
func checkTarget(w *storage.Webhook, allowPrivate bool) (plain bool, err error) {
	if w.URL == "" {
		return false, nil
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return false, errors.New("url: it cannot be read")
	}
	host := strings.ToLower(u.Hostname())
	private := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if ip, err := netip.ParseAddr(host); err == nil {
		private = !netguard.IsPublic(ip)
	}
	if private && !allowPrivate {
		return false, fmt.Errorf("url: %s is a loopback, private or similar address; write webhooks { allow_private on } to admit those", host)
	}
	return u.Scheme == "http" && !private, nil
}

// webhooks are the records of an app's webhooks.
func (a *AppConfig) webhooks() (all []storage.Webhook, err error) {
	for i, c := range a.Webhooks {
		if c == nil {
			return nil, fmt.Errorf("webhook %d: must be an object", i+1)
		}
		w, err := c.record()
		if err != nil {
			return nil, fmt.Errorf("webhook %d: %w", i+1, err)
		}
		all = append(all, w)
	}
	return all, nil
}

// record checks the webhook and is what stores keep of it.
func (w *WebhookConfig) record() (r storage.Webhook, err error) {
	r = storage.Webhook{URL: w.URL, EventTypes: w.Events, Timeout: w.Timeout.or(0), Retry: w.Retry.record()}
	switch {
	case w.Lambda != nil:
		r.Lambda = &storage.Lambda{FunctionName: w.Lambda.FunctionName, Region: w.Lambda.Region}
	case w.LambdaFunction != "":
		r.Lambda = &storage.Lambda{FunctionName: w.LambdaFunction, Region: legacyRegion}
	}
	if err := w.checkTarget(&r); err != nil {
		return r, err
	}
	if len(w.Events) == 0 {
		return r, errors.New("events is missing: it names what is told, such as channel_occupied")
	}
	for _, name := range w.Events {
		switch {
		case slices.Contains(laterEvents, name):
			return r, fmt.Errorf("events: %s %w", name, errLater)
		case !slices.Contains(protocol.WebhookNames(), name):
			return r, fmt.Errorf("events: %s %w", name, unknownWord(name, protocol.WebhookNames()))
		}
	}
	if f := w.Filter; f != nil {
		r.Filter = storage.WebhookFilter{Prefix: f.Prefix, Suffix: f.Suffix, Pattern: f.Pattern, Namespaces: f.Namespaces}
		if f.Namespace != "" && len(f.Namespaces) > 0 {
			return r, errors.New("filter: namespace and namespaces mean the same: write one of them")
		}
		if f.Namespace != "" {
			r.Filter.Namespaces = []string{f.Namespace}
		}
		if err := webhooks.CheckFilter(&r.Filter); err != nil {
			return r, fmt.Errorf("filter: pattern: %w", err)
		}
	}
	for _, name := range sortedKeys(w.Headers) {
		value := ""
		if v := w.Headers[name]; v != nil {
			value = *v
		}
		if err := webhooks.CheckHeader(name, value); err != nil {
			return r, fmt.Errorf("headers: %w", err)
		}
		if r.Headers == nil {
			r.Headers = map[string]string{}
		}
		r.Headers[name] = value
	}
	return r, nil
}

// checkTarget checks where requests go. Errors show no URL, which may hold a token.
func (w *WebhookConfig) checkTarget(r *storage.Webhook) error {
	switch {
	case w.Lambda != nil && w.LambdaFunction != "":
		return errors.New("lambda and lambda_function mean the same: write one of them")
	case w.URL != "" && r.Lambda != nil:
		return errors.New("it has an URL and a function: write one of them")
	case w.URL == "" && r.Lambda == nil:
		return errors.New("it needs an URL, or a function in lambda")
	case r.Lambda != nil && (r.Lambda.FunctionName == "" || r.Lambda.Region == ""):
		return errors.New("lambda needs function_name and region")
	case r.Lambda != nil:
		return nil
	}
	u, err := url.Parse(w.URL)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("url: it is no URL such as https://example.com/hooks")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("url: its scheme is %s, and must be https or http", u.Scheme)
	case u.Fragment != "":
		return errors.New("url: it has a fragment, which is never sent")
	}
	return nil
}

// record is what stores keep, nil for nothing.
func (r *WebhookRetryConfig) record() *storage.WebhookRetry {
	if r == nil {
		return nil
	}
	return &storage.WebhookRetry{
		Off: !r.Enabled.or(true), MaxAttempts: r.MaxAttempts.or(0), MaxElapsed: r.MaxElapsed.or(0),
		InitialBackoff: r.InitialBackoff.or(0), MaxBackoff: r.MaxBackoff.or(0),
	}
}
