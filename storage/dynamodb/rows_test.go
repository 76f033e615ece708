package dynamodb

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sockudo/caddy-sockudo/storage"
)

func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
func truth(b bool) types.AttributeValue    { return &types.AttributeValueMemberBOOL{Value: b} }
func list(texts ...string) types.AttributeValue {
	l := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
	for _, s := range texts {
		l.Value = append(l.Value, str(s))
	}
	return l
}

// rowOf is an app as Sockudo writes it.
func rowOf(id, key, policy string) item {
	return item{attributeID: str(id), attributeKey: str(key), attributeSecret: str("s"), attributeEnabled: truth(true), attributePolicy: str(policy)}
}

// flatRow is an app as Sockudo wrote it before there was a policy.
func flatRow(id, key string) item {
	return item{
		attributeID: str(id), attributeKey: str(key), attributeSecret: str("s"), attributeEnabled: truth(true),
		"max_connections": number("7"), "max_client_events_per_second": number("8"), "max_event_batch_size": number("9"),
		"max_read_requests_per_second": str("10"), "enable_client_messages": truth(true), "enable_watchlist_events": truth(false),
		"allowed_origins": list("https://a.example"), "idempotency": str(`{"enabled":true,"ttl_seconds":30}`),
		"webhooks": str(`[{"url":"https://a.example"}]`), "connection_recovery": str(`{"max_buffer_size":50}`),
		"channel_delta_compression": str(`{"ticker":"fossil"}`), "annotations_enabled": truth(true), "max_event_name_length": &types.AttributeValueMemberNULL{Value: true},
	}
}

// Checklist: configuration 48
func TestRowsOfSockudo(t *testing.T) {
	core, logs := observer.New(zap.WarnLevel)
	m := openLogged(t, newTable(t), zap.New(core))
	write(t, m, flatRow("flat", "kf"))
	write(t, m, rowOf("policy", "kp", `{"limits":{"max_connections":"70"},"features":{"enable_watchlist_events":true},"webhooks":[{"url":"https://a.example"}],"connection_recovery":{"enabled":true,"max_buffer_size":50},"channels":{"annotations_enabled":true,"of_later":true}}`))
	mixed := flatRow("mixed", "km")
	mixed[attributePolicy] = str(`{"limits":{"max_connections":1}}`)
	delete(mixed, attributeEnabled) // which means on
	write(t, m, mixed)

	for _, find := range []func() (*storage.App, error){
		func() (*storage.App, error) { return m.AppByKey(t.Context(), "kf") },
		func() (*storage.App, error) { return m.AppByID(t.Context(), "flat") },
	} {
		app, err := find()
		if err != nil {
			t.Fatal(err)
		}
		if app.Limits.MaxConnections != 7 || app.Limits.MaxClientEventsPerSecond != 8 || app.Limits.MaxEventBatchSize != 9 ||
			app.Limits.MaxReadRequestsPerSecond != 10 || app.Limits.MaxEventNameLength != 0 || !app.Enabled ||
			!app.Features.ClientMessages || app.Features.WatchlistEvents || fmt.Sprint(app.AllowedOrigins) != "[https://a.example]" ||
			app.Idempotency.Enabled == nil || app.Idempotency.TTL.Seconds() != 30 || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" ||
			app.Recovery.BufferSize != 50 || app.Delta["ticker"].Algorithm != "fossil" || app.Annotations == nil || !*app.Annotations {
			t.Errorf("flat attributes became %+v", app)
		}
	}
	app, err := m.AppByKey(t.Context(), "kp")
	if err != nil {
		t.Fatal(err)
	}
	if app.Limits.MaxConnections != 70 || app.Features.ClientMessages || !app.Features.WatchlistEvents || len(app.Webhooks) != 1 || app.Webhooks[0].URL != "https://a.example" || app.Recovery.BufferSize != 50 {
		t.Errorf("the policy became %+v", app)
	}
	if app, err = m.AppByKey(t.Context(), "km"); err != nil || app.Limits.MaxConnections != 1 || app.Limits.MaxEventBatchSize != 0 || !app.Enabled {
		t.Errorf("a policy beside flat attributes became %+v, %v", app, err)
	}
	if warned := logs.FilterField(zap.Strings("ignored", []string{"channels.of_later"})).Len(); warned != 1 {
		t.Errorf("the log says %d times that channels.of_later is ignored, want once", warned)
	}
}

