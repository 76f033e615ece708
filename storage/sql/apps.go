package sql

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxDeadlocks is how often a change is tried again that the server has ended so
// that others can go on.
const maxDeadlocks = 10

// AppManager keeps apps in a table.
type AppManager struct {
	db      *stdsql.DB
	dialect Dialect
	place   string // for errors
	table   string
	quoted  string // the table's name as an identifier
	sel     string // reads all rows
	closed  atomic.Bool
	storage.AppNotes
}

// OpenAppManager connects to a database and makes the table if there is none. An
// empty table name is "applications". The logger may be nil.
func OpenAppManager(ctx context.Context, o Options, table string, log *zap.Logger) (*AppManager, error) {
	o = o.withDefaults()
	if table == "" {
		table = "applications"
	}
	if err := checkTable(table); err != nil {
		return nil, err
	}
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &AppManager{db: db, dialect: o.Dialect, place: o.place(), table: table, quoted: o.Dialect.quote(table), AppNotes: storage.AppNotes{Store: o.place(), Log: log}}
	m.sel = m.selection()
	if err := m.migrate(ctx); err != nil {
		return nil, errors.Join(m.fail(ctx, err), db.Close())
	}
	return m, nil
}

// fail names the place of an error, or says that it is not the store's.
func (m *AppManager) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case m.closed.Load():
		return fmt.Errorf("app manager: %w", storage.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", m.place, ctx.Err())
	}
	return fmt.Errorf("%s: %w", m.place, err)
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(ctx context.Context, id string) (*storage.App, error) {
	return m.find(ctx, "id", id, func(a *storage.App) string { return a.ID })
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	return m.find(ctx, "key", key, func(a *storage.App) string { return a.Key })
}

// find looks for the app whose column is value. Databases compare more loosely
// than apps are told apart, by case and trailing spaces, so the row is compared
// again.
func (m *AppManager) find(ctx context.Context, column, value string, of func(*storage.App) string) (*storage.App, error) {
	if m.closed.Load() {
		return nil, m.fail(ctx, storage.ErrClosed)
	}
	missing := fmt.Errorf("app with %s %q: %w", column, value, storage.ErrNotFound)
	if !storage.CanBeStored(value) {
		return nil, missing // no table can hold it
	}
	rows, err := m.db.QueryContext(ctx, m.dialect.bind(m.sel+" WHERE "+m.dialect.quote(column)+" = ?"), value)
	if isMySQL(err, mysqlMixedCollations, mysqlImpossibleString) {
		return nil, missing // the column holds ASCII only
	}
	var found *storage.App
	err = m.each(rows, err, func(app *storage.App, broken error) error {
		if of(app) == value {
			found = app
			return broken
		}
		return nil
	})
	if err != nil {
		return nil, m.fail(ctx, err)
	}
	if found == nil {
		return nil, missing
	}
	return found, nil
}

// Apps lists all apps, ordered by id. One whose record cannot be read is left
// out, and the log says why.
func (m *AppManager) Apps(ctx context.Context) ([]*storage.App, error) {
	if m.closed.Load() {
		return nil, m.fail(ctx, storage.ErrClosed)
	}
	var apps []*storage.App
	rows, err := m.db.QueryContext(ctx, m.sel)
	err = m.each(rows, err, func(app *storage.App, broken error) error {
		if broken == nil {
			apps = append(apps, app)
		}
		return nil
	})
	if err != nil {
		return nil, m.fail(ctx, err)
	}
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

// each reads the rows of a query. An app whose record is broken has its id and
// key only.
func (m *AppManager) each(rows *stdsql.Rows, err error, f func(app *storage.App, broken error) error) error {
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r row
		if err := rows.Scan(r.targets()...); err != nil {
			return err
		}
		app, ignored, broken := r.app()
		m.Note(app.ID, ignored, broken)
		if err := f(app, broken); err != nil {
			return err
		}
	}
	return rows.Err()
}

// PutApp stores an app, see storage.AppEditor.
func (m *AppManager) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	values, err := valuesOf(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	return m.change(ctx, app.ID, func(tx *stdsql.Tx, there *storage.App) error {
		if err := errors.Join(storage.CheckVersion(app.ID, there, version), m.checkKey(ctx, tx, app)); err != nil {
			return err
		}
		if there != nil {
			return m.update(ctx, tx, values)
		}
		return m.insert(ctx, tx, values)
	})
}

