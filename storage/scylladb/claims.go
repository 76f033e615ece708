package scylladb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"github.com/sockudo/caddy-sockudo/storage"
)

// claim says whose a key is. Its app need not have it yet, or any more.
type claim struct {
	app   string
	nonce string // another one with each change of the claim
}

// errLost says that somebody else was faster: what a change was planned from is to
// be read again.
var errLost = errors.New("others have changed the app's record or its key again and again")

// claimOf is the claim of a key, nil if there is none.
func (m *AppManager) claimOf(ctx context.Context, key string, level gocql.Consistency) (*claim, error) {
	if !m.claimed.Load() {
		return nil, nil
	}
	c := new(claim)
	err := m.session.Query("SELECT app_id, nonce FROM "+m.keys+" WHERE key = ?", key).
		Consistency(level).Idempotent(true).ScanContext(ctx, &c.app, &c.nonce)
	if errors.Is(err, gocql.ErrNotFound) {
		return nil, nil
	}
	return c, err
}

// swap makes a lightweight transaction. It reports whether it was applied.
func (m *AppManager) swap(ctx context.Context, statement string, args ...any) (bool, error) {
	applied, err := m.session.Query(statement, args...).MapScanCASContext(ctx, map[string]any{})
	if err != nil && isUncertain(err) {
		err = errors.Join(errLost, err) // whether it was made is seen when all is read again
	}
	return applied, err
}

// claim makes a key an app's. It is ErrKeyTaken if another app has it: by its claim
// or, where Sockudo has written it, by the index. A claim whose app does not have
// the key is stale and is taken over. there is the app's row before.
//
// The app of a stale claim may be about to write its row. Whoever writes a row makes
// sure of the claim afterwards, see confirm, and changes it with that. If this
// happens after the take-over, it fails, and the row is put back. If it happens
// before, the claim is not as it was read, and the take-over fails; or it was read
// after that, and then the row, which was read later still, has the key.
func (m *AppManager) claim(ctx context.Context, key, id string, there row) (*claim, error) {
	had, err := m.claimOf(ctx, key, gocql.Serial)
	if err != nil {
		return nil, err
	}
	mine := &claim{id, rand.Text()}
	switch {
	case had == nil:
		err = m.take(ctx, "INSERT INTO "+m.keys+" (key, app_id, nonce) VALUES (?, ?, ?) IF NOT EXISTS", key, mine.app, mine.nonce)
	case had.app == id:
		mine = had
	default:
		err = m.takeOver(ctx, key, had, mine)
	}
	if err != nil || there.holds(key) && mine == had {
		return mine, err
	}
	others, err := m.indexed(ctx, key)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if other.text("id") == id {
			continue
		}
		if there.holds(key) {
			return nil, taken(id, other.text("id"))
		}
		return nil, errors.Join(taken(id, other.text("id")), m.release(ctx, key, mine))
	}
	return mine, nil
}

func taken(id, other string) error {
	return fmt.Errorf("app %s: app %s has the key too: %w", id, other, storage.ErrKeyTaken)
}

// take is swap for what must be applied.
func (m *AppManager) take(ctx context.Context, statement string, args ...any) error {
	applied, err := m.swap(ctx, statement, args...)
	if err == nil && !applied {
		err = errLost
	}
	return err
}

// takeOver makes a stale claim another app's.
func (m *AppManager) takeOver(ctx context.Context, key string, had, mine *claim) error {
	other, err := m.get(ctx, had.app, gocql.Serial)
	if err != nil {
		return err
	}
	if other.holds(key) {
		return taken(mine.app, had.app)
	}
	return m.take(ctx, "UPDATE "+m.keys+" SET app_id = ?, nonce = ? WHERE key = ? IF app_id = ? AND nonce = ?",
		mine.app, mine.nonce, key, had.app, had.nonce)
}

// confirm makes sure, after an app's row was written with a key, that the claim of
// the key is still the app's. It changes the claim, so that nobody removes it who has
// seen it before. It is errLost if the key is another app's now.
func (m *AppManager) confirm(ctx context.Context, key, id string) error {
	for range maxRaces {
		nonce := rand.Text()
		applied, err := m.swap(ctx, "UPDATE "+m.keys+" SET nonce = ? WHERE key = ? IF app_id = ?", nonce, key, id)
		if applied || err != nil && !errors.Is(err, errLost) {
			return err
		}
		// Somebody may have removed it who meant the app's time before.
		if !applied && err == nil {
			applied, err = m.swap(ctx, "INSERT INTO "+m.keys+" (key, app_id, nonce) VALUES (?, ?, ?) IF NOT EXISTS", key, id, nonce)
			if applied || err != nil && !errors.Is(err, errLost) {
				return err
			}
		}
		if c, err := m.claimOf(ctx, key, gocql.Serial); err != nil || c != nil && c.app != id {
			return errors.Join(errLost, err)
		}
	}
	return errLost
}

// release removes a claim if nobody has changed it since.
func (m *AppManager) release(ctx context.Context, key string, c *claim) error {
	_, err := m.swap(ctx, "DELETE FROM "+m.keys+" WHERE key = ? IF app_id = ? AND nonce = ?", key, c.app, c.nonce)
	return err
}
