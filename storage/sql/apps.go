package sql

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// AppManager keeps apps in a table.
type AppManager struct {
	db      *stdsql.DB
	dialect Dialect
	place   string // for errors
	table   string
	quoted  string // the table's name as an identifier
	sel     string // reads all rows
	log     *zap.Logger
	closed  atomic.Bool
	told    sync.Map // of app id to what the log has told about its record
}

// OpenAppManager connects to a database and makes the table if there is none. An
// empty table name is "applications". The logger may be nil.
func OpenAppManager(ctx context.Context, o Options, table string, log *zap.Logger) (*AppManager, error) {
	o = o.withDefaults()
	if table == "" {
		table = "applications"
	}
	if log == nil {
		log = zap.NewNop()
	}
	if err := checkTable(table); err != nil {
		return nil, err
	}
	db, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	m := &AppManager{db: db, dialect: o.Dialect, place: o.place(), table: table, quoted: o.Dialect.quote(table), log: log}
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
	if value == "" || len(value) > 255 || !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
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
		m.tell(app.ID, ignored, broken)
		if err := f(app, broken); err != nil {
			return err
		}
	}
	return rows.Err()
}

// tell logs what is odd about a record, once until that changes.
func (m *AppManager) tell(id string, ignored []string, broken error) {
	text := strings.Join(ignored, ", ")
	if broken != nil {
		text = broken.Error()
	}
	before, _ := m.told.Swap(id, text)
	switch {
	case before == text || before == nil && text == "":
	case broken != nil:
		m.log.Error("an app's record cannot be read, so the app is not served", zap.String("store", m.place), zap.String("app", id), zap.Error(broken))
	case text != "":
		m.log.Warn("an app's record says what this version has no use for", zap.String("store", m.place), zap.String("app", id), zap.Strings("ignored", ignored))
	}
}

// Put stores an app, whatever was there under its id. A key that another app has
// is storage.ErrConflict.
func (m *AppManager) Put(ctx context.Context, app *storage.App) error {
	if m.closed.Load() {
		return m.fail(ctx, storage.ErrClosed)
	}
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	values, err := valuesOf(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	tx, err := m.db.BeginTx(ctx, nil)
	if err != nil {
		return m.fail(ctx, err)
	}
	defer func() { _ = tx.Rollback() }()
	// MySQL would let an equal key replace the other app's row.
	var other string
	err = tx.QueryRowContext(ctx, m.dialect.bind("SELECT id FROM "+m.quoted+" WHERE "+m.dialect.quote("key")+" = ? AND id <> ?"), app.Key, app.ID).Scan(&other)
	switch {
	case err == nil:
		return fmt.Errorf("app %s: key is used by app %s too: %w", app.ID, other, storage.ErrConflict)
	case !errors.Is(err, stdsql.ErrNoRows):
		return m.fail(ctx, err)
	}
	names := namesOf(data)
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = m.dialect.quote(n)
	}
	statement := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)%s", m.quoted, strings.Join(quoted, ", "),
		strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", "), m.dialect.upsert(names[1:]))
	if _, err := tx.ExecContext(ctx, m.dialect.bind(statement), values...); err != nil {
		return m.fail(ctx, err)
	}
	return m.fail(ctx, tx.Commit())
}

func (m *AppManager) selection() string {
	quoted := make([]string, len(data))
	for i, c := range data {
		quoted[i] = m.dialect.quote(c.name)
	}
	return "SELECT " + strings.Join(quoted, ", ") + " FROM " + m.quoted
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
	limits := map[string]any{"max_connections": r.maxConnections.Int64, "max_client_events_per_second": r.client.Int64}
	numbers := append([]stdsql.NullInt64{r.backend}, r.limits[:]...)
	names := append([]string{data[6].name}, namesOf(data[8:16])...)
	for i, n := range numbers {
		if n.Valid {
			limits[names[i]] = n.Int64
		}
	}
	policy := map[string]any{"limits": limits, "features": map[string]any{
		"enable_client_messages": r.clientMessages.Bool, "enable_user_authentication": r.userAuth.Bool, "enable_watchlist_events": r.watch.Bool,
	}}
	documents := map[string]json.RawMessage{
		"webhooks": r.webhooks, "idempotency": r.idempotency, "connection_recovery": r.connectionResume,
	}
	for name, d := range documents {
		if len(d) > 0 {
			policy[name] = d
		}
	}
	channels := map[string]any{}
	if len(r.origins) > 0 {
		channels["allowed_origins"] = json.RawMessage(r.origins)
	}
	if len(r.delta) > 0 {
		channels["channel_delta_compression"] = json.RawMessage(r.delta)
	}
	policy["channels"] = channels
	return json.Marshal(policy)
}

// valuesOf are the columns of data for an app: the flat ones, which older readers
// know, and the policy.
func valuesOf(app *storage.App) ([]any, error) {
	policy, err := storage.MarshalPolicy(app)
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
		f.UserAuthentication, f.WatchlistEvents, string(policy), nil, nil, nil, nil, nil,
	}, nil
}

var (
	_ storage.AppManager = (*AppManager)(nil)
	_ storage.Checker    = (*AppManager)(nil)
)
