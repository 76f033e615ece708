package surrealdb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/surrealdb/surrealdb.go/pkg/models"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
)

// write makes a record as it is, as Sockudo does.
func write(t *testing.T, m *AppManager, id any, fields map[string]any) {
	t.Helper()
	vars := map[string]any{"id": m.id(id), "content": fields}
	if err := m.link.query(t.Context(), false, "UPSERT $id CONTENT $content", vars, nil); err != nil {
		t.Fatal(err)
	}
}

// stored are the fields of a record.
func stored(t *testing.T, m *AppManager, id string) map[string]any {
	t.Helper()
	var found []map[string]any
	if err := m.link.query(t.Context(), true, "SELECT * OMIT id FROM $id", map[string]any{"id": m.id(id)}, &found); err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return nil
	}
	return found[0]
}

// rowOf is an app as Sockudo writes it.
func rowOf(id, key, policy string) map[string]any {
	return map[string]any{"key": key, "payload": fmt.Sprintf(`{"id":%q,"key":%q,"secret":"s","enabled":true,"policy":%s}`, id, key, policy)}
}

// flatRow is an app in Sockudo's flat spelling.
func flatRow(id, key string) map[string]any {
	return map[string]any{"key": key, "payload": fmt.Sprintf(`{"id":%q,"key":%q,"secret":"s","enabled":true,"max_connections":"7",
		"max_client_events_per_second":8,"max_read_requests_per_second":"10","max_event_batch_size":9,"max_event_name_length":null,
		"enable_client_messages":true,"enable_watchlist_events":false,"allowed_origins":["https://a.example"],
		"idempotency":{"enabled":true,"ttl_seconds":30},"webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"ai_transport":{"enabled":true}}`, id, key)}
}

// knows checks who has a key. An empty id is nobody.
func knows(t *testing.T, m *AppManager, key, id string) {
	t.Helper()
	app, err := m.AppByKey(t.Context(), key)
	switch {
	case id == "" && !errors.Is(err, storage.ErrNotFound):
		t.Errorf("key %s: %v, %v; want nobody", key, app, err)
	case id != "" && err != nil:
		t.Errorf("key %s: %v; want app %s", key, err, id)
	case id != "" && app.ID != id:
		t.Errorf("key %s is that of app %s, want %s", key, app.ID, id)
	}
}

