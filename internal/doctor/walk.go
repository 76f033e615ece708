package doctor

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Options say what to walk through.
type Options struct {
	// URL is the public address, http or https, with the path below which the server is
	// mounted, if there is one.
	URL string
	// Key, Secret and App are those of the app. Without one of them the steps that need it
	// are skipped.
	Key, Secret, App string
	// Origin is the Origin header of sockets. Empty is none, as of clients that are no
	// browsers.
	Origin string
	// Roots are authorities beside those of the system, nil for none.
	Roots *x509.CertPool
	// Timeout bounds each step. Zero is ten seconds.
	Timeout time.Duration
	// Idle is how long a socket is to stay open without a word, zero not to try.
	Idle time.Duration
	// Payload is the size of the largest event that is tried, in bytes. Zero is 10,000.
	Payload int
	// Webhooks asks the server how the webhooks of the app are doing, nil if nobody can be
	// asked.
	Webhooks func(context.Context) (WebhookState, error)
	// Push publishes a notification, for the registered device PushDevice or, if that is
	// empty, for nobody.
	Push       bool
	PushDevice string
	// PushState asks the server how push notifications are doing, and says what is wrong with
	// them in an error. Nil if nobody can be asked.
	PushState func(context.Context) (detail string, err error)
	// WebhookListen is an address on which a webhook of the app is waited for, or "".
	WebhookListen string
	// Progress is called after each step, nil for nobody.
	Progress func(Step)
}

// ErrNotConfigured is what Webhooks and PushState return where there is nothing to look at.
var ErrNotConfigured = errors.New("not configured")

// walker is one walk.
type walker struct {
	Options
	base   *url.URL
	client *http.Client
	steps  []Step
	failed map[string]bool // steps that failed or were skipped, by name
	mark   string          // in the names of channels, so that walks do not meet

	first, second *socket
	sawHTTP       bool
	receiver      *receiver
	webhooks      WebhookState
	asked         bool // webhooks holds how they were before the first event
}

// hop is a step with those that it needs.
type hop struct {
	name  string
	needs []string
	run   func(context.Context) Step
}

// Run walks, and stops when ctx ends. An error says that the options are wrong, or that
// ctx has ended.
func Run(ctx context.Context, o Options) (Report, error) {
	w := &walker{Options: o, failed: map[string]bool{}}
	if err := w.prepare(); err != nil {
		return Report{}, err
	}
	defer w.close()
	w.askWebhooks(ctx)
	for _, h := range w.hops() {
		if ctx.Err() != nil {
			return Report{}, ctx.Err()
		}
		w.take(ctx, h)
	}
	if ctx.Err() != nil {
		return Report{}, ctx.Err()
	}
	return Report{URL: w.base.String(), Outcome: worst(w.steps), Steps: w.steps}, nil
}

func (w *walker) prepare() error {
	base, err := url.Parse(w.URL)
	if err != nil {
		return fmt.Errorf("the address is not understood: %w", err)
	}
	switch base.Scheme {
	case "ws":
		base.Scheme = "http"
	case "wss":
		base.Scheme = "https"
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return fmt.Errorf("the address %q is none such as https://example.com", w.URL)
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return fmt.Errorf("the address %q has more in it than a host and a path", w.URL)
	}
	base.Path = strings.TrimSuffix(base.Path, "/")
	w.base = base
	if w.Timeout <= 0 {
		w.Timeout = 10 * time.Second
	}
	if w.Payload <= 0 {
		w.Payload = 10_000
	}
	var random [6]byte
	_, _ = rand.Read(random[:])
	w.mark = "doctor-" + hex.EncodeToString(random[:])
	w.client = w.newClient()
	if w.WebhookListen != "" {
		if w.receiver, err = newReceiver(w.WebhookListen, w.Key, w.Secret); err != nil {
			return fmt.Errorf("listening for webhooks: %w", err)
		}
	}
	return nil
}

func (w *walker) close() {
	w.client.CloseIdleConnections()
	for _, s := range []*socket{w.first, w.second} {
		if s != nil {
			s.close()
		}
	}
	if w.receiver != nil {
		w.receiver.close()
	}
}

// hops are all steps, in order.
func (w *walker) hops() []hop {
	return []hop{
		{"dns", nil, w.dns},
		{"tcp", []string{"dns"}, w.tcp},
		{"tls", []string{"tcp"}, w.tls},
		{"http", []string{"tcp", "tls"}, w.http},
		{"clock", []string{"tcp", "tls"}, w.clock},
		{"upgrade", []string{"tcp", "tls"}, w.upgrade},
		{"connect", []string{"upgrade"}, w.connect},
		{"ping", []string{"connect"}, w.ping},
		{"idle", []string{"ping"}, w.idle},
		{"auth", []string{"connect"}, w.auth},
		{"publish", []string{"tcp", "tls"}, w.publish},
		{"delivery", []string{"auth", "publish"}, w.delivery},
		{"presence", []string{"auth"}, w.presence},
		{"client-event", []string{"auth"}, w.clientEvent},
		{"payload", []string{"delivery"}, w.payload},
		{"webhook", nil, w.webhook},
		{"push", []string{"publish"}, w.push},
	}
}

// take takes a step, unless one that it needs has not been taken well.
func (w *walker) take(ctx context.Context, h hop) {
	begin := time.Now()
	var s Step
	for _, name := range h.needs {
		if w.failed[name] && s.Outcome == "" {
			s = skip("needs the step " + name)
		}
	}
	if s.Outcome == "" {
		limit := w.Timeout
		if h.name == "idle" {
			limit += w.Idle
		}
		bounded, cancel := context.WithTimeout(ctx, limit)
		s = h.run(bounded)
		cancel()
	}
	if ctx.Err() != nil {
		return
	}
	s.Name, s.DurationMS = h.name, float64(time.Since(begin).Microseconds())/1000
	w.failed[h.name] = s.Outcome == Failed || s.Outcome == Skipped && h.name != "tls"
	w.steps = append(w.steps, s)
	if w.Progress != nil {
		w.Progress(s)
	}
}

// at is an address below the public one.
func (w *walker) at(path string) string { return w.base.String() + path }
