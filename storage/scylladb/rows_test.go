package scylladb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
)

// sockudo makes the keyspace and the table as Sockudo does, and columns in it.
func sockudo(t *testing.T, o Options, columns ...string) *AppManager {
	t.Helper()
	other := o
	other.Table = "other"
	m := open(t, other) // for its connection
	execute(t, m, "CREATE TABLE IF NOT EXISTS "+o.Keyspace+"."+o.withDefaults().Table+" (id text PRIMARY KEY, "+strings.Join(columns, ", ")+")")
	execute(t, m, "CREATE INDEX IF NOT EXISTS ON "+o.Keyspace+"."+o.withDefaults().Table+" (key)")
	return m
}

// flatColumns are those that the table of Sockudo had before there was a policy.
var flatColumns = []string{
	"key text", "secret text", "max_connections int", "enable_client_messages boolean", "enabled boolean",
	"max_backend_events_per_second int", "max_client_events_per_second int", "max_read_requests_per_second int",
	"max_presence_members_per_channel int", "max_presence_member_size_in_kb int", "max_channel_name_length int",
	"max_event_channels_at_once int", "max_event_name_length int", "max_event_payload_in_kb int", "max_event_batch_size int",
	"enable_user_authentication boolean", "enable_watchlist_events boolean", "webhooks text", "allowed_origins text",
	"channel_delta_compression text", "created_at timestamp", "updated_at timestamp",
}