// Checklist: configuration 48
func TestRecordsOfSockudo(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	m := openLogged(t, standing(t), zap.New(core))
	write(t, m, "flat", flatRow("flat", "kf"))
	write(t, m, "nested", rowOf("nested", "kn", `{"limits":{"max_connections":"70","decay_seconds":2},"features":{"enable_watchlist_events":true},
		"channels":{"allowed_origins":["https://a.example"],"channel_namespaces":[{"name":"chat","channel_name_pattern":"^chat:"}]},
		"idempotency":null,"webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"ai_transport":{"enabled":true}}`))

	for _, find := range []func() (*storage.App, error){
		func() (*storage.App, error) { return m.AppByKey(t.Context(), "kf") },
		func() (*storage.App, error) { return m.AppByID(t.Context(), "flat") },
	} {
		app, err := find()
		if err != nil {
			t.Fatal(err)
		}
		if app.Limits.MaxConnections != 7 || app.Limits.MaxClientEventsPerSecond != 8 || app.Limits.MaxEventBatchSize != 9 ||
			app.Limits.MaxReadRequestsPerSecond != 10 || app.Limits.MaxEventNameLength != 0 || !app.Enabled || app.Secret != "s" ||
			!app.Features.ClientMessages || app.Features.WatchlistEvents || fmt.Sprint(app.AllowedOrigins) != "[https://a.example]" ||
			app.Idempotency.Enabled == nil || app.Idempotency.TTL.Seconds() != 30 || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 {
			t.Errorf("the flat spelling became %+v", app)
		}
	}
	app, err := m.AppByKey(t.Context(), "kn")
	if err != nil {
		t.Fatal(err)
	}
	if app.ID != "nested" || app.Limits.MaxConnections != 70 || app.Limits.DecaySeconds != 2 || app.Features.ClientMessages ||
		!app.Features.WatchlistEvents || len(app.AllowedOrigins) != 1 || app.Namespaces["chat"] == nil || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 {
		t.Errorf("the nested spelling became %+v", app)
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 {
		t.Errorf("Apps = %v, %v", apps, err)
	}
	if warned := logs.FilterField(zap.Strings("ignored", []string{"ai_transport"})).Len(); warned != 2 {
		t.Errorf("the log says %d times that ai_transport is ignored, want once for each app", warned)
	}
}

// What is written here is what Sockudo writes: two fields, of which one is a text.
func TestRecordsForSockudo(t *testing.T) {
	m := open(t, standing(t))
	full := app("a {1}", "k")
	full.Limits.MaxConnections = 5
	for _, version := range []string{storage.NoVersion, storage.AnyVersion} {
		if err := m.PutApp(t.Context(), full, version); err != nil {
			t.Fatal(err)
		}
		fields := stored(t, m, full.ID)
		payload, _ := fields["payload"].(string)
		if len(fields) != 2 || fields["key"] != "k" || !strings.HasPrefix(payload, `{"id":"a {1}","key":"k","secret":"s","enabled":true,"policy":{`) ||
			!strings.Contains(payload, `"max_connections":5`) {
			t.Errorf("the record is %v", fields)
		}
	}
}

// As with Sockudo, the id and the key of a record win over those in its payload.
func TestRecordWinsOverPayload(t *testing.T) {
	m := open(t, standing(t))
	row := rowOf("other", "other key", `{}`)
	row["key"] = "k"
	write(t, m, "a", row)
	knows(t, m, "k", "a")
	knows(t, m, "other key", "")
	app, err := m.AppByID(t.Context(), "a")
	if err != nil || app.Key != "k" {
		t.Errorf("%+v, %v", app, err)
	}
}

// A record keeps what this version has no use for when it is changed, and fields that
// others have added.
func TestChangedRecordsOfSockudo(t *testing.T) {
	m := open(t, standing(t))
	row := flatRow("a", "k")
	row["owner"], row["tags"] = "ops", []string{"x", "y"}
	write(t, m, "a", row)
	app, err := m.AppByID(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	version := versionOf(t, app)
	changed := *app
	changed.Limits.MaxConnections = 77
	if err := m.PutApp(t.Context(), &changed, version); err != nil {
		t.Fatal(err)
	}
	now := stored(t, m, "a")
	if payload, _ := now["payload"].(string); !strings.Contains(payload, "https://a.example") || !strings.Contains(payload, `"max_connections":77`) {
		t.Errorf("the payload is %s", payload)
	}
	if now["owner"] != "ops" || fmt.Sprint(now["tags"]) != "[x y]" {
		t.Errorf("the record has become %v", now)
	}
	if err := m.PutApp(t.Context(), &changed, version); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a change of the old version: %v", err)
	}
}

func TestBrokenRecordIsSkipped(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.ErrorLevel)
	m := openLogged(t, standing(t), zap.New(core))
	put(t, m, app("good", "kg"))
	with := func(key string, payload any) map[string]any { return map[string]any{"key": key, "payload": payload} }
	broken := map[string]struct {
		fields map[string]any
		want   string
	}{
		"limit":  {rowOf("limit", "key of limit", `{"limits":{"max_connections":-1}}`), `"-1"`},
		"json":   {with("key of json", `{`), "app: "},
		"list":   {with("key of list", `[]`), "app: "},
		"object": {with("key of object", map[string]any{"secret": "s"}), "field payload is missing or no text"},
		"null":   {with("key of null", nil), "field payload is missing or no text"},
		"none":   {map[string]any{"key": "key of none"}, "field payload is missing or no text"},
		"secret": {with("key of secret", `{"enabled":true}`), "secret is missing"},
		"mixed":  {with("key of mixed", `{"secret":"s","policy":[]}`), "policy"},
		"large":  {with("key of large", `{"secret":"`+strings.Repeat("x", 11<<20)+`"}`), "field payload"}, // more than the SDK reads
		"key":    {map[string]any{"key": 7, "payload": `{"secret":"s"}`}, "field key is missing or no text"},
	}
	for id, b := range broken {
		write(t, m, id, b.fields)
		for _, find := range []func() (*storage.App, error){
			func() (*storage.App, error) { return m.AppByID(t.Context(), id) },
			func() (*storage.App, error) { return m.AppByKey(t.Context(), "key of "+id) },
		} {
			app, err := find()
			if id == "key" && errors.Is(err, storage.ErrNotFound) {
				continue // nobody has such a key
			}
			if app != nil || err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), b.want) || !strings.Contains(err.Error(), m.place) {
				t.Errorf("%s: %v, %v; want an error with %s", id, app, err, b.want)
			}
		}
	}
	// Records whose ids are none of an app's.
	write(t, m, 7, rowOf("7", "key of 7", `{}`))
	write(t, m, []any{"a", 1}, rowOf("list", "key of list id", `{}`))
	write(t, m, map[string]any{"a": models.None}, rowOf("map", "key of map id", `{}`))
	n := len(broken) + 3
	if _, err := m.AppByKey(t.Context(), "key of 7"); err == nil || !strings.Contains(err.Error(), "the id is no text") {
		t.Errorf("a number for an id: %v", err)
	}
	for range 2 {
		if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0].ID != "good" {
			t.Errorf("Apps = %v, %v; want the one that can be read", apps, err)
		}
	}
	if m.UnreadableApps() != n || logs.Len() != n {
		t.Errorf("%d records count as unreadable, and the log has %d lines; want %d each", m.UnreadableApps(), logs.Len(), n)
	}
	// One that is mended is served, and one may be replaced or deleted.
	put(t, m, app("limit", "key of limit"))
	for _, id := range []string{"json", "none", "object", "key"} {
		there, err := m.byID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		known, _, _ := there.app()
		version := versionOf(t, known)
		if err := m.PutApp(t.Context(), app(id, "key of "+id), version); err != nil {
			t.Errorf("mending %s: %v", id, err)
		}
		if err := m.DeleteApp(t.Context(), id, storage.AnyVersion); err != nil {
			t.Errorf("deleting %s: %v", id, err)
		}
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 || m.UnreadableApps() != n-5 {
		t.Errorf("Apps = %v, %v, with %d unreadable", apps, err, m.UnreadableApps())
	}
}

