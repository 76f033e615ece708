package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// AppManager holds a fixed list of apps. Lookups take no lock.
type AppManager struct {
	tables atomic.Pointer[appTables] // nil once closed
}

type appTables struct {
	byID   map[string]*storage.App
	byKey  map[string]*storage.App
	sorted []*storage.App
}

// NewAppManager checks apps and makes a store of copies of them. It refuses an
// empty or repeated id or key, an empty secret, and namespaces and origins that
// cannot work. No error holds a secret.
func NewAppManager(apps []*storage.App) (*AppManager, error) {
	t := &appTables{
		byID:  make(map[string]*storage.App, len(apps)),
		byKey: make(map[string]*storage.App, len(apps)),
	}
	for i, given := range apps {
		if given == nil {
			return nil, fmt.Errorf("app %d of the list is missing", i+1)
		}
		if given.ID == "" {
			return nil, fmt.Errorf("app %d of the list: id must not be empty", i+1)
		}
		app, err := prepareApp(given)
		if err == nil {
			err = t.add(app)
		}
		if err != nil {
			return nil, fmt.Errorf("app %s: %w", given.ID, err)
		}
	}
	slices.SortFunc(t.sorted, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	m := &AppManager{}
	m.tables.Store(t)
	return m, nil
}

func (t *appTables) add(app *storage.App) error {
	if t.byID[app.ID] != nil {
		return errors.New("id is used by another app too")
	}
	if other := t.byKey[app.Key]; other != nil {
		return fmt.Errorf("key is used by app %s too", other.ID)
	}
	t.byID[app.ID], t.byKey[app.Key] = app, app
	t.sorted = append(t.sorted, app)
	return nil
}

// prepareApp checks an app and copies it, because compiling the namespaces of an
// app that another configuration already serves would be a data race.
func prepareApp(given *storage.App) (*storage.App, error) {
	if given.Key == "" {
		return nil, errors.New("key must not be empty")
	}
	if given.Secret == "" {
		return nil, errors.New("secret must not be empty")
	}
	if _, err := protocol.NewOrigins(given.AllowedOrigins); err != nil {
		return nil, fmt.Errorf("allowed_origins: %w", err)
	}
	app := *given
	app.AllowedOrigins = slices.Clone(given.AllowedOrigins)
	app.Namespaces = maps.Clone(given.Namespaces)
	if rate := given.Limits.MessageRate; rate != nil {
		clone := *rate
		app.Limits.MessageRate = &clone
	}
	if enabled := given.Idempotency.Enabled; enabled != nil {
		clone := *enabled
		app.Idempotency.Enabled = &clone
	}
	// In the order of the names, so that the error is the same every time.
	for _, name := range slices.Sorted(maps.Keys(app.Namespaces)) {
		n := app.Namespaces[name]
		if n == nil {
			return nil, fmt.Errorf("namespace %q is missing", name)
		}
		if n.Name != name {
			return nil, fmt.Errorf("namespace %q is listed under the name %q", n.Name, name)
		}
		clone := *n
		if err := clone.Compile(); err != nil {
			return nil, err
		}
		app.Namespaces[name] = &clone
	}
	return &app, nil
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(_ context.Context, key string) (*storage.App, error) {
	t := m.tables.Load()
	if t == nil {
		return nil, fmt.Errorf("app manager: %w", storage.ErrClosed)
	}
	if app := t.byKey[key]; app != nil {
		return app, nil
	}
	return nil, fmt.Errorf("app with key %q: %w", key, storage.ErrNotFound)
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(_ context.Context, id string) (*storage.App, error) {
	t := m.tables.Load()
	if t == nil {
		return nil, fmt.Errorf("app manager: %w", storage.ErrClosed)
	}
	if app := t.byID[id]; app != nil {
		return app, nil
	}
	return nil, fmt.Errorf("app %q: %w", id, storage.ErrNotFound)
}

// Apps lists all apps, ordered by id.
func (m *AppManager) Apps(context.Context) ([]*storage.App, error) {
	t := m.tables.Load()
	if t == nil {
		return nil, fmt.Errorf("app manager: %w", storage.ErrClosed)
	}
	return slices.Clone(t.sorted), nil
}

// Close forgets the apps. Later calls are ErrClosed.
func (m *AppManager) Close() error {
	m.tables.Store(nil)
	return nil
}
