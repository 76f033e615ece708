package sockudo

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// knownSecrets are those of the documentation.
var knownSecrets = []string{"app-secret", "secret", "demo-secret"}

// resolveApps makes the records of the apps that are written in the
// configuration or named by the environment. removed says that the environment
// has taken the written ones away, so that having none is meant.
func (d *definition) resolveApps(c *HubConfig, removed bool) error {
	var known []string
	for i, app := range c.Apps {
		if app == nil {
			return fmt.Errorf("apps.%d: must be an object", i)
		}
		record, err := app.record()
		if err != nil {
			return fmt.Errorf("app %s: %w", app.ID, err)
		}
		d.apps = append(d.apps, record)
		if slices.Contains(knownSecrets, record.Secret) {
			known = append(known, record.ID)
		}
	}
	if len(d.apps) == 0 && d.drivers[kindApps].driver == defaultDrivers[kindApps] {
		if !removed {
			return errors.New("no app is configured: write a block app ID with key and secret, or set SOCKUDO_DEFAULT_APP_ID, SOCKUDO_DEFAULT_APP_KEY and SOCKUDO_DEFAULT_APP_SECRET")
		}
		d.warnings = append(d.warnings, "the environment has removed all apps, so nobody can connect")
	}
	if len(known) > 0 && c.Mode != "development" {
		d.warnings = append(d.warnings, "the secret of these apps is known from the documentation: "+strings.Join(known, ", ")+"; choose another one, or set mode development")
	}
	return nil
}

// flat is the app with everything in its flat fields. Writing anything twice is
// an error.
func (a *AppConfig) flat() (*AppConfig, error) {
	f := clone(reflect.ValueOf(a)).Interface().(*AppConfig)
	f.Policy, f.Limits = nil, nil
	if p := a.Policy; p != nil {
		rest := *f
		rest.ID, rest.Key, rest.Secret, rest.Enabled = "", "", "", ""
		if !reflect.ValueOf(rest).IsZero() || a.Limits != nil {
			return nil, errors.New("what policy says must not be written beside it too")
		}
		for _, part := range []struct{ to, from any }{{&f.AppLimits, p.Limits}, {&f.AppFeatures, p.Features}, {&f.AppChannels, p.Channels}} {
			if err := merge(part.to, part.from); err != nil {
				return nil, err
			}
		}
		f.Idempotency, f.Recovery, f.Webhooks = p.Idempotency, p.Recovery, p.Webhooks
		f.History, f.PresenceHistory = p.History, p.PresenceHistory
		return f, nil
	}
	return f, merge(&f.AppLimits, a.Limits)
}

// merge copies the fields of a section that are set, pointers both.
func merge(to, from any) error {
	source := reflect.ValueOf(from)
	if source.IsNil() {
		return nil
	}
	target := reflect.ValueOf(to).Elem()
	for name, f := range fieldsOf(target.Type()) {
		value := source.Elem().FieldByIndex(f.index)
		switch place := target.FieldByIndex(f.index); {
		case value.IsZero():
		case !place.IsZero():
			return fmt.Errorf("%s is written twice, by itself and in limits", name)
		default:
			place.Set(value)
		}
	}
	return nil
}

// record is the app as stores keep it.
func (a *AppConfig) record() (*storage.App, error) {
	a, err := a.flat()
	if err != nil {
		return nil, err
	}
	for _, required := range []struct{ name, value string }{{"id", a.ID}, {"key", a.Key}, {"secret", a.Secret}} {
		if required.value == "" {
			return nil, fmt.Errorf("%s is missing", required.name)
		}
	}
	app := &storage.App{
		ID: a.ID, Key: a.Key, Secret: a.Secret,
		Enabled: a.Enabled.or(true),
		Limits:  a.limits(),
		Features: storage.AppFeatures{
			ClientMessages:     a.EnableClientMessages.or(false),
			UserAuthentication: a.EnableUserAuthentication.or(false),
			WatchlistEvents:    a.EnableWatchlistEvents.or(false),
			SubscriptionCount:  a.SubscriptionCount.or(false),
		},
		AllowedOrigins: a.AllowedOrigins,
	}
	if app.Recovery, err = a.Recovery.record(); err != nil {
		return nil, at("recovery", err)
	}
	if err := a.histories(app); err != nil {
		return nil, err
	}
	if app.Delta, err = a.deltas(); err != nil {
		return nil, err
	}
	if i := a.Idempotency; i != nil {
		app.Idempotency.TTL = i.TTL.or(0)
		if i.Enabled != "" {
			enabled := i.Enabled.or(true)
			app.Idempotency.Enabled = &enabled
		}
	}
	if app.Webhooks, err = a.webhooks(); err != nil {
		return nil, err
	}
	app.Namespaces, err = a.namespaces()
	return app, err
}

func (l *AppLimits) limits() storage.AppLimits {
	s := storage.AppLimits{
		MaxConnections:               l.MaxConnections.or(0),
		MaxClientEventsPerSecond:     l.MaxClientEventsPerSecond.or(0),
		MaxBackendEventsPerSecond:    l.MaxBackendEventsPerSecond.or(0),
		MaxReadRequestsPerSecond:     l.MaxReadRequestsPerSecond.or(0),
		MaxPresenceMembersPerChannel: l.MaxPresenceMembersPerChannel.or(0),
		MaxPresenceMemberSizeInKB:    l.MaxPresenceMemberSizeInKB.or(0),
		MaxChannelNameLength:         l.MaxChannelNameLength.or(0),
		MaxEventChannelsAtOnce:       l.MaxEventChannelsAtOnce.or(0),
		MaxEventNameLength:           l.MaxEventNameLength.or(0),
		MaxEventPayloadInKB:          l.MaxEventPayloadInKB.or(0),
		MaxEventBatchSize:            l.MaxEventBatchSize.or(0),
		DecaySeconds:                 l.DecaySeconds.or(0),
		TerminateOnLimit:             l.TerminateOnLimit.or(false),
	}
	if m := l.MessageRateLimit; m != nil && m.Enabled.or(true) {
		s.MessageRate = &storage.MessageRate{
			MaxAttempts: m.MaxAttempts.or(60),
			Decay:       m.Decay.or(time.Minute),
			Terminate:   m.Terminate.or(false),
		}
	}
	return s
}

func (a *AppConfig) namespaces() (map[string]*storage.Namespace, error) {
	if len(a.ChannelNamespaces) == 0 {
		return nil, nil //nolint:nilnil // no namespaces is a valid answer
	}
	all := map[string]*storage.Namespace{}
	for i, c := range a.ChannelNamespaces {
		if c == nil {
			return nil, fmt.Errorf("channel_namespaces.%d: must be an object", i)
		}
		n := &storage.Namespace{
			Name:                     c.Name,
			Pattern:                  c.Pattern,
			MaxChannelNameLength:     c.MaxChannelNameLength.or(0),
			AllowUserLimitedChannels: c.AllowUserLimitedChannels.or(false),
			NoSubscribe:              !c.AllowSubscribeForClient.or(true),
			NoPublish:                !c.AllowPublishForClient.or(true),
			NoPresence:               !c.AllowPresenceForClient.or(true),
		}
		if all[n.Name] != nil {
			return nil, fmt.Errorf("namespace %s is written twice", n.Name)
		}
		if err := n.Compile(); err != nil {
			return nil, err
		}
		if err := c.histories(n); err != nil {
			return nil, err
		}
		all[n.Name] = n
	}
	return all, nil
}