// A listing has many pages, and records whose ids are no texts lie between them.
func TestListingOfManyPages(t *testing.T) {
	t.Parallel()
	m := open(t, standing(t))
	const n = 3*pageSize + 1
	statement := "FOR $i IN 0.." + fmt.Sprint(n) + " { CREATE type::record('applications', 'app ' + <string>$i) SET key = 'k' + <string>$i, payload = '{\"secret\":\"s\"}' }"
	if err := m.link.query(t.Context(), false, statement, nil, nil); err != nil {
		t.Fatal(err)
	}
	for i := range pageSize {
		write(t, m, i, map[string]any{})
	}
	write(t, m, []any{"a"}, map[string]any{})
	page, err := m.page(t.Context(), nil)
	if err != nil || len(page) != pageSize {
		t.Fatalf("a page has %d records, %v", len(page), err)
	}
	apps, err := m.Apps(t.Context())
	if err != nil || len(apps) != n || m.UnreadableApps() != pageSize+1 {
		t.Fatalf("Apps = %d apps, %v, with %d unreadable; want %d", len(apps), err, m.UnreadableApps(), n)
	}
	for i, app := range apps[1:] {
		if app.ID <= apps[i].ID {
			t.Fatalf("%q comes after %q", app.ID, apps[i].ID)
		}
	}
}
