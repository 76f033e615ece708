package lookup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Overlay are the apps of a configuration above those of a store. The
// configuration wins: what the store says about an app with the same id does not
// count.
type Overlay struct {
	written *memoryApps
	store   storage.AppManager
}

// memoryApps are the apps that are written in the configuration.
type memoryApps struct {
	byID, byKey map[string]*storage.App
	sorted      []*storage.App
}

// NewOverlay puts apps, whose namespaces are compiled, above a store that it does
// not own.
func NewOverlay(apps []*storage.App, store storage.AppManager) *Overlay {
	w := &memoryApps{byID: map[string]*storage.App{}, byKey: map[string]*storage.App{}, sorted: apps}
	for _, app := range apps {
		w.byID[app.ID], w.byKey[app.Key] = app, app
	}
	return &Overlay{w, store}
}

// AppByID finds an app by its id.
func (o *Overlay) AppByID(ctx context.Context, id string) (*storage.App, error) {
	if app := o.written.byID[id]; app != nil {
		return app, nil
	}
	return o.store.AppByID(ctx, id)
}

// AppByKey finds an app by its public key.
func (o *Overlay) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	if app := o.written.byKey[key]; app != nil {
		return app, nil
	}
	app, err := o.store.AppByKey(ctx, key)
	if err == nil && o.written.byID[app.ID] != nil {
		return nil, fmt.Errorf("app with key %q: %w", key, storage.ErrNotFound) // a key it had
	}
	return app, err
}

// Apps lists the apps, ordered by id.
func (o *Overlay) Apps(ctx context.Context) ([]*storage.App, error) {
	stored, err := o.store.Apps(ctx)
	if err != nil {
		return nil, err
	}
	apps := slices.Clone(o.written.sorted)
	for _, app := range stored {
		if o.written.byID[app.ID] == nil {
			apps = append(apps, app)
		}
	}
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

// FollowApps registers somebody who uses records, see storage.AppFollowed.
func (o *Overlay) FollowApps(inUse func(id string) bool, changed func(id string)) (stop func()) {
	if followed, ok := o.store.(storage.AppFollowed); ok {
		return followed.FollowApps(inUse, changed)
	}
	return func() {}
}

// HasApps reports that there are apps: those of the configuration.
func (o *Overlay) HasApps(context.Context) (bool, error) { return true, nil }

// Check asks the store whether it is usable.
func (o *Overlay) Check(ctx context.Context) error {
	if checker, ok := o.store.(storage.Checker); ok {
		return checker.Check(ctx)
	}
	return nil
}

// UnreadableApps counts the records of the store that cannot be read.
func (o *Overlay) UnreadableApps() int {
	if u, ok := o.store.(storage.UnreadableApps); ok {
		return u.UnreadableApps()
	}
	return 0
}

// ErrWritten says that an app is written in the configuration.
var ErrWritten = errors.New("the app is written in the configuration, which is where to change it")

// PutApp stores an app that is not written in the configuration.
func (o *Overlay) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := o.free(app.ID, app.Key); err != nil {
		return err
	}
	editor, ok := o.store.(storage.AppEditor)
	if !ok {
		return ErrReadOnly
	}
	return editor.PutApp(ctx, app, version)
}

// DeleteApp removes an app that is not written in the configuration.
func (o *Overlay) DeleteApp(ctx context.Context, id, version string) error {
	if err := o.free(id, ""); err != nil {
		return err
	}
	editor, ok := o.store.(storage.AppEditor)
	if !ok {
		return ErrReadOnly
	}
	return editor.DeleteApp(ctx, id, version)
}

func (o *Overlay) free(id, key string) error {
	if o.written.byID[id] != nil {
		return fmt.Errorf("app %s: %w", id, ErrWritten)
	}
	if other := o.written.byKey[key]; other != nil {
		return fmt.Errorf("app %s: app %s of the configuration has the key too: %w", id, other.ID, storage.ErrKeyTaken)
	}
	return nil
}

// CheckKeys looks for apps of the store that have a key of the configuration.
func (o *Overlay) CheckKeys(ctx context.Context) error {
	for _, app := range o.written.sorted {
		other, err := o.store.AppByKey(ctx, app.Key)
		switch {
		case errors.Is(err, storage.ErrNotFound):
		case err != nil:
			return err
		case other.ID != app.ID:
			return fmt.Errorf("app %s: app %s of the store has the key too: %w", app.ID, other.ID, storage.ErrKeyTaken)
		}
	}
	return nil
}

// Store writes the apps of the configuration into the store where that says
// something else. Nothing is deleted.
func (o *Overlay) Store(ctx context.Context) (stored []string, err error) {
	editor, ok := o.store.(storage.AppEditor)
	if !ok {
		return nil, nil
	}
	for _, app := range o.written.sorted {
		there, err := o.store.AppByID(ctx, app.ID)
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return stored, err
		}
		record, version := *app, storage.NoVersion
		if there != nil {
			record.Stored = there.Stored // what this version has no use for
			if version, err = storage.AppVersion(there); err != nil {
				return stored, err
			}
		}
		now, err := storage.AppVersion(&record)
		if err == nil && now != version {
			if err = editor.PutApp(ctx, &record, version); err == nil {
				stored = append(stored, app.ID)
			}
		}
		if err != nil {
			return stored, err
		}
	}
	return stored, nil
}

// Close does nothing: the store is not its own.
func (o *Overlay) Close() error { return nil }
