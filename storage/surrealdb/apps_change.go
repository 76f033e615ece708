package surrealdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/storage"
)

// maxRaces is how often a change is planned again because what it was planned from
// has changed, or somebody has written at the same time.
const maxRaces = 20

// errAgain says that a change has not been made and may be, if it is planned again.
// errNoRight is what it means when a statement changes nothing for no other reason.
var (
	errAgain   = fmt.Errorf("others change it all the time: %w", storage.ErrConflict)
	errNoRight = errors.New("the server takes the change and does not make it, as for users that may only read")
)

// PutApp stores an app, see storage.AppEditor.
func (m *AppManager) PutApp(ctx context.Context, app *storage.App, version string) error {
	if err := storage.CheckApp(app); err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	payload, err := storage.MarshalApp(app)
	if err != nil {
		return fmt.Errorf("app %s: %w", app.ID, err)
	}
	return m.change(ctx, app, version, putPlan(version), map[string]any{"key": app.Key, "payload": string(payload)})
}

func putPlan(version string) plan {
	const set = " $id SET key = $key, payload = $payload"
	return func(there *record) (string, error) {
		switch {
		case version == storage.AnyVersion:
			return "UPSERT" + set + " RETURN VALUE id", nil
		case there == nil:
			return "CREATE" + set + " RETURN VALUE id", nil
		}
		return "UPDATE" + set + " WHERE [key, payload] = $was RETURN VALUE id", nil
	}
}

// DeleteApp removes an app, see storage.AppEditor.
func (m *AppManager) DeleteApp(ctx context.Context, id, version string) error {
	err := m.change(ctx, &storage.App{ID: id}, version, deletePlan(id, version), map[string]any{})
	if err == nil {
		m.Note(id, nil, nil) // nothing is odd about it any more
	}
	return err
}

func deletePlan(id, version string) plan {
	return func(there *record) (string, error) {
		switch {
		case there == nil:
			return "", fmt.Errorf("app %s: %w", id, storage.ErrNotFound)
		case version == storage.AnyVersion:
			return "DELETE $id RETURN VALUE $before.id", nil
		}
		return "DELETE $id WHERE [key, payload] = $was RETURN VALUE $before.id", nil
	}
}

// plan is the statement of a change of the record that is there, nil for none. The
// statement is a transaction of its own, changes nothing if that record has become
// another one, and tells the id of what it has changed.
type plan func(there *record) (string, error)

// change does something to the record of an app. If somebody else was faster, it is
// planned again.
func (m *AppManager) change(ctx context.Context, app *storage.App, version string, p plan, vars map[string]any) error {
	ctx, done, err := m.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	for n := 1; ; n++ {
		err = m.try(ctx, app, version, p, vars)
		if !errors.Is(err, errAgain) || !nextRace(ctx, n) {
			break
		}
	}
	switch {
	case errors.Is(err, errAgain) && ctx.Err() == nil:
		return fmt.Errorf("app %s: %w", app.ID, err)
	case errors.Is(err, errAgain):
	case errors.Is(err, storage.ErrNotFound), errors.Is(err, storage.ErrConflict):
		return err
	}
	return m.fail(ctx, err)
}

// nextRace waits a while behind the nth attempt, and reports whether there is another
// one.
func nextRace(ctx context.Context, n int) bool {
	return n < maxRaces && wait.For(ctx, rand.N(time.Duration(n)*10*time.Millisecond))
}

// raced does something that others may do at the same time, until it is done.
func raced(ctx context.Context, do func() error) error {
	for n := 1; ; n++ {
		if err := do(); !isRace(err) || !nextRace(ctx, n) {
			return err
		}
	}
}

// try plans a change and makes it.
func (m *AppManager) try(ctx context.Context, app *storage.App, version string, p plan, vars map[string]any) error {
	there, err := m.there(ctx, app.ID)
	if err != nil {
		return err
	}
	if err := checkVersion(app.ID, there, version); err != nil {
		return err
	}
	statement, err := p(there)
	if err != nil {
		return err
	}
	vars["id"] = m.id(app.ID)
	if there != nil {
		vars["was"] = there.Content
	}
	var changed []raw
	switch err = m.link.query(ctx, false, statement, vars, &changed); {
	case isRace(err), isThere(err):
		return errAgain
	case isTaken(err, m.index()):
		return m.taken(ctx, app)
	case err != nil || len(changed) > 0:
		return err
	}
	now, err := m.there(ctx, app.ID)
	switch {
	case err != nil:
		return err
	case same(there, now):
		return errNoRight
	}
	return errAgain
}

// there is the record of an app, nil if there is none.
func (m *AppManager) there(ctx context.Context, id string) (*record, error) {
	if !storage.CanBeStored(id) { // what no table holds is not there
		return nil, nil
	}
	return m.byID(ctx, id)
}

// same reports whether two records of one app say the same.
func same(a, b *record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return bytes.Equal(a.Content, b.Content)
}

// checkVersion is storage.CheckVersion for a record. One that cannot be read may be
// replaced or deleted.
func checkVersion(id string, there *record, version string) error {
	if there == nil {
		return storage.CheckVersion(id, nil, version)
	}
	app, _, _ := there.app()
	return storage.CheckVersion(id, app, version)
}

// taken says who has the key of an app, which the index has refused.
func (m *AppManager) taken(ctx context.Context, app *storage.App) error {
	other, err := m.byKey(ctx, app.Key)
	if err != nil {
		return err
	}
	if other == nil {
		return errAgain // it has just let go of the key
	}
	holder, _, _ := other.app()
	if holder.ID == app.ID {
		return errAgain
	}
	return fmt.Errorf("app %s: app %s has the key too: %w", app.ID, holder.ID, storage.ErrKeyTaken)
}
