package sockudo

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/push"
	pushrest "github.com/sockudo/caddy-sockudo/push/rest"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// pushStop bounds what a configuration that goes away waits for notifications under way.
// Those that are cut off are sent by the next one.
const pushStop = 3 * time.Second

// notifications are the push of one configuration.
type notifications struct {
	pipeline *push.Pipeline
	rules    *push.Rules
	store    storage.PushStore
}

// openPush makes what sends notifications, if the definition has it. It sends from the
// moment on when the configuration is current.
func (t *tenure) openPush(ctx caddy.Context, d *definition) error {
	if d.push == nil {
		return nil
	}
	spec, err := loadSpec[storage.PushStore](ctx, t.hub.Name(), d, kindPushStore)
	if err != nil {
		return at("push", err)
	}
	store, err := takeDriver(t, d, kindPushStore, spec, spec.Key(), func() (storage.PushStore, error) { return openSpec(spec) })
	if err != nil {
		return at("push", err)
	}
	s := d.push.settings
	s.Store, s.Queue, s.Limiter = store, t.counted(d), d.settings.Drivers.RateLimiter
	s.Log = t.log.With(zap.String("hub", t.hub.Name()))
	if err := d.push.load(ctx, &s); err != nil {
		return at("push", err)
	}
	metrics := t.hub.notices.Metrics
	s.Registry = push.NewRegistry(push.RegistryOptions{
		Store: store, Providers: s.Codecs, Policy: d.push.policy, Keys: d.push.keys, SealRecipients: d.push.sealed,
		StaleAfter: d.push.stale, OnTransition: metrics.Transition, Log: s.Log,
	})
	s.Presence = presentUsers{t.hub.Hub}
	n := &notifications{pipeline: push.New(t.hub.notices, s), store: store}
	n.rules = push.NewRules(n.pipeline, d.push.rules)
	t.push = n
	d.settings.Push = n
	d.settings.PushAPI = pushrest.New(pushrest.Options{Registry: s.Registry, Pipeline: n.pipeline, AllowSync: d.push.sync, Log: s.Log})
	return nil
}

// load makes the providers. All of them are known, so that devices can be registered and
// payloads shown; those that are switched on send.
func (p *pushDefinition) load(ctx caddy.Context, s *push.Settings) error {
	s.Codecs, s.Setups = map[push.Kind]push.Provider{}, map[push.Kind]push.Setup{}
	for _, info := range caddy.GetModules("sockudo.push_providers") {
		if module, ok := info.New().(push.Module); ok {
			s.Codecs[module.Provider().Kind()] = module.Provider()
		}
	}
	for _, name := range sortedKeys(p.providers) {
		where := "providers." + name
		id, err := findProvider(name)
		if err != nil {
			return at(where, err)
		}
		loaded, err := ctx.LoadModuleByID(id, p.providers[name])
		if err != nil {
			return at(where, err)
		}
		module, ok := loaded.(push.Module)
		if !ok {
			return fmt.Errorf("%s: module %s is a %T, not a provider", where, id, loaded)
		}
		if !module.Enabled() {
			continue
		}
		if err := p.setUp(module, s); err != nil {
			return at(where, err)
		}
	}
	return nil
}

func (p *pushDefinition) setUp(module push.Module, s *push.Settings) error {
	material, err := module.Material()
	if err != nil {
		return err
	}
	options, err := module.Options()
	if err != nil {
		return err
	}
	options.AllowPrivate = options.AllowPrivate || p.private
	kind := module.Provider().Kind()
	if (kind == push.WebPush || kind == push.WNS) && p.policy.AllowLocal {
		options.AllowPrivate = true // endpoints that may be registered may be reached
	}
	digest := push.Hash(fmt.Sprintf("%q %q %v %v %x", options.Endpoint, options.TokenEndpoint, options.AllowPrivate, options.Timeout, subjects(options.Roots)))
	s.Setups[kind] = push.Setup{Material: material, Options: options, Digest: digest}
	return nil
}

// subjects are what tells one set of authorities from another.
func subjects(roots *x509.CertPool) [][]byte {
	if roots == nil {
		return nil
	}
	return roots.Subjects() //nolint:staticcheck // those of the system need not be there
}

// startPush begins to plan and to send.
func (t *tenure) startPush() {
	if t.push == nil {
		return
	}
	if err := t.push.pipeline.Start(); err != nil {
		t.log.Error("push notifications are accepted and not sent", zap.String("hub", t.hub.Name()), zap.Error(err))
	}
}

// stopPush ends the workers. What is left is done by those of the next configuration, or
// when there is one again.
func (t *tenure) stopPush() error {
	if t.push == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), pushStop)
	defer cancel()
	err := await(ctx, "stopping push notifications", func() error {
		return errors.Join(t.push.rules.Stop(ctx), t.push.pipeline.Stop(ctx))
	})
	if t.hubLease.last() {
		t.hub.notices.Close()
	}
	return err
}

// Wants reports whether a rule is about an event.
func (n *notifications) Wants(_, channel, event string) bool { return n.rules.Match(channel, event) }

// Published takes an event that a rule is about.
func (n *notifications) Published(app *storage.App, e protocol.PushEvent) {
	n.rules.Take(app.ID, e.Channel, e.Name, e.Data)
}

// Push accepts the notification that an event asks for itself.
func (n *notifications) Push(ctx context.Context, app *storage.App, e protocol.PushEvent) error {
	payload := new(push.Payload)
	if err := json.Unmarshal(e.Payload, payload); err != nil {
		return refusalError{400, "invalid_input", "extras.push: it is not the payload of a notification", 0}
	}
	r := &push.Request{PublishID: e.ID, Targets: []push.Target{{Type: push.ToChannel, Channel: e.Channel}}, Payload: payload}
	_, err := n.pipeline.Accept(ctx, app.ID, r, push.AcceptOptions{})
	if fault, ok := errors.AsType[*push.FieldError](err); ok {
		return refusalError{400, "invalid_input", "extras.push: " + fault.Error(), 0}
	}
	if refusal, ok := errors.AsType[*push.Refusal](err); ok {
		return refusalError{refusal.Status, refusal.Code, refusal.Text, refusal.RetryAfter}
	}
	return err
}

// Check asks the store, for /up and the admin API.
func (n *notifications) Check(ctx context.Context) error {
	if checker, ok := n.store.(storage.Checker); ok {
		return checker.Check(ctx)
	}
	return nil
}

var (
	_ realtime.Notifier = (*notifications)(nil)
	_ storage.Checker   = (*notifications)(nil)
)

// refusalError is a realtime.PushRefusal.
type refusalError struct {
	status     int
	code, text string
	after      time.Duration
}

// Error is the text.
func (r refusalError) Error() string { return r.text }

// Refusal is the answer.
func (r refusalError) Refusal() (status int, code string, retryAfter time.Duration) {
	return r.status, r.code, r.after
}

// presentUsers tells push who is in presence channels.
type presentUsers struct{ hub *realtime.Hub }

// Present asks the hub. While nodes do not agree on who there is, those who are known count.
func (m presentUsers) Present(_ context.Context, app, channel string) (func(string) bool, error) {
	users, _, err := m.hub.PresentUsers(app, channel)
	if err != nil {
		return nil, err
	}
	return func(user string) bool { return users[user] }, nil
}
