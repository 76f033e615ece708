package surrealdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/surrealdb/surrealdb.go/pkg/models"
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/storage"
)

// pageSize is how many records are listed at a time.
const pageSize = 500

// AppManager keeps apps in a table of SurrealDB.
type AppManager struct {
	link  *link
	place string // for errors
	table string // needs no quoting
	storage.AppNotes
}

// OpenAppManager connects, signs in, and makes the table and its index if there are
// none. The logger may be nil.
func OpenAppManager(ctx context.Context, o Options, logger *zap.Logger) (*AppManager, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	l, err := newLink(o)
	if err != nil {
		return nil, err
	}
	m := &AppManager{link: l, place: o.place(), table: o.Table, AppNotes: storage.AppNotes{Store: o.place(), Log: logger}}
	if o.TLS != nil && o.TLS.SkipVerify && logger != nil {
		logger.Warn("insecure_skip_verify is on: anybody may pose as the server", zap.String("store", m.place), zap.String("in", "tls"))
	}
	ctx, cancel := context.WithTimeout(ctx, OpenTimeout)
	defer cancel()
	if err := m.prepare(ctx); err != nil {
		return nil, errors.Join(m.fail(ctx, err), m.Close())
	}
	return m, nil
}

// begin begins a call, which ends with the context of the caller, after callTimeout
// and with Close. It is an error if that makes no sense any more.
func (m *AppManager) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := errors.Join(m.link.open.Err(), ctx.Err()); err != nil {
		return nil, nil, m.fail(ctx, err)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	stop := context.AfterFunc(m.link.open, cancel)
	return ctx, func() {
		stop()
		cancel()
	}, nil
}

// fail names the place of an error, or says that it is not the store's.
func (m *AppManager) fail(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case m.link.open.Err() != nil:
		return fmt.Errorf("app manager: %w", storage.ErrClosed)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: no answer in time: %w", m.place, ctx.Err())
	}
	return fmt.Errorf("%s: %w", m.place, err)
}

// AppByID finds an app by its id.
func (m *AppManager) AppByID(ctx context.Context, id string) (*storage.App, error) {
	return m.find(ctx, "id", id, m.byID)
}

// AppByKey finds an app by its public key.
func (m *AppManager) AppByKey(ctx context.Context, key string) (*storage.App, error) {
	return m.find(ctx, "key", key, m.byKey)
}

func (m *AppManager) find(ctx context.Context, what, value string, look func(context.Context, string) (*record, error)) (*storage.App, error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	var r *record
	if storage.CanBeStored(value) {
		if r, err = look(ctx, value); err != nil {
			return nil, m.fail(ctx, err)
		}
	}
	if r == nil {
		return nil, fmt.Errorf("app with %s %q: %w", what, value, storage.ErrNotFound)
	}
	app, err := m.read(*r)
	if err != nil {
		return nil, fmt.Errorf("%s: app %s: %w", m.place, app.ID, err)
	}
	return app, nil
}

// byID is the record with an id as it is now, nil if there is none.
func (m *AppManager) byID(ctx context.Context, id string) (*record, error) {
	return m.one(ctx, "SELECT "+columns+" FROM $id", map[string]any{"id": m.id(id)})
}

// byKey is the record with a key. The record has the last word: an index on which
// transactions have met may be wrong (surrealdb issue 7303).
func (m *AppManager) byKey(ctx context.Context, key string) (*record, error) {
	r, err := m.one(ctx, m.whereKey(), map[string]any{"key": key})
	if err != nil || r == nil || r.key() != key {
		return nil, err
	}
	return r, nil
}

// whereKey finds a key. The table stands in the statement, because the index is not
// used where a parameter names it.
func (m *AppManager) whereKey() string {
	return "SELECT " + columns + " FROM `" + m.table + "` WHERE key = $key LIMIT 1"
}

func (m *AppManager) one(ctx context.Context, statement string, vars map[string]any) (*record, error) {
	var found []record
	if err := m.link.query(ctx, true, statement, vars, &found); err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

// id is that of a record in the table, which may be any text.
func (m *AppManager) id(name any) models.RecordID { return models.NewRecordID(m.table, name) }

// read makes an app of its record, and notes what is odd about it. With an error the
// app has its id.
func (m *AppManager) read(r record) (*storage.App, error) {
	app, ignored, broken := r.app()
	m.Note(app.ID, ignored, broken)
	return app, broken
}

// Apps lists all apps, ordered by id. One whose record cannot be read is left
// out, and the log says why.
func (m *AppManager) Apps(ctx context.Context) ([]*storage.App, error) {
	var apps []*storage.App
	var last raw
	for {
		page, err := m.page(ctx, last)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if app, err := m.read(r); err == nil {
				apps = append(apps, app)
			}
		}
		if len(page) < pageSize {
			break
		}
		behind := last
		if last = page[len(page)-1].ID; bytes.Equal(last, behind) {
			return nil, fmt.Errorf("%s: listing does not get behind one record", m.place)
		}
	}
	slices.SortFunc(apps, func(a, b *storage.App) int { return strings.Compare(a.ID, b.ID) })
	return apps, nil
}

// after is the range of ids behind one.
type after = models.Range[raw, models.BoundExcluded[raw], models.BoundExcluded[raw]]

// page are the records behind one, in the order in which they are stored, which is
// that of their ids.
func (m *AppManager) page(ctx context.Context, last raw) ([]record, error) {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	statement, vars := "SELECT "+columns+" FROM `"+m.table+"` LIMIT $n", map[string]any{"n": pageSize}
	if last != nil {
		statement = "SELECT " + columns + " FROM $behind LIMIT $n"
		vars["behind"] = m.id(after{Begin: &models.BoundExcluded[raw]{Value: last}})
	}
	var page []record
	if err := m.link.query(ctx, true, statement, vars, &page); err != nil {
		return nil, m.fail(ctx, err)
	}
	return page, nil
}

// Check asks for one id, which needs reading rights only.
func (m *AppManager) Check(ctx context.Context) error {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	return m.fail(ctx, m.link.query(ctx, true, "SELECT VALUE id FROM `"+m.table+"` LIMIT 1", nil, nil))
}

// Close ends the connection, and the calls that are under way. Later calls are
// ErrClosed.
func (m *AppManager) Close() error {
	m.link.close()
	return nil
}

var (
	_ storage.AppManager     = (*AppManager)(nil)
	_ storage.AppEditor      = (*AppManager)(nil)
	_ storage.UnreadableApps = (*AppManager)(nil)
	_ storage.Checker        = (*AppManager)(nil)
)
