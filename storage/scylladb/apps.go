package scylladb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// callTimeout bounds one call with all that it asks for. Listing is bounded page by
	// page, by answerTimeout.
	callTimeout = 10 * time.Second
	// keysEnding ends the name of the table of keys.
	keysEnding = "_keys"
	// probe is what is looked up to see whether lookups work. It need not be there.
	probe = "sockudo:check"
)

// AppManager keeps apps in a table of ScyllaDB or Cassandra.
type AppManager struct {
	session   *session
	options   Options
	place     string // for errors
	table     string // with its keyspace, as statements have it
	keys      string // likewise, the table of keys
	columns   []column
	selection string      // reads all rows
	claimed   atomic.Bool // there is a table of keys
	open      context.Context
	end       context.CancelFunc
	storage.AppNotes
}

// OpenAppManager connects to a cluster and makes what is missing: the keyspace, the
// table, columns, the index on keys, the table of keys. The logger may be nil.
func OpenAppManager(ctx context.Context, o Options, logger *zap.Logger) (*AppManager, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	if o.TLS != nil && o.TLS.SkipVerify && logger != nil {
		logger.Warn("any certificate of the server is accepted, so anybody can pose as it", zap.String("store", o.place()))
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	s, err := o.connect(ctx, logger)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.place(), err)
	}
	m := &AppManager{
		session: s, options: o, place: o.place(), table: quote(o.Keyspace) + "." + quote(o.Table),
		keys: quote(o.Keyspace) + "." + quote(o.Table+keysEnding), AppNotes: storage.AppNotes{Store: o.place(), Log: logger},
	}
	m.open, m.end = context.WithCancel(context.Background())
	if err = m.prepare(ctx); err == nil {
		err = m.probe(ctx)
	}
	if err != nil {
		err = m.fail(ctx, err)
		_ = m.Close()
		return nil, err
	}
	return m, nil
}

// probe reads as lookups do, so that a missing right and a cluster with too few
// nodes are noticed at once.
func (m *AppManager) probe(ctx context.Context) error {
	if _, err := m.get(ctx, probe, gocql.LocalQuorum); err != nil {
		return err
	}
	_, err := m.claimOf(ctx, probe, gocql.LocalQuorum)
	return err
}

// begin begins a call, which ends with the context of the caller, after callTimeout
// and with Close. It is an error if that makes no sense any more.
func (m *AppManager) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if m.open.Err() != nil || ctx.Err() != nil {
		return nil, nil, m.fail(ctx, ctx.Err())
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(m.open, cancel)
	return ctx, func() {
		stop()
		cancel()
	}, nil
}

