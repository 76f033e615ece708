package lookup

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

func TestConfigurationWins(t *testing.T) {
	store := newFake(demo(1), &storage.App{ID: "stored", Key: "stored-key", Secret: "s"})
	written := *demo(9)
	written.Key = "new-key"
	o := NewOverlay([]*storage.App{&written}, store)
	if app, err := o.AppByKey(t.Context(), "new-key"); err != nil || app.Limits.MaxConnections != 9 {
		t.Errorf("by the new key: %v, %v", app, err)
	}
	if _, err := o.AppByKey(t.Context(), "key"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("by the key that the store has: %v", err)
	}
	if app, err := o.AppByID(t.Context(), "stored"); err != nil || app.Key != "stored-key" {
		t.Errorf("a stored app: %v, %v", app, err)
	}
	apps, err := o.Apps(t.Context())
	if err != nil || len(apps) != 2 || apps[0].Limits.MaxConnections != 9 || apps[1].ID != "stored" {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	if err := o.PutApp(t.Context(), demo(3), storage.AnyVersion); !errors.Is(err, ErrWritten) {
		t.Errorf("changing a written app: %v", err)
	}
	if err := o.DeleteApp(t.Context(), "demo", storage.AnyVersion); !errors.Is(err, ErrWritten) {
		t.Errorf("deleting a written app: %v", err)
	}
	thief := &storage.App{ID: "thief", Key: "new-key", Secret: "s"}
	if err := o.PutApp(t.Context(), thief, storage.NoVersion); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("an app with the key of a written one: %v", err)
	}
}

// Checklist: configuration 31
func TestKeyOfAStoredAppIsRefused(t *testing.T) {
	written := *demo(1)
	written.ID = "other"
	o := NewOverlay([]*storage.App{&written}, newFake(demo(1)))
	if err := o.CheckKeys(t.Context()); !errors.Is(err, storage.ErrKeyTaken) {
		t.Errorf("CheckKeys = %v", err)
	}
}

func TestStoreWritesWhatDiffers(t *testing.T) {
	there := demo(1)
	there.Stored = []byte(`{"later":{"a":1}}`)
	same := &storage.App{ID: "same", Key: "same", Secret: "s"}
	store := newFake(there, same, &storage.App{ID: "vanished", Key: "v", Secret: "s"})
	o := NewOverlay([]*storage.App{demo(2), same, {ID: "new", Key: "new", Secret: "s"}}, store)
	stored, err := o.Store(t.Context())
	if err != nil || len(stored) != 2 || stored[0] != "demo" || stored[1] != "new" {
		t.Fatalf("Store = %v, %v; want demo and new", stored, err)
	}
	app, err := store.AppByID(t.Context(), "demo")
	if err != nil || app.Limits.MaxConnections != 2 {
		t.Errorf("demo is %+v, %v", app, err)
	}
	var unread struct{ Later map[string]int }
	if read(t, app.Stored, &unread); unread.Later["a"] != 1 {
		t.Errorf("what nobody reads was lost: %s", app.Stored)
	}
	if _, err := store.AppByID(t.Context(), "vanished"); err != nil {
		t.Errorf("an app that is not written is gone: %v", err)
	}
	if stored, err := o.Store(t.Context()); err != nil || len(stored) != 0 {
		t.Errorf("Store again = %v, %v", stored, err)
	}
}

func read(t *testing.T, text []byte, to any) {
	t.Helper()
	if err := json.Unmarshal(text, to); err != nil {
		t.Fatal(err)
	}
}
