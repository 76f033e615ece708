package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// maxRaces is how often a change is tried again because somebody else has changed
	// the same record in the meantime.
	maxRaces = 20
	// wholeHash is the number of apps up to which they are read in one piece.
	wholeHash = 1000
	// scanBatch is how many of more are read at a time.
	scanBatch = 500
)

// AppManager keeps apps in two hashes: apps has their records by id, app_keys their
// ids by key (configuration, section 3.7).
type AppManager struct {
	client *Client
	// apps, keys and changed are the names of the hashes and of the channel.
	apps, keys, changed string
	storage.AppNotes

	mu       sync.Mutex
	closed   bool
	watchers map[int]func() // what stops them
	next     int
}

// OpenAppManager connects to a server. An empty prefix is "sockudo:". The logger
// may be nil.
func OpenAppManager(ctx context.Context, o Options, prefix string, log *zap.Logger) (*AppManager, error) {
	if prefix == "" {
		prefix = "sockudo:"
	}
	if err := checkTag(prefix); err != nil {
		return nil, err
	}
	client, err := Connect(ctx, o, log)
	if err != nil {
		return nil, err
	}
	m := &AppManager{
		client: client, apps: prefix + "apps", keys: prefix + "app_keys", changed: prefix + "apps:changed",
		AppNotes: storage.AppNotes{Store: client.place, Log: log}, watchers: map[int]func(){},
	}
	if o.Cluster { // both in one slot, for the scripts
		m.apps, m.keys = prefix+"{apps}", prefix+"{apps}:keys"
	}
	if err := m.Check(ctx); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return m, nil
}

// checkTag looks for the one prefix that undoes the hash tags behind it.
func checkTag(prefix string) error {
	if open := strings.IndexByte(prefix, '{'); open >= 0 && strings.HasPrefix(prefix[open:], "{}") {
		return fmt.Errorf("prefix %q must not have {} in it", prefix)
	}
	return nil
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(ctx context.Context, id string) (found *storage.App, err error) {
	err = m.client.call(ctx, func(ctx context.Context) error {
		found = nil
		app, _, broken, err := m.read(ctx, id)
		switch {
		case err != nil:
			return err
		case app == nil:
			return fmt.Errorf("app with id %q: %w", id, storage.ErrNotFound)
		case broken != nil:
			return broken
		}
		found = app
		return nil
	})
	return found, err
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(ctx context.Context, key string) (found *storage.App, err error) {
	missing := fmt.Errorf("app with key %q: %w", key, storage.ErrNotFound)
	err = m.client.call(ctx, func(ctx context.Context) error {
		// The key may become another app's between the two questions; then it is looked
		// up again.
		for range 3 {
			id, err := m.field(ctx, m.keys, key)
			if err != nil {
				return err
			}
			if id == "" {
				return missing
			}
			app, _, broken, err := m.read(ctx, id)
			switch {
			case err != nil:
				return err
			case app != nil && broken != nil && (app.Key == key || app.Key == ""):
				return broken
			case app != nil && app.Key == key:
				found = app
				return nil
			}
		}
		return missing
	})
	return found, err
}

// field is what a hash has in a field, empty if it has none.
func (m *AppManager) field(ctx context.Context, hash, name string) (string, error) {
	if !storage.CanBeStored(name) {
		return "", nil
	}
	value, err := m.client.HGet(ctx, hash, name).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return value, err
}

// read reads the record of an app; there is none if app is nil. Of one that is
// broken, app has what could be read.
func (m *AppManager) read(ctx context.Context, id string) (app *storage.App, record string, broken, err error) {
	record, err = m.field(ctx, m.apps, id)
	if err != nil || record == "" {
		return nil, "", nil, err
	}
	app, broken = m.parse(id, record)
	return app, record, broken, nil
}

func (m *AppManager) parse(id, record string) (app *storage.App, broken error) {
	app, ignored, broken := storage.UnmarshalApp([]byte(record))
	if broken == nil && app.ID != id {
		broken = fmt.Errorf("app %s: its record is that of app %q", id, app.ID)
	}
	m.Note(id, ignored, broken)
	return app, broken
}

// Apps lists all apps, ordered by id. One whose record cannot be read is left
// out, and the log says why.
func (m *AppManager) Apps(ctx context.Context) (apps []*storage.App, err error) {
	err = m.client.call(ctx, func(ctx context.Context) error {
		records, err := m.records(ctx)
		if err != nil {
			return err
		}
		apps = make([]*storage.App, 0, len(records))
		for id, record := range records {
			if app, broken := m.parse(id, record); broken == nil {
				apps = append(apps, app)
			}
		}
		return nil
	})
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, err
}

// records are all records by id, of few apps as they stood at one moment. Many are
// read in pieces, so that the server goes on with other things in between; an app
// that is made or removed meanwhile may be among them or not.
func (m *AppManager) records(ctx context.Context) (map[string]string, error) {
	n, err := m.client.HLen(ctx, m.apps).Result()
	if err != nil {
		return nil, err
	}
	if n <= wholeHash {
		return m.client.HGetAll(ctx, m.apps).Result()
	}
	records := make(map[string]string, n)
	for cursor := uint64(0); ; {
		var fields []string
		fields, cursor, err = m.client.HScan(ctx, m.apps, cursor, "", scanBatch).Result()
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(fields); i += 2 {
			records[fields[i]] = fields[i+1]
		}
		if cursor == 0 {
			return records, nil
		}
	}
}

// Check asks for a record that cannot be there, which needs reading rights only. In a
// cluster that is a question to the node that has the apps.
func (m *AppManager) Check(ctx context.Context) error {
	return m.client.call(ctx, func(ctx context.Context) error {
		if err := m.client.HGet(ctx, m.apps, "").Err(); !errors.Is(err, redis.Nil) {
			return err
		}
		return nil
	})
}

// Close ends what watches, and gives the connections back.
func (m *AppManager) Close() error {
	m.mu.Lock()
	m.closed = true
	watchers := m.watchers
	m.watchers = map[int]func(){}
	m.mu.Unlock()
	for _, stop := range watchers {
		stop()
	}
	return m.client.Close()
}

// WatchApps listens to the channel on which every change is said, see
// storage.AppWatcher. Whenever the subscription has begun, anything may have
// changed before.
func (m *AppManager) WatchApps(changed func(id string)) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return func() {}
	}
	end := m.client.follow(func() { changed("") }, func(_, id string) { changed(id) }, m.changed)
	name := m.next
	m.next++
	m.watchers[name] = end
	return func() {
		m.mu.Lock()
		delete(m.watchers, name)
		m.mu.Unlock()
		end()
	}
}

var (
	_ storage.AppManager     = (*AppManager)(nil)
	_ storage.AppEditor      = (*AppManager)(nil)
	_ storage.AppWatcher     = (*AppManager)(nil)
	_ storage.UnreadableApps = (*AppManager)(nil)
	_ storage.Checker        = (*AppManager)(nil)
)
