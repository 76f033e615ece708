package scylladb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxRaces is how often a change is tried again because somebody else was faster.
const maxRaces = 20

// PutApp stores an app, see storage.AppEditor. A key that Sockudo gives to another
// app at the same moment may be overlooked, since Sockudo knows no claims.
func (m *AppManager) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	want, err := rowFor(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	p := &putting{m: m, id: app.ID, key: app.Key, version: version, want: want}
	return m.change(ctx, app.ID, func(ctx context.Context) error {
		if !m.claimed.Load() {
			if err := m.makeKeys(ctx); err != nil {
				return err
			}
			m.claimed.Store(true)
		}
		return p.try(ctx)
	})
}

// DeleteApp removes an app, see storage.AppEditor.
func (m *AppManager) DeleteApp(ctx context.Context, id, version string) error {
	tried := false
	err := m.change(ctx, id, func(ctx context.Context) error {
		var there row
		var err error
		if storage.CanBeStored(id) {
			there, err = m.get(ctx, id, gocql.Serial)
		}
		switch {
		case err != nil:
			return err
		case there == nil && tried:
			return nil // by the attempt before, whose answer did not come
		case there == nil:
			return fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
		}
		if err := checkVersion(id, there, version); err != nil {
			return err
		}
		c, err := m.own(ctx, there.text("key"), id)
		if err != nil {
			return err
		}
		if err := m.remove(ctx, there); err != nil {
			tried = tried || isUncertain(err)
			return err
		}
		if c != nil {
			_ = m.release(ctx, there.text("key"), c) // one that stays is stale
		}
		return nil
	})
	if err == nil {
		m.Note(id, nil, nil) // nothing is odd about it any more
	}
	return err
}

// change does something to an app until nobody is in the way.
func (m *AppManager) change(ctx context.Context, id string, try func(ctx context.Context) error) error {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for n := 1; ; n++ {
		err = try(ctx)
		if !errors.Is(err, errLost) && !isUncertain(err) || n == maxRaces || !wait.For(ctx, time.Duration(rand.IntN(n*20))*time.Millisecond) {
			break
		}
	}
	switch {
	case errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrConflict):
		return err
	case err != nil:
		err = m.fail(ctx, err)
		return fmt.Errorf("app %s: %w", id, err)
	}
	return nil
}

// checkVersion is storage.CheckVersion for a row. One that cannot be read may be
// replaced or deleted.
func checkVersion(id string, there row, version string) error {
	if there == nil {
		return storage.CheckVersion(id, nil, version)
	}
	app, _, _ := there.app()
	return storage.CheckVersion(id, app, version)
}

// own is the claim of a key if it is an app's.
func (m *AppManager) own(ctx context.Context, key, id string) (*claim, error) {
	if !storage.CanBeStored(key) {
		return nil, nil
	}
	c, err := m.claimOf(ctx, key, gocql.Serial)
	if err != nil || c == nil || c.app != id {
		return nil, err
	}
	return c, nil
}

// putting is an app on its way into the table, over several attempts.
type putting struct {
	m                *AppManager
	id, key, version string
	want             row

	written bool   // want may have been written in place of before
	stamp   int64  // when
	before  row    // what was there
	old     *claim // of the key that the app had before
}

// try is one attempt. The steps are: the claim of the key, the row, the claim once
// more, the end of the claim of the key before. Whoever stops in between leaves a
// claim that is stale, which others recognise.
func (p *putting) try(ctx context.Context) error {
	there, err := p.m.get(ctx, p.id, gocql.Serial)
	if err != nil {
		return err
	}
	landed := p.written && there.same(p.want)
	if !landed {
		if err := checkVersion(p.id, there, p.version); err != nil {
			return err
		}
	}
	c, err := p.m.claim(ctx, p.key, p.id, there)
	if err != nil {
		if landed && errors.Is(err, storage.ErrKeyTaken) {
			err = errors.Join(err, p.undo(ctx))
		}
		return err
	}
	if !landed {
		if err := p.write(ctx, there, c); err != nil {
			return err
		}
	}
	if err := p.m.confirm(ctx, p.key, p.id); err != nil {
		return err // the next attempt finds the row, and puts back what was there if the key is taken
	}
	if p.old != nil {
		_ = p.m.release(ctx, p.before.text("key"), p.old) // one that stays is stale
	}
	return nil
}

// write writes the row, in place of the one that is there.
func (p *putting) write(ctx context.Context, there row, c *claim) (err error) {
	p.before, p.old = there, nil
	if before := there.text("key"); before != p.key {
		if p.old, err = p.m.own(ctx, before, p.id); err != nil {
			return err
		}
	}
	p.date(there)
	p.written = true
	err = p.m.replace(ctx, there, p.want)
	if errors.Is(err, errLost) && !isUncertain(err) {
		p.written = false
		if !there.holds(p.key) {
			err = errors.Join(err, p.drop(ctx, c))
		}
	}
	return err
}

// drop removes the claim of the key, unless another attempt has given the app the
// key meanwhile.
func (p *putting) drop(ctx context.Context, c *claim) error {
	if now, err := p.m.get(ctx, p.id, gocql.Serial); err != nil || now.holds(p.key) {
		return err
	}
	return p.m.release(ctx, p.key, c)
}

// date gives the row a time that the one before never had.
func (p *putting) date(there row) {
	p.stamp = time.Now().UnixMilli()
	if last, ok := there["updated_at"].(int64); ok {
		p.stamp = max(p.stamp, last+1)
	}
	p.want["updated_at"], p.want["created_at"] = p.stamp, p.stamp
	if there != nil {
		p.want["created_at"] = there["created_at"]
	}
}

// undo puts back what was there.
func (p *putting) undo(ctx context.Context) error {
	p.written = false
	if p.before == nil {
		return p.m.remove(ctx, p.want)
	}
	again := maps.Clone(p.before)
	again["updated_at"] = p.stamp + 1
	return p.m.replace(ctx, p.want, again)
}

// replace writes a row in place of another one, nil for none. It is errLost if that
// is not there any more.
func (m *AppManager) replace(ctx context.Context, there, want row) error {
	var names, values []string
	var args []any
	for _, c := range m.columns {
		if there != nil && c.name == "id" {
			continue
		}
		names, values = append(names, quote(c.name)), append(values, "?")
		args = append(args, want[c.name])
	}
	if there == nil {
		return m.take(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s) IF NOT EXISTS", m.table, strings.Join(names, ", "), strings.Join(values, ", ")), args...)
	}
	unchanged, marks := there.unchanged()
	statement := fmt.Sprintf(`UPDATE %s SET %s = ? WHERE "id" = ? IF %s`, m.table, strings.Join(names, " = ?, "), unchanged)
	return m.take(ctx, statement, append(append(args, there["id"]), marks...)...)
}

// remove removes a row. It is errLost if it is not there any more.
func (m *AppManager) remove(ctx context.Context, there row) error {
	unchanged, marks := there.unchanged()
	return m.take(ctx, fmt.Sprintf(`DELETE FROM %s WHERE "id" = ? IF %s`, m.table, unchanged), append([]any{there["id"]}, marks...)...)
}

// unchanged is the condition that a row is as it was read.
func (r row) unchanged() (condition string, args []any) {
	parts := make([]string, len(marks))
	for i, name := range marks {
		parts[i] = quote(name) + " = ?"
		args = append(args, r[name])
	}
	return strings.Join(parts, " AND "), args
}