// DeleteApp removes an app, see storage.AppEditor.
func (m *AppManager) DeleteApp(ctx context.Context, id, version string) error {
	return m.change(ctx, id, func(tx *stdsql.Tx, there *storage.App) error {
		if there == nil {
			return fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
		}
		if err := storage.CheckVersion(id, there, version); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, m.dialect.bind("DELETE FROM "+m.quoted+" WHERE "+m.dialect.quote("id")+" = ?"), id)
		return err
	})
}

// change does something to the row of an app. Two nodes that do so at once wait
// for each other.
func (m *AppManager) change(ctx context.Context, id string, do func(tx *stdsql.Tx, there *storage.App) error) error {
	if m.closed.Load() {
		return m.fail(ctx, storage.ErrClosed)
	}
	err := m.try(ctx, id, do)
	for n := 1; n <= maxDeadlocks && isDeadlock(err) && wait.For(ctx, time.Duration(rand.IntN(n*10))*time.Millisecond); n++ {
		err = m.try(ctx, id, do)
	}
	switch {
	case errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict):
		return err
	case isDuplicate(err): // another node was faster
		return fmt.Errorf("app %s: its id or key has just been taken: %w", id, storage.ErrConflict)
	}
	return m.fail(ctx, err)
}

func (m *AppManager) try(ctx context.Context, id string, do func(tx *stdsql.Tx, there *storage.App) error) error {
	var o *stdsql.TxOptions
	if m.dialect == MySQL { // which otherwise locks the gaps between rows
		o = &stdsql.TxOptions{Isolation: stdsql.LevelReadCommitted}
	}
	tx, err := m.db.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	there, err := m.locked(ctx, tx, id)
	if err == nil {
		err = do(tx, there)
	}
	if err == nil {
		err = tx.Commit()
	}
	return err
}

// locked is the row of an app, which nobody else can change until the transaction
// ends. SQLite's transactions lock the whole file.
func (m *AppManager) locked(ctx context.Context, tx *stdsql.Tx, id string) (there *storage.App, err error) {
	statement := m.sel + " WHERE " + m.dialect.quote("id") + " = ?"
	if m.dialect != SQLite {
		statement += " FOR UPDATE"
	}
	rows, err := tx.QueryContext(ctx, m.dialect.bind(statement), id)
	err = m.each(rows, err, func(app *storage.App, _ error) error {
		if app.ID == id {
			there = app // one that cannot be read may be replaced or deleted
		}
		return nil
	})
	return there, err
}

// checkKey looks for another app with the key. MySQL would replace that one's row.
func (m *AppManager) checkKey(ctx context.Context, tx *stdsql.Tx, app *storage.App) error {
	var other string
	statement := "SELECT " + m.dialect.quote("id") + " FROM " + m.quoted + " WHERE " + m.dialect.quote("key") + " = ? AND " + m.dialect.quote("id") + " <> ?"
	switch err := tx.QueryRowContext(ctx, m.dialect.bind(statement), app.Key, app.ID).Scan(&other); {
	case err == nil:
		return fmt.Errorf("app %s: app %s has the key too: %w", app.ID, other, storage.ErrKeyTaken)
	case !errors.Is(err, stdsql.ErrNoRows):
		return err
	}
	return nil
}

func (m *AppManager) insert(ctx context.Context, tx *stdsql.Tx, values []any) error {
	names := m.quotedData()
	statement := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", m.quoted, strings.Join(names, ", "),
		strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", "))
	_, err := tx.ExecContext(ctx, m.dialect.bind(statement), values...)
	return err
}

func (m *AppManager) update(ctx context.Context, tx *stdsql.Tx, values []any) error {
	names := m.quotedData()
	statement := fmt.Sprintf("UPDATE %s SET %s = ?, %s = CURRENT_TIMESTAMP WHERE %s = ?", m.quoted,
		strings.Join(names[1:], " = ?, "), m.dialect.quote("updated_at"), names[0])
	_, err := tx.ExecContext(ctx, m.dialect.bind(statement), append(slices.Clone(values[1:]), values[0])...)
	return err
}

func (m *AppManager) quotedData() []string {
	quoted := make([]string, len(data))
	for i, c := range data {
		quoted[i] = m.dialect.quote(c.name)
	}
	return quoted
}

func (m *AppManager) selection() string {
	return "SELECT " + strings.Join(m.quotedData(), ", ") + " FROM " + m.quoted
}

// Check asks the table, which needs reading rights only.
func (m *AppManager) Check(ctx context.Context) error {
	if m.closed.Load() {
		return m.fail(ctx, storage.ErrClosed)
	}
	_, err := m.existing(ctx, m.db)
	return m.fail(ctx, err)
}