// A row of Sockudo's keeps what this version has no use for when it is changed, and
// what others have written beside it.
func TestChangedRowsOfSockudo(t *testing.T) {
	m := open(t, newTable(t))
	row := flatRow("a", "k")
	row["owner"], row["tags"] = str("ops"), list("x", "y")
	write(t, m, row)
	app, err := m.AppByID(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	version, err := storage.AppVersion(app)
	if err != nil {
		t.Fatal(err)
	}
	changed := *app
	changed.Limits.MaxConnections = 77
	if err := m.PutApp(t.Context(), &changed, version); err != nil {
		t.Fatal(err)
	}
	now, err := m.get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if policy := stringOf(now, attributePolicy); !strings.Contains(policy, "https://a.example") || !strings.Contains(policy, `"max_connections":77`) {
		t.Errorf("the policy is %s", policy)
	}
	if now["max_connections"] != nil || stringOf(now, "owner") != "ops" || now["tags"] == nil {
		t.Errorf("the item has become %v", now)
	}
	if err := m.PutApp(t.Context(), &changed, version); !errors.Is(err, storage.ErrConflict) {
		t.Errorf("a change of the old version: %v", err)
	}
}

func TestBrokenRecordIsSkipped(t *testing.T) {
	core, logs := observer.New(zap.ErrorLevel)
	m := openLogged(t, newTable(t), zap.New(core))
	put(t, m, &storage.App{ID: "good", Key: "kg", Secret: "s", Enabled: true})
	broken := map[string]struct {
		change func(item)
		want   string
	}{
		"limit":  {func(i item) { i[attributePolicy] = str(`{"limits":{"max_connections":-1}}`) }, `"-1"`},
		"json":   {func(i item) { i[attributePolicy] = str(`{`) }, "policy"},
		"map":    {func(i item) { i[attributePolicy] = &types.AttributeValueMemberM{Value: item{}} }, "attribute policy is no text"},
		"secret": {func(i item) { delete(i, attributeSecret) }, "attribute secret is missing"},
		"on":     {func(i item) { i[attributeEnabled] = str("yes") }, "attribute enabled is neither"},
		"hooks":  {func(i item) { delete(i, attributePolicy); i["webhooks"] = str("[") }, "attribute webhooks is no JSON"},
		"bytes": {func(i item) {
			delete(i, attributePolicy)
			i["max_connections"] = &types.AttributeValueMemberB{Value: []byte("1")}
		}, "attribute max_connections"},
	}
	for id, b := range broken {
		i := rowOf(id, "key of "+id, `{}`)
		b.change(i)
		write(t, m, i)
		for _, find := range []func() (*storage.App, error){
			func() (*storage.App, error) { return m.AppByID(t.Context(), id) },
			func() (*storage.App, error) { return m.AppByKey(t.Context(), "key of "+id) },
		} {
			if app, err := find(); app != nil || err == nil || errors.Is(err, storage.ErrNotFound) || !strings.Contains(err.Error(), b.want) || !strings.Contains(err.Error(), m.place) {
				t.Errorf("%s: %v, %v; want an error with %s", id, app, err, b.want)
			}
		}
	}
	for range 2 {
		if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 1 || apps[0].ID != "good" {
			t.Errorf("Apps = %v, %v; want the one that can be read", apps, err)
		}
	}
	if m.UnreadableApps() != len(broken) || logs.Len() != len(broken) {
		t.Errorf("%d records count as unreadable, and the log has %d lines; want %d each", m.UnreadableApps(), logs.Len(), len(broken))
	}
	// One that is mended is served, and one may be replaced or deleted.
	put(t, m, &storage.App{ID: "limit", Key: "key of limit", Secret: "s", Enabled: true})
	if err := m.DeleteApp(t.Context(), "json", storage.AnyVersion); err != nil {
		t.Error(err)
	}
	if apps, err := m.Apps(t.Context()); err != nil || len(apps) != 2 || m.UnreadableApps() != len(broken)-2 {
		t.Errorf("Apps = %v, %v, with %d unreadable", apps, err, m.UnreadableApps())
	}
}

// Checklist: configuration 37
func TestListingOfManyPages(t *testing.T) {
	m := open(t, newTable(t))
	const n, size = 30, 100 << 10
	for i := range n {
		write(t, m, rowOf(fmt.Sprintf("%02d", i), fmt.Sprint("k", i), fmt.Sprintf(`{"later":%q}`, strings.Repeat("x", size))))
	}
	put(t, m, &storage.App{ID: "ours", Key: "k", Secret: "s"})
	if _, next, err := m.page(t.Context(), nil); err != nil || next == nil {
		t.Fatalf("%d bytes are one page, so this shows nothing: %v", n*size, err)
	}
	apps, err := m.Apps(t.Context())
	if err != nil || len(apps) != n+1 {
		t.Fatalf("Apps = %d apps, %v; want %d", len(apps), err, n+1)
	}
	for i, app := range apps[:n] {
		if app.ID != fmt.Sprintf("%02d", i) {
			t.Errorf("app %d is %s", i, app.ID)
		}
	}
}