// Checklist: configuration 48
func TestRowsOfSockudo(t *testing.T) {
	o := cluster(t)
	writer := sockudo(t, o, append(flatColumns, "policy text", "idempotency text")...)
	insert := "INSERT INTO " + o.Keyspace + ".applications (id, key, secret, max_connections, max_client_events_per_second, enabled, enable_client_messages, enable_watchlist_events, max_event_batch_size, allowed_origins, idempotency, policy, created_at, updated_at) VALUES (?, ?, 's', 7, 8, true, true, false, 9, ?, ?, ?, 1000, 1000)"
	execute(t, writer, insert, "flat", "kf", `["https://a.example"]`, `{"enabled":true,"ttl_seconds":5}`, nil)
	execute(t, writer, insert, "policy", "kp", nil, nil, `{"limits":{"max_connections":"70"},"features":{"enable_watchlist_events":true},"webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"ai_transport":{"enabled":true}}`)
	execute(t, writer, insert, "broken", "kb", nil, nil, `{"limits":{"max_connections":-1}}`)
	execute(t, writer, insert, "no json", "kj", "https://a.example", nil, nil)
	execute(t, writer, "INSERT INTO "+o.Keyspace+".applications (id, enabled) VALUES ('no key', true)")
	execute(t, writer, "INSERT INTO "+o.Keyspace+".applications (id, key, secret) VALUES ('bare', 'k', 's')")

	core, logs := observer.New(zap.WarnLevel)
	m := open(t, o)
	m.Log = zap.New(core)
	app, err := m.AppByKey(t.Context(), "kf")
	if err != nil {
		t.Fatal(err)
	}
	if app.Limits.MaxConnections != 7 || app.Limits.MaxClientEventsPerSecond != 8 || app.Limits.MaxEventBatchSize != 9 ||
		!app.Features.ClientMessages || app.Features.WatchlistEvents || !app.Enabled || len(app.AllowedOrigins) != 1 ||
		app.Idempotency.Enabled == nil || app.Idempotency.TTL == 0 {
		t.Errorf("flat columns became %+v", app)
	}
	if app, err = m.AppByID(t.Context(), "policy"); err != nil {
		t.Fatal(err)
	}
	if app.Limits.MaxConnections != 70 || app.Limits.MaxEventBatchSize != 0 || app.Features.ClientMessages || !app.Features.WatchlistEvents || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 {
		t.Errorf("the policy became %+v", app)
	}
	if warned := logs.FilterField(zap.Strings("ignored", []string{"ai_transport"})).Len(); warned != 1 {
		t.Errorf("the log says %d times that ai_transport is ignored", warned)
	}
	if app, err = m.AppByKey(t.Context(), "k"); err != nil || app.Enabled {
		t.Errorf("a row that does not say enabled: %v, %v", app, err)
	}
	for id, want := range map[string]string{"broken": `"-1"`, "no json": "column allowed_origins is no JSON", "no key": "column key is empty"} {
		if _, err = m.AppByID(t.Context(), id); err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
	if m.UnreadableApps() != 3 {
		t.Errorf("%d records count as unreadable, want 3", m.UnreadableApps())
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 3 || apps[0].ID != "bare" || apps[1].ID != "flat" || apps[2].ID != "policy" {
		t.Errorf("Apps = %v, %v; want the three that can be read", apps, err)
	}

	// Whatever is there can be replaced and deleted.
	for _, id := range []string{"flat", "policy", "broken", "no json", "no key", "bare"} {
		now := &storage.App{ID: id, Key: "new " + id, Secret: "s2"}
		put(t, m, now)
		knows(t, m, "new "+id, id)
		if err := m.DeleteApp(t.Context(), id, storage.AnyVersion); err != nil {
			t.Errorf("deleting %s: %v", id, err)
		}
	}
	if m.UnreadableApps() != 0 {
		t.Errorf("%d records count as unreadable after all are gone", m.UnreadableApps())
	}
}

// Sockudo reads what is written here: the flat columns say the same as the policy,
// and what they cannot say is null.
func TestFlatColumnsAreWritten(t *testing.T) {
	o := cluster(t)
	writer := sockudo(t, o, append(flatColumns, "policy text", "connection_recovery text")...)
	execute(t, writer, "INSERT INTO "+o.Keyspace+".applications (id, key, secret, webhooks, connection_recovery, created_at) VALUES ('a', 'k', 's', '[]', '{}', 1000)")
	m := open(t, o)
	app := app("a", "k2")
	app.Limits.MaxConnections, app.Limits.MaxEventNameLength, app.Features.UserAuthentication = 3, 4, true
	put(t, m, app)
	r, err := m.get(t.Context(), "a", m.session.Query("").GetConsistency())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"key": "k2", "secret": "s", "enabled": true, "max_connections": 3, "max_event_name_length": 4, "max_event_batch_size": nil,
		"enable_user_authentication": true, "enable_client_messages": false, "max_client_events_per_second": 0,
		"webhooks": nil, "connection_recovery": nil, "created_at": int64(1000),
	} {
		if r[name] != want {
			t.Errorf("column %s is %v, want %v", name, r[name], want)
		}
	}
	if at, _ := r["updated_at"].(int64); at < 1700000000000 {
		t.Errorf("updated_at is %v", r["updated_at"])
	}
}

// Numbers that the table cannot hold are refused, not cut.
func TestNumbersThatDoNotFit(t *testing.T) {
	m := open(t, cluster(t))
	app := app("a", "k")
	app.Limits.MaxConnections = 1 << 40
	if err := m.PutApp(t.Context(), app, storage.AnyVersion); err == nil || !strings.Contains(err.Error(), "max_connections is larger than the table can hold") {
		t.Errorf("a limit of 2^40: %v", err)
	}
	claimed(t, m, "k", "")
}

// More apps than the server gives at a time are listed, in order.
func TestManyAppsAreListed(t *testing.T) {
	o := cluster(t)
	writer := open(t, o)
	const n = 3*pageSize + 7
	for i := range n {
		execute(t, writer, "INSERT INTO "+o.Keyspace+".applications (id, key, secret, enabled) VALUES (?, ?, 's', true)", fmt.Sprintf("a%03d", i), fmt.Sprint("k", i))
	}
	apps, err := writer.Apps(t.Context())
	if err != nil || len(apps) != n {
		t.Fatalf("Apps = %d apps, %v", len(apps), err)
	}
	for i, app := range apps {
		if app.ID != fmt.Sprintf("a%03d", i) {
			t.Fatalf("app %d is %s", i, app.ID)
		}
	}
}

// FuzzRow reads rows that anybody may have written. What can be read is the same
// after it was written here.
func FuzzRow(f *testing.F) {
	f.Add("id", "key", "s", `{"limits":{"max_connections":"7"}}`, 8, -1, `[{"url":"https://a.example"}]`, true)
	f.Add("id", "key", "s", "", -1, 5, "{", false)
	f.Add("id", "key", "", "null", 1<<31-1, 0, "", true)
	f.Fuzz(func(t *testing.T, id, key, secret, policy string, n, other int, document string, on bool) {
		before := row{
			"id": id, "key": key, "secret": secret, "policy": policy, "max_connections": n, "max_event_batch_size": other, "enabled": on,
			"webhooks": document, "allowed_origins": document, "idempotency": document, "enable_client_messages": on, "updated_at": int64(n),
		}
		app, _, err := before.app()
		if err != nil {
			return
		}
		now, err := rowFor(app)
		if err != nil {
			return // such as namespaces that no store takes
		}
		again, _, err := now.app()
		if err != nil {
			t.Fatalf("%v became %v, which cannot be read: %v", before, now, err)
		}
		first, err := storage.AppVersion(app)
		if err != nil {
			return
		}
		if second, err := storage.AppVersion(again); err != nil || first != second {
			t.Errorf("%v became %v: version %s is %s, %v", before, now, first, second, err)
		}
	})
}