// Close ends all connections. Later calls are ErrClosed.
func (m *AppManager) Close() error {
	if m.closed.Swap(true) {
		return nil
	}
	return m.db.Close()
}

// row is one row of the table, with the columns of data.
type row struct {
	id, key, secret  string
	maxConnections   stdsql.NullInt64
	clientMessages   stdsql.NullBool
	enabled          stdsql.NullBool
	backend          stdsql.NullInt64
	client           stdsql.NullInt64
	limits           [8]stdsql.NullInt64 // max_read_requests_per_second to max_event_batch_size
	userAuth, watch  stdsql.NullBool
	policy           []byte
	webhooks         []byte
	origins          []byte
	delta            []byte
	idempotency      []byte
	connectionResume []byte
}

// targets are the fields in the order of data.
func (r *row) targets() []any {
	t := []any{&r.id, &r.key, &r.secret, &r.maxConnections, &r.clientMessages, &r.enabled, &r.backend, &r.client}
	for i := range r.limits {
		t = append(t, &r.limits[i])
	}
	return append(t, &r.userAuth, &r.watch, &r.policy, &r.webhooks, &r.origins, &r.delta, &r.idempotency, &r.connectionResume)
}

// app is the row as an app: by its policy or, in a row that Sockudo has written
// before there was one, by the flat columns.
func (r *row) app() (app *storage.App, ignored []string, err error) {
	app = &storage.App{ID: r.id, Key: r.key, Secret: r.secret, Enabled: r.enabled.Bool}
	policy := r.policy
	if len(policy) == 0 || string(policy) == "null" {
		if policy, err = r.flat(); err != nil {
			return app, nil, err
		}
	}
	ignored, err = storage.UnmarshalPolicy(policy, app)
	return app, ignored, err
}

// flat is the policy that the flat columns make.
func (r *row) flat() ([]byte, error) {
	members := map[string]json.RawMessage{
		"webhooks": r.webhooks, "allowed_origins": r.origins, "channel_delta_compression": r.delta,
		"idempotency": r.idempotency, "connection_recovery": r.connectionResume,
	}
	numbers := append([]stdsql.NullInt64{r.maxConnections, r.client, r.backend}, r.limits[:]...)
	names := append([]string{data[3].name, data[7].name, data[6].name}, namesOf(data[8:16])...)
	for i, n := range numbers {
		if n.Valid {
			members[names[i]] = strconv.AppendInt(nil, n.Int64, 10)
		}
	}
	for name, b := range map[string]stdsql.NullBool{
		data[4].name: r.clientMessages, data[16].name: r.userAuth, data[17].name: r.watch,
	} {
		members[name] = strconv.AppendBool(nil, b.Bool)
	}
	return storage.PolicyOfFlat(members)
}

// valuesOf are the columns of data for an app: the flat ones, which older readers
// know, and the policy.
func valuesOf(app *storage.App) ([]any, error) {
	policy, err := storage.MarshalPolicy(app)
	if err != nil {
		return nil, err
	}
	webhooks, err := storage.MarshalWebhooks(app)
	if err != nil {
		return nil, err
	}
	l, f := &app.Limits, &app.Features
	unset := func(n int) any {
		if n == 0 {
			return nil
		}
		return n
	}
	return []any{
		app.ID, app.Key, app.Secret, l.MaxConnections, f.ClientMessages, app.Enabled,
		unset(l.MaxBackendEventsPerSecond), l.MaxClientEventsPerSecond, unset(l.MaxReadRequestsPerSecond),
		unset(l.MaxPresenceMembersPerChannel), unset(l.MaxPresenceMemberSizeInKB), unset(l.MaxChannelNameLength),
		unset(l.MaxEventChannelsAtOnce), unset(l.MaxEventNameLength), unset(l.MaxEventPayloadInKB), unset(l.MaxEventBatchSize),
		f.UserAuthentication, f.WatchlistEvents, string(policy), textOrNull(webhooks), nil, nil, nil, nil,
	}, nil
}

// textOrNull is a column of JSON.
func textOrNull(text []byte) any {
	if len(text) == 0 {
		return nil
	}
	return string(text)
}

var (
	_ storage.AppManager     = (*AppManager)(nil)
	_ storage.AppEditor      = (*AppManager)(nil)
	_ storage.UnreadableApps = (*AppManager)(nil)
	_ storage.Checker        = (*AppManager)(nil)
)
