package sockudo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/lookup"
)

const (
	// writeAppsTimeout bounds one attempt to write the apps of a configuration into
	// its store, and writeAppsPause is the time between two.
	writeAppsTimeout = 10 * time.Second
	writeAppsPause   = 5 * time.Second
	// writeAppsAttempts is after how many of them the log says that the store lacks
	// the apps. They are served all the same.
	writeAppsAttempts = 12
)

// openApps opens the app manager of a hub. In front of a store is a cache, which
// belongs to the hub, and above that are the apps of the configuration.
func openApps(ctx caddy.Context, t *tenure, d *definition) (storage.AppManager, error) {
	spec, err := loadSpec[storage.AppManager](ctx, t.hub.Name(), d, kindApps)
	if err != nil {
		return nil, err
	}
	if _, ok := spec.(withApps); ok {
		return takeDriver(t, d, kindApps, spec, spec.Key(), func() (storage.AppManager, error) { return openSpec(spec) })
	}
	if d.writes == nil {
		d.appCache.Read = (&unkept{log: t.log.With(zap.String("hub", t.hub.Name()))}).read
	}
	driver, err := takeDriver(t, d, kindApps, spec, t.hub.Name()+"\x00"+spec.Key(), func() (storage.AppManager, error) {
		store, err := openSpec(spec)
		if err != nil {
			return nil, err
		}
		return lookup.New(store, d.appCache), nil
	})
	if err != nil {
		return nil, err
	}
	apps, ok := driver.(*lookup.Apps)
	if !ok {
		return nil, fmt.Errorf("%s: %s is running without its cache", kindApps, spec.Driver())
	}
	t.tunes = append(t.tunes, func() error {
		apps.SetOptions(d.appCache)
		return nil
	})
	t.follow(apps)
	if len(d.apps) == 0 {
		return apps, nil
	}
	written := lookup.NewOverlay(d.apps, apps)
	bounded, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	if err := written.CheckKeys(bounded); err != nil {
		return nil, at(kindApps, err)
	}
	t.written = written
	return written, nil
}

// follow lets the hub hear of changes, as long as this configuration has it.
func (t *tenure) follow(apps *lookup.Apps) {
	t.unfollow = apps.FollowApps(t.hub.HasApp, t.hub.RefreshApp)
}

// writeApps writes the apps of a configuration that has become current into its
// store, for the nodes and programs that read them there. It goes on in the
// background until it has, or until the configuration goes away.
func (t *tenure) writeApps() {
	if t.written == nil || t.writing != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	t.writing = stop
	go func() {
		defer t.hub.Recovered("writing apps")
		t.keepWriting(ctx)
	}()
}

func (t *tenure) keepWriting(ctx context.Context) {
	logger := t.log.With(zap.String("hub", t.hub.Name()))
	for attempt := 1; ctx.Err() == nil; attempt++ {
		bounded, cancel := context.WithTimeout(ctx, writeAppsTimeout)
		stored, err := t.written.Store(bounded)
		cancel()
		if len(stored) > 0 {
			logger.Info("apps of the configuration written into their store", zap.Strings("apps", stored))
		}
		switch {
		case err == nil || ctx.Err() != nil:
			return
		case errors.Is(err, storage.ErrConflict) && attempt > 1, attempt == writeAppsAttempts:
			logger.Error("apps of the configuration are served, but their store lacks them", zap.Error(err))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(writeAppsPause):
		}
	}
}

// leaveApps ends what writeApps and follow began.
func (t *tenure) leaveApps() {
	if t.writing != nil {
		t.writing()
	}
	if t.unfollow != nil {
		t.unfollow()
	}
}

// options are those of the cache of app records.
func (c *AppCacheConfig) options() lookup.Options {
	if c == nil {
		return lookup.Options{}
	}
	o := lookup.Options{Off: !c.Enabled.or(true), TTL: c.TTL.or(0), NegativeTTL: c.NegativeTTL.or(0), StaleIfError: c.StaleIfError.or(0)}
	if c.TTL != "" && o.TTL == 0 {
		o.TTL = -1
	}
	if c.NegativeTTL != "" && o.NegativeTTL == 0 {
		o.NegativeTTL = -1
	}
	return o
}
