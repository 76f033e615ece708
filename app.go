package sockudo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// openTimeout bounds opening one driver, unless that asks for more.
	openTimeout = 10 * time.Second
	// startTimeout bounds subscribing to an adapter.
	startTimeout = 10 * time.Second
)

// generations counts the configurations of this process.
var generations atomic.Uint64

// App holds the hubs of one loaded configuration. It need not be configured: the
// handlers of a site define hubs too. A hub outlives configurations that name it,
// with its connections; of several hubs each has its own apps.
type App struct {
	// Hubs are definitions that several sites may refer to by name. Default: none.
	Hubs map[string]*HubConfig `json:"hubs,omitempty"`

	ctx        caddy.Context // for provisioning only
	log        *zap.Logger
	generation uint64
	tenures    map[string]*tenure // by hub
	variables  []string           // environment variables that were applied
	lookup     func(string) (string, bool)
}

// CaddyModule returns the Caddy module information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo", New: func() caddy.Module { return new(App) }}
}

// UnmarshalJSON refuses whatever it does not know.
func (a *App) UnmarshalJSON(b []byte) error {
	type plain App
	return decodeConfig(b, (*plain)(a))
}

// Provision defines the hubs of the app. Those of handlers follow.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log = ctx, ctx.Logger()
	a.generation = generations.Add(1)
	a.tenures = map[string]*tenure{}
	if a.lookup == nil {
		a.lookup = os.LookupEnv
	}
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	// The events app of a configuration is its own, and so are these two. Settings
	// become current with started and not before: the Start of another app may
	// still fail, in any order.
	bus := events.(*caddyevents.App)
	if err := bus.On("started", listener(a.commit)); err != nil {
		return err
	}
	if err := bus.On("stopping", listener(a.drainAtExit)); err != nil {
		return err
	}
	for _, name := range sortedKeys(a.Hubs) {
		if a.Hubs[name] == nil {
			return fmt.Errorf("hub %s: must be an object", name)
		}
		if _, err := a.define(ctx, name, a.Hubs[name]); err != nil {
			return err
		}
	}
	return nil
}

type listener func()

// Handle is called by the events app.
func (f listener) Handle(context.Context, caddy.Event) error {
	f()
	return nil
}

// refer finds a hub that is defined elsewhere in the configuration, perhaps later.
func (a *App) refer(name string) (*tenure, error) {
	if t := a.tenures[name]; t != nil {
		return t, nil
	}
	t := &tenure{
		hubLease:   &lease{pool: hubs, key: name},
		generation: a.generation,
		log:        a.log,
		leases:     map[string]*lease{},
		drivers:    map[string]string{},
	}
	a.tenures[name] = t // before anything is taken: Cleanup gives back whatever was
	value, err := t.hubLease.take(func() (caddy.Destructor, error) { return newHub(name), nil })
	if err != nil {
		return nil, err
	}
	t.hub = value.(*hub)
	return t, nil
}

// define gives a hub its settings in this configuration. They become current with
// commit, except those of a hub that is new.
func (a *App) define(ctx caddy.Context, name string, c *HubConfig) (*tenure, error) {
	fail := func(err error) (*tenure, error) { return nil, fmt.Errorf("hub %s: %w", name, err) }
	fingerprint, err := c.fingerprint()
	if err != nil {
		return fail(err)
	}
	t, err := a.refer(name)
	if err != nil {
		return fail(err)
	}
	switch t.fingerprint {
	case fingerprint:
		return t, nil
	case "":
	default:
		return fail(errors.New("is defined twice, and differently: define it once and refer to it by name, or write both alike"))
	}
	d, err := c.resolve(caddy.NewReplacer(), a.lookup)
	if err != nil {
		return fail(err)
	}
	if err := a.open(ctx, t, d); err != nil {
		return fail(err)
	}
	if err := t.openWebhooks(d); err != nil {
		return fail(err)
	}
	if err := t.openPush(ctx, d); err != nil {
		return fail(err)
	}
	if d.metrics {
		if err := t.hub.Metrics().Register(a.ctx.GetMetricsRegistry(), d.prefix); err != nil {
			return fail(fmt.Errorf("metrics: %w", err))
		}
	}
	a.variables = append(a.variables, d.variables...)
	for _, w := range d.warnings {
		a.log.Warn(w, zap.String("hub", name))
	}
	if t.drivers[kindAdapter] == defaultDrivers[kindAdapter] {
		a.log.Info("the adapter is local: events reach the clients of this node only", zap.String("hub", name))
	}
	d.settings.Log = a.log
	t.settings, t.apps = &d.settings, d.apps
	t.attach(&d.settings)
	t.fingerprint = fingerprint
	return t, nil
}

// open takes the drivers of a definition.
func (a *App) open(ctx caddy.Context, t *tenure, d *definition) (err error) {
	to := &d.settings.Drivers
	if to.Apps, err = openApps(ctx, t, d); err != nil {
		return err
	}
	if to.Adapter, err = openDriver[storage.Adapter](ctx, t, d, kindAdapter); err != nil {
		return err
	}
	if to.Cache, err = openDriver[storage.Cache](ctx, t, d, kindCache); err != nil {
		return err
	}
	if _, between := to.Adapter.(storage.Clustered); between {
		d.shareStreams(to)
	}
	if d.needsQueue {
		if to.Queue, err = openDriver[storage.Queue](ctx, t, d, kindQueue); err != nil {
			return err
		}
	}
	if to.RateLimiter, err = openDriver[storage.RateLimiter](ctx, t, d, kindRateLimiter); err != nil {
		return err
	}
	if d.writes != nil {
		to.History, err = openHistory(ctx, t, d)
	}
	return err
}

// Start subscribes the hubs to their adapters. An error still ends the load
// without a trace.
func (a *App) Start() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, name := range sortedKeys(a.tenures) {
		t := a.tenures[name]
		if t.fingerprint == "" {
			return fmt.Errorf("hub %s is not defined: no sockudo block in this configuration says what it is", name)
		}
		if err := t.checkMentions(); err != nil {
			return fmt.Errorf("hub %s: %w", name, err)
		}
		err := await(ctx, "starting", func() error { return t.hub.Start(a.generation) })
		if err != nil {
			return fmt.Errorf("hub %s: %w", name, err)
		}
	}
	if len(a.variables) > 0 {
		slices.Sort(a.variables)
		a.log.Info("environment variables applied", zap.Strings("variables", slices.Compact(a.variables)))
	}
	return nil
}

// Stop does nothing: a reload stops the old configuration after the new one has
// started, and what ends with the process has ended by event.
func (a *App) Stop() error { return nil }

// Cleanup gives back what the configuration has, whether it was ever current or
// its load has failed.
func (a *App) Cleanup() error {
	a.each((*tenure).end)
	return nil
}

// commit makes the settings of this configuration current.
func (a *App) commit() {
	for _, name := range sortedKeys(a.tenures) {
		a.tenures[name].activate()
	}
}

// each calls f for every hub of the configuration, side by side.
func (a *App) each(f func(*tenure)) {
	var all sync.WaitGroup
	for _, t := range a.tenures {
		all.Go(func() { f(t) })
	}
	all.Wait()
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
