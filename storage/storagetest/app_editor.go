package storagetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// EditableApps is an app manager whose records can be changed.
type EditableApps interface {
	storage.AppManager
	storage.AppEditor
}

// TestAppEditor checks an app manager that is a storage.AppEditor, by the suite of
// TestAppManager too. open returns a store that holds exactly the given apps.
func TestAppEditor(t *testing.T, open func(t *testing.T, apps []*storage.App) storage.AppManager) {
	TestAppManager(t, open)
	subtests := []subtest[EditableApps]{
		{"put", appsPut},
		{"put versions", appsPutVersions},
		{"put keys", appsPutKeys},
		{"put bad", appsPutBad},
		{"put keeps the unread", appsPutKeeps},
		{"put at once", appsPutAtOnce},
		{"put sizes", appsPutSizes},
		{"delete", appsDelete},
		{"edit ended", appsEditEnded},
		{"edit closed", appsEditClosed},
	}
	t.Run("edit", func(t *testing.T) {
		runAll(t, func(t *testing.T) EditableApps {
			m, ok := open(t, nil).(EditableApps)
			if !ok {
				t.Fatalf("%T is no storage.AppEditor", m)
			}
			return m
		}, subtests)
	})
}

func putApp(t *testing.T, m EditableApps, app *storage.App) {
	t.Helper()
	must(t, m.PutApp(t.Context(), app, storage.NoVersion))
}

func versionOf(t *testing.T, app *storage.App) string {
	t.Helper()
	version, err := storage.AppVersion(app)
	must(t, err)
	return version
}

func appsPut(t *testing.T, m EditableApps) {
	apps := someApps()
	for _, app := range apps {
		putApp(t, m, app)
	}
	for _, app := range apps {
		got, err := m.AppByKey(t.Context(), app.Key)
		must(t, err)
		sameApp(t, got, app)
		if g, w := versionOf(t, got), versionOf(t, app); g != w {
			t.Errorf("version %s became %s in the store", w, g)
		}
	}
	// A full record becomes an empty one.
	changed := &storage.App{ID: apps[0].ID, Key: apps[0].Key, Secret: "new"}
	must(t, m.PutApp(t.Context(), changed, storage.AnyVersion))
	got, err := m.AppByID(t.Context(), changed.ID)
	must(t, err)
	sameApp(t, got, changed)
	if list, err := m.Apps(t.Context()); err != nil || len(list) != len(apps) {
		t.Errorf("Apps = %d apps, %v; want %d", len(list), err, len(apps))
	}
}

func appsPutVersions(t *testing.T, m EditableApps) {
	app := someApps()[0]
	wantErr(t, "PutApp of a version where there is no record", m.PutApp(t.Context(), app, versionOf(t, app)), storage.ErrConflict)
	putApp(t, m, app)
	wantErr(t, "PutApp where there must be none", m.PutApp(t.Context(), app, storage.NoVersion), storage.ErrConflict)
	first, second := *app, *app
	first.Limits.MaxConnections, second.Limits.MaxConnections = 100, 200
	before := versionOf(t, app)
	must(t, m.PutApp(t.Context(), &first, before))
	wantErr(t, "PutApp of an old version", m.PutApp(t.Context(), &second, before), storage.ErrConflict)
	got, err := m.AppByID(t.Context(), app.ID)
	must(t, err)
	sameApp(t, got, &first)
	must(t, m.PutApp(t.Context(), &second, versionOf(t, got)))
	wantErr(t, "DeleteApp of an old version", m.DeleteApp(t.Context(), app.ID, before), storage.ErrConflict)
	must(t, m.DeleteApp(t.Context(), app.ID, versionOf(t, &second)))
}

func appsPutKeys(t *testing.T, m EditableApps) {
	apps := someApps()
	a, b := apps[0], apps[1]
	putApp(t, m, a)
	thief := *b
	thief.Key = a.Key
	for _, version := range []string{storage.NoVersion, storage.AnyVersion} {
		err := m.PutApp(t.Context(), &thief, version)
		wantErr(t, "PutApp with the key of another app", err, storage.ErrKeyTaken)
		wantErr(t, "PutApp with the key of another app", err, storage.ErrConflict)
	}
	if _, err := m.AppByID(t.Context(), b.ID); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the refused app is there: %v", err)
	}
	moved := *a
	moved.Key = a.Key + "-2"
	must(t, m.PutApp(t.Context(), &moved, versionOf(t, a)))
	_, err := m.AppByKey(t.Context(), a.Key)
	wantErr(t, "AppByKey of the old key", err, storage.ErrNotFound)
	got, err := m.AppByKey(t.Context(), moved.Key)
	must(t, err)
	sameApp(t, got, &moved)
	putApp(t, m, &thief) // the key is free now
	got, err = m.AppByKey(t.Context(), a.Key)
	must(t, err)
	sameApp(t, got, &thief)
}