// fail names the place of an error, or says that it is not the store's.
func (m *AppManager) fail(ctx context.Context, err error) error {
	switch {
	case m.open.Err() != nil:
		return fmt.Errorf("app manager: %w", storage.ErrClosed)
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", m.place, ctx.Err())
	case errors.Is(err, gocql.ErrNoConnections):
		return fmt.Errorf("%s: %w", m.place, m.session.faults.explain(err))
	}
	return fmt.Errorf("%s: %w", m.place, cause(err))
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(ctx context.Context, id string) (*storage.App, error) {
	return m.find(ctx, "id", id, func(ctx context.Context) (row, error) {
		r, err := m.get(ctx, id, gocql.LocalQuorum)
		if err != nil || r == nil {
			return nil, err
		}
		other, err := m.usurped(ctx, r)
		if err == nil && other != "" {
			err = m.dispute(r, other)
		}
		return r, err
	})
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	return m.find(ctx, "key", key, func(ctx context.Context) (row, error) { return m.holder(ctx, key) })
}

func (m *AppManager) find(ctx context.Context, column, value string, look func(ctx context.Context) (row, error)) (*storage.App, error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var r row
	if storage.CanBeStored(value) { // what no table can hold is not there
		if r, err = look(ctx); err != nil {
			return nil, m.fail(ctx, err)
		}
	}
	if r == nil {
		return nil, fmt.Errorf("app with %s %q: %w", column, value, storage.ErrNotFound)
	}
	return m.read(r)
}

// read makes an app of its row, and notes what is odd about it.
func (m *AppManager) read(r row) (*storage.App, error) {
	app, ignored, broken := r.app()
	m.Note(app.ID, ignored, broken)
	if broken != nil {
		return nil, fmt.Errorf("%s: app %s: %w", m.place, app.ID, broken)
	}
	return app, nil
}

// dispute is the error of an app whose key is another app's, and notes it.
func (m *AppManager) dispute(r row, other string) error {
	broken := fmt.Errorf("its key is that of app %s; give it another one, or delete it", other)
	m.Note(r.text("id"), nil, broken)
	return fmt.Errorf("app %s: %w", r.text("id"), broken)
}

// usurped is the app that has taken over the key of a row, empty for none. The row
// is one that came too late: whoever wrote it has ended, or was held up, before the
// second look at the claim.
func (m *AppManager) usurped(ctx context.Context, r row) (string, error) {
	id, key := r.text("id"), r.text("key")
	if !storage.CanBeStored(key) {
		return "", nil
	}
	c, err := m.claimOf(ctx, key, gocql.LocalQuorum)
	if err != nil || c == nil || c.app == id {
		return "", err
	}
	if other, err := m.get(ctx, c.app, gocql.LocalQuorum); err != nil || !other.holds(key) {
		return "", err
	}
	// It may have got another key since it was read.
	if again, err := m.get(ctx, id, gocql.LocalQuorum); err != nil || !again.holds(key) {
		return "", err
	}
	return c.app, nil
}

// get is the row with an id, nil if there is none.
func (m *AppManager) get(ctx context.Context, id string, level gocql.Consistency) (found row, err error) {
	err = m.each(ctx, level, func(r row) { found = r }, m.selection+` WHERE "id" = ?`, id)
	return found, err
}

// holder is the row of the app that has a key: of the one whose claim there is, or
// else of one that the index knows, because Sockudo has written it. Either may be
// out of date, so the row itself has the last word. If a claim was right when it was
// read and its app has another key by now, then nobody had the key in between.
func (m *AppManager) holder(ctx context.Context, key string) (row, error) {
	c, err := m.claimOf(ctx, key, gocql.LocalQuorum)
	if err != nil {
		return nil, err
	}
	if c != nil {
		if r, err := m.get(ctx, c.app, gocql.LocalQuorum); err != nil || r.holds(key) {
			return r, err
		}
	}
	rows, err := m.indexed(ctx, key)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// indexed are the rows with a key as far as the index knows, ordered by id.
func (m *AppManager) indexed(ctx context.Context, key string) (rows []row, err error) {
	err = m.each(ctx, gocql.LocalQuorum, func(r row) {
		if r.holds(key) {
			rows = append(rows, r)
		}
	}, m.selection+` WHERE "key" = ?`, key)
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.text("id"), b.text("id")) })
	return rows, err
}

// each reads rows, page by page.
func (m *AppManager) each(ctx context.Context, level gocql.Consistency, take func(r row), statement string, args ...any) error {
	rows := m.session.Query(statement, args...).Consistency(level).Idempotent(true).IterContext(ctx)
	to := targets(m.columns)
	for rows.Scan(to...) {
		take(rowOf(m.columns, to))
	}
	return rows.Close()
}

// Apps lists all apps, ordered by id. One whose record cannot be read, or whose key
// is another app's, is left out, and the log says why.
func (m *AppManager) Apps(ctx context.Context) ([]*storage.App, error) {
	if m.open.Err() != nil || ctx.Err() != nil {
		return nil, m.fail(ctx, ctx.Err())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(m.open, cancel)()
	var rows []row
	holders := map[string]int{} // by key
	err := m.each(ctx, gocql.LocalQuorum, func(r row) {
		rows = append(rows, r)
		holders[r.text("key")]++
	}, m.selection)
	if err != nil {
		return nil, m.fail(ctx, err)
	}
	var apps []*storage.App
	for _, r := range rows {
		if holders[r.text("key")] > 1 {
			other, err := m.usurped(ctx, r)
			if err != nil {
				return nil, m.fail(ctx, err)
			}
			if other != "" {
				_ = m.dispute(r, other)
				continue
			}
		}
		if app, err := m.read(r); err == nil {
			apps = append(apps, app)
		}
	}
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

// Check reads the table as a lookup does.
func (m *AppManager) Check(ctx context.Context) error {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	_, err = m.get(ctx, probe, gocql.LocalQuorum)
	return m.fail(ctx, err)
}

// Close ends all connections, and the calls that are under way. Later calls are
// ErrClosed.
func (m *AppManager) Close() error {
	if m.open.Err() == nil {
		m.end()
		m.session.Close()
	}
	return nil
}

var (
	_ storage.AppManager     = (*AppManager)(nil)
	_ storage.AppEditor      = (*AppManager)(nil)
	_ storage.UnreadableApps = (*AppManager)(nil)
	_ storage.Checker        = (*AppManager)(nil)
)
