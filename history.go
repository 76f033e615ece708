package sockudo

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/batch"
)

// writtenHistory is a running history: a store, and what lets entries that come at the
// same time be written at once.
type writtenHistory struct {
	*batch.History
	store storage.History
}

// openHistory takes the history of a definition.
func openHistory(ctx caddy.Context, t *tenure, d *definition) (storage.History, error) {
	spec, err := loadSpec[storage.History](ctx, t.hub.Name(), d, kindHistory)
	if err != nil {
		return nil, err
	}
	driver, err := takeDriver(t, d, kindHistory, spec, spec.Key(), func() (storage.History, error) {
		store, err := openSpec(spec)
		if err != nil {
			return nil, err
		}
		return &writtenHistory{batch.New(store, *d.writes), store}, nil
	})
	if err != nil {
		return nil, err
	}
	h, ok := driver.(*writtenHistory)
	if !ok {
		return nil, fmt.Errorf("%s: %s is running without what groups its writes", kindHistory, spec.Driver())
	}
	t.tunes = append(t.tunes, func() error {
		h.SetOptions(*d.writes)
		return nil
	})
	return h, nil
}

// Tune gives the store the tuning of a newer configuration.
func (h *writtenHistory) Tune(spec any) error {
	if tuner, ok := h.store.(storage.Tuner); ok {
		return tuner.Tune(spec)
	}
	return nil
}

// Volatile reports whether what is kept ends with the process.
func (h *writtenHistory) Volatile() bool {
	v, ok := h.store.(interface{ Volatile() bool })
	return ok && v.Volatile()
}

// unkept warns of apps in a store that want history, when nothing keeps it.
type unkept struct {
	log  *zap.Logger
	told toldApps
}

// read looks at a record that has come from the store.
func (u *unkept) read(app *storage.App) {
	if (isOn(app.History.Enabled) || keepsMembers(app)) && u.told.first(app.ID) {
		u.log.Warn("an app in the store switches history on, and none is kept: write history DRIVER { enabled off } for such apps", zap.String("app", app.ID))
	}
}
