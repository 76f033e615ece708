package lookup

import (
	"context"
	"errors"

	"github.com/sockudo/caddy-sockudo/storage"
)

// ErrReadOnly says that a store takes no changes.
var ErrReadOnly = errors.New("this app manager takes no changes; sqlite, postgres, mysql, redis, dynamodb, scylladb and surrealdb do")

// PutApp stores an app. Followers hear of it before PutApp returns.
func (c *Apps) PutApp(ctx context.Context, app *storage.App, version string) error {
	editor, ok := c.store.(storage.AppEditor)
	if !ok {
		return ErrReadOnly
	}
	if err := editor.PutApp(ctx, app, version); err != nil {
		return err
	}
	c.reload(app.ID, app.Key)
	return nil
}

// DeleteApp removes an app. Followers hear of it before DeleteApp returns.
func (c *Apps) DeleteApp(ctx context.Context, id, version string) error {
	editor, ok := c.store.(storage.AppEditor)
	if !ok {
		return ErrReadOnly
	}
	if err := editor.DeleteApp(ctx, id, version); err != nil {
		return err
	}
	c.reload(id, "")
	return nil
}

// reload drops what is known of an app, so that the next lookup asks the store.
func (c *Apps) reload(id, key string) {
	c.mu.Lock()
	c.epoch++
	if e := c.entries[id]; e != nil {
		c.dropLocked(e)
	}
	delete(c.misses, name{byID, id})
	delete(c.misses, name{byKey, key})
	c.mu.Unlock()
	c.tell([]string{id})
}