func appsPutBad(t *testing.T, m EditableApps) {
	for _, bad := range []*storage.App{
		{Key: "k", Secret: "s"},
		{ID: unique(), Secret: "s"},
		{ID: unique(), Key: "k"},
		{ID: strings.Repeat("i", 256), Key: "k", Secret: "s"},
		{ID: "a\x00b", Key: "k", Secret: "s"},
		{ID: "a", Key: "\xff", Secret: "s"},
	} {
		if err := m.PutApp(t.Context(), bad, storage.AnyVersion); err == nil {
			t.Errorf("an app with id %q, key %q and secret %q is accepted", bad.ID, bad.Key, bad.Secret)
		}
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 0 {
		t.Errorf("Apps = %v, %v; want none", apps, err)
	}
}

// appsPutKeeps checks that what this version has no use for is written again.
func appsPutKeeps(t *testing.T, m EditableApps) {
	app := someApps()[3]
	app.Stored = []byte(`{"later":{"n":12345678901234567890},"limits":{"max_later":"7"},"channels":{"annotations_later":true}}`)
	putApp(t, m, app)
	got, err := m.AppByID(t.Context(), app.ID)
	must(t, err)
	changed := *got
	changed.Limits.MaxConnections = 5
	must(t, m.PutApp(t.Context(), &changed, versionOf(t, got)))
	got, err = m.AppByID(t.Context(), app.ID)
	must(t, err)
	var policy struct {
		Later  struct{ N json.Number }
		Limits struct {
			Max  string `json:"max_later"`
			Conn int    `json:"max_connections"`
		}
		Channels struct {
			Later bool `json:"annotations_later"`
		}
	}
	must(t, json.Unmarshal(got.Stored, &policy))
	if policy.Later.N != "12345678901234567890" || policy.Limits.Max != "7" || policy.Limits.Conn != 5 || !policy.Channels.Later {
		t.Errorf("the stored policy is %s", got.Stored)
	}
}

// appsPutAtOnce lets many change one app, and many take one key.
func appsPutAtOnce(t *testing.T, m EditableApps) {
	app := someApps()[0]
	putApp(t, m, app)
	before := versionOf(t, app)
	var changed, taken atomic.Int32
	key := unique()
	atOnce(8, func(i int) {
		mine := *app
		mine.Limits.MaxConnections = 1000 + i
		if err := m.PutApp(t.Context(), &mine, before); err == nil {
			changed.Add(1)
		} else if !errors.Is(err, storage.ErrConflict) {
			t.Errorf("PutApp: %v", err)
		}
		if err := m.PutApp(t.Context(), &storage.App{ID: fmt.Sprint("at-once-", i), Key: key, Secret: "s"}, storage.NoVersion); err == nil {
			taken.Add(1)
		} else if !errors.Is(err, storage.ErrConflict) {
			t.Errorf("PutApp: %v", err)
		}
	})
	if changed.Load() != 1 || taken.Load() != 1 {
		t.Errorf("%d changes and %d apps with one key were accepted, want one each", changed.Load(), taken.Load())
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 {
		t.Errorf("Apps = %d apps, %v; want 2", len(apps), err)
	}
}

// appsPutSizes stores names as long as they may be and a policy of a thousand
// origins.
func appsPutSizes(t *testing.T, m EditableApps) {
	name := strings.Repeat("é", 127)
	app := &storage.App{ID: name + "i", Key: name + "k", Secret: name + "s", Enabled: true}
	for i := range 1000 {
		app.AllowedOrigins = append(app.AllowedOrigins, fmt.Sprintf("https://%s-%d.example.com", strings.Repeat("o", 40), i))
	}
	putApp(t, m, app)
	got, err := m.AppByKey(t.Context(), app.Key)
	must(t, err)
	sameApp(t, got, app)
}

func appsDelete(t *testing.T, m EditableApps) {
	app := someApps()[0]
	wantErr(t, "DeleteApp of no app", m.DeleteApp(t.Context(), app.ID, storage.AnyVersion), storage.ErrNotFound)
	putApp(t, m, app)
	must(t, m.DeleteApp(t.Context(), app.ID, storage.AnyVersion))
	_, err := m.AppByID(t.Context(), app.ID)
	wantErr(t, "AppByID", err, storage.ErrNotFound)
	_, err = m.AppByKey(t.Context(), app.Key)
	wantErr(t, "AppByKey", err, storage.ErrNotFound)
	wantErr(t, "DeleteApp again", m.DeleteApp(t.Context(), app.ID, storage.AnyVersion), storage.ErrNotFound)
	putApp(t, m, app)
	got, err := m.AppByKey(t.Context(), app.Key)
	must(t, err)
	sameApp(t, got, app)
}

func appsEditEnded(t *testing.T, m EditableApps) {
	app := someApps()[0]
	testEnded(t, []call{{"PutApp", func(ctx context.Context) error { return m.PutApp(ctx, app, storage.NoVersion) }}})
	putApp(t, m, app)
	testEnded(t, []call{{"DeleteApp", func(ctx context.Context) error { return m.DeleteApp(ctx, app.ID, storage.AnyVersion) }}})
	got, err := m.AppByID(t.Context(), app.ID)
	must(t, err)
	sameApp(t, got, app)
}

func appsEditClosed(t *testing.T, m EditableApps) {
	app := someApps()[0]
	testClosed(t, m, []call{
		{"PutApp", func(ctx context.Context) error { return m.PutApp(ctx, app, storage.NoVersion) }},
		{"DeleteApp", func(ctx context.Context) error { return m.DeleteApp(ctx, app.ID, storage.AnyVersion) }},
	})
}
