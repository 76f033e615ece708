package storagetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// TestAppManager checks an app manager against its contract. open returns a store
// that holds exactly the given apps.
func TestAppManager(t *testing.T, open func(t *testing.T, apps []*storage.App) storage.AppManager) {
	t.Attr("contract", "app_manager")
	subtests := []struct {
		name string
		run  func(t *testing.T, m storage.AppManager, apps []*storage.App)
	}{
		{"find", appsFind},
		{"not found", appsNotFound},
		{"list", appsList},
		{"namespaces", appsNamespaces},
		{"many callers", appsManyCallers},
		{"ended context", appsEnded},
		{"closed", appsClosed},
	}
	for _, s := range subtests {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			apps := someApps()
			m := open(t, apps)
			t.Cleanup(func() {
				if err := m.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			})
			s.run(t, m, apps)
		})
	}
	t.Run("no apps", func(t *testing.T) {
		m := open(t, nil)
		if apps, err := m.Apps(t.Context()); len(apps) != 0 || err != nil {
			t.Errorf("Apps = %v, %v; want none", apps, err)
		}
		_, err := m.AppByKey(t.Context(), "")
		wantErr(t, "AppByKey", err, storage.ErrNotFound)
		must(t, m.Close())
	})
}

// someApps are apps in no order: one that sets everything, one that sets nothing,
// and one that is disabled.
func someApps() []*storage.App {
	off := false
	name := strings.ToLower(unique()[:12])
	full := &storage.App{
		ID: name + "-full", Key: name + "-key", Secret: weird, Enabled: true,
		Limits: storage.AppLimits{
			MaxConnections: 1, MaxClientEventsPerSecond: 2, MaxBackendEventsPerSecond: 3, MaxReadRequestsPerSecond: 4,
			MaxPresenceMembersPerChannel: 5, MaxPresenceMemberSizeInKB: 6, MaxChannelNameLength: 7,
			MaxEventChannelsAtOnce: 8, MaxEventNameLength: 9, MaxEventPayloadInKB: 10, MaxEventBatchSize: 11,
			DecaySeconds: 12, TerminateOnLimit: true,
			MessageRate: &storage.MessageRate{MaxAttempts: 13, Decay: 14 * time.Second, Terminate: true},
		},
		Features: storage.AppFeatures{
			ClientMessages: true, UserAuthentication: true, WatchlistEvents: true, SubscriptionCount: true,
		},
		AllowedOrigins: []string{"https://*.example.com", "b.example"},
		Namespaces: map[string]*storage.Namespace{
			"chat": {
				Name: "chat", Pattern: `^chat:[a-z]+$`, MaxChannelNameLength: 15, AllowUserLimitedChannels: true,
				NoSubscribe: true, NoPublish: true, NoPresence: true, Annotations: &off,
				History:         storage.AppHistory{Rewind: &off, Retention: 20 * time.Second, MaxItems: 21, MaxBytes: 22},
				PresenceHistory: storage.AppHistory{Enabled: &off, Retention: 23 * time.Second, MaxItems: 24, MaxBytes: 25},
			},
			"any": {Name: "any"},
		},
		Idempotency: storage.AppIdempotency{Enabled: &off, TTL: 16 * time.Second},
		Recovery:    storage.AppRecovery{Enabled: &off, TTL: 17 * time.Second, BufferSize: 18},
		History:     storage.AppHistory{Enabled: &off, Rewind: &off, Retention: 26 * time.Second, MaxItems: 27, MaxBytes: 28 << 32},
		Annotations: &off,

		PresenceHistory: storage.AppHistory{Enabled: &off, Retention: 29 * time.Second, MaxItems: 30, MaxBytes: 31},
		Delta: map[string]storage.ChannelDelta{
			"ticker":  {Algorithm: "fossil"},
			"as-hub":  {},
			"none":    {Disabled: true},
			"chat:*":  {Algorithm: "xdelta3", ConflationKey: "data.symbol", MaxConflationKeys: 19, DropTags: true},
			"*-later": {Disabled: true, Algorithm: "fossil"},
		},
		Webhooks: []storage.Webhook{
			{
				URL: "https://hooks.example/a?b=c&d=%C3%BC", EventTypes: []string{"channel_occupied", "member_added", "of_later"},
				Filter:  storage.WebhookFilter{Prefix: "private-", Suffix: "-live", Pattern: `^private-.*$`, Namespaces: []string{"chat", "orders"}},
				Headers: map[string]string{"X-Env": weird}, Timeout: 1500 * time.Millisecond,
				Retry: &storage.WebhookRetry{MaxAttempts: 5, MaxElapsed: time.Minute, InitialBackoff: time.Second, MaxBackoff: 10 * time.Second},
			},
			{URL: "https://hooks.example/a?b=c&d=%C3%BC", Retry: &storage.WebhookRetry{Off: true}},
			{Lambda: &storage.Lambda{FunctionName: "fn", Region: "eu-west-1"}, EventTypes: []string{"cache_miss"}},
		},
		PreviousSecrets: []storage.PreviousSecret{{Secret: "old" + weird, Until: time.Unix(2000000000, 0)}},
	}
	return []*storage.App{
		full,
		{ID: name + "-disabled", Key: name + "-KEY", Secret: "s2"},
		{ID: name + "-ключ 🔑", Key: name + "-κλειδί '\"%_", Secret: "s3", Enabled: true},
		{ID: name, Key: name, Secret: "s4", Enabled: true},
	}
}

// sameApp compares everything that is stored. An absent list equals an empty one.
func sameApp(t *testing.T, got, want *storage.App) {
	t.Helper()
	if got == nil {
		t.Fatalf("got no app, want %q", want.ID)
	}
	if g, w := plainApp(got), plainApp(want); !reflect.DeepEqual(g, w) {
		t.Errorf("got app %s\nwant %s", describe(g), describe(w))
	}
}

func plainApp(app *storage.App) storage.App {
	c := *app
	c.Stored = nil
	c.PreviousSecrets = nil
	for _, p := range app.PreviousSecrets {
		c.PreviousSecrets = append(c.PreviousSecrets, storage.PreviousSecret{Secret: p.Secret, Until: p.Until.UTC()})
	}
	c.AllowedOrigins = append([]string{}, app.AllowedOrigins...)
	c.Namespaces = map[string]*storage.Namespace{}
	for name, n := range app.Namespaces {
		stored := *n
		stored.Match = nil
		c.Namespaces[name] = &stored
	}
	return c
}

// describe follows the pointers that %+v would print as addresses.
func describe(app storage.App) string {
	var text strings.Builder
	text.WriteString(fmt.Sprintf("%+v", app))
	if app.Limits.MessageRate != nil {
		text.WriteString(fmt.Sprintf(" MessageRate %+v", *app.Limits.MessageRate))
	}
	if app.Idempotency.Enabled != nil {
		text.WriteString(fmt.Sprintf(" Idempotency.Enabled %v", *app.Idempotency.Enabled))
	}
	if app.Recovery.Enabled != nil {
		text.WriteString(fmt.Sprintf(" Recovery.Enabled %v", *app.Recovery.Enabled))
	}
	for _, n := range app.Namespaces {
		text.WriteString(fmt.Sprintf(" Namespace %+v", *n))
	}
	return text.String()
}

func appsFind(t *testing.T, m storage.AppManager, apps []*storage.App) {
	for _, want := range apps {
		got, err := m.AppByID(t.Context(), want.ID)
		must(t, err)
		sameApp(t, got, want)
		got, err = m.AppByKey(t.Context(), want.Key)
		must(t, err)
		sameApp(t, got, want)
	}
}

func appsNotFound(t *testing.T, m storage.AppManager, apps []*storage.App) {
	app := apps[0]
	for _, id := range []string{"", unique(), app.Key, app.ID + " ", strings.ToUpper(app.ID), app.ID[:3]} {
		got, err := m.AppByID(t.Context(), id)
		if got != nil {
			t.Errorf("AppByID(%q) found %q", id, got.ID)
		}
		wantErr(t, fmt.Sprintf("AppByID(%q)", id), err, storage.ErrNotFound)
	}
	for _, key := range []string{"", unique(), app.ID, app.Key + " ", app.Key[:3]} {
		got, err := m.AppByKey(t.Context(), key)
		if got != nil {
			t.Errorf("AppByKey(%q) found %q", key, got.ID)
		}
		wantErr(t, fmt.Sprintf("AppByKey(%q)", key), err, storage.ErrNotFound)
	}
}

func appsList(t *testing.T, m storage.AppManager, apps []*storage.App) {
	want := map[string]*storage.App{}
	for _, app := range apps {
		want[app.ID] = app
	}
	for range 2 {
		got, err := m.Apps(t.Context())
		must(t, err)
		if len(got) != len(want) {
			t.Fatalf("Apps lists %d apps, want %d", len(got), len(want))
		}
		for i, app := range got {
			if want[app.ID] == nil {
				t.Fatalf("Apps lists %q", app.ID)
			}
			sameApp(t, app, want[app.ID])
			if i > 0 && got[i-1].ID >= app.ID {
				t.Errorf("Apps lists %q before %q", got[i-1].ID, app.ID)
			}
		}
		// The list is the caller's, only the apps in it are shared.
		clear(got)
	}
}

func appsNamespaces(t *testing.T, m storage.AppManager, apps []*storage.App) {
	app, err := m.AppByID(t.Context(), apps[0].ID)
	must(t, err)
	chat := app.Namespaces["chat"]
	if chat == nil || chat.Match == nil {
		t.Fatal("the namespace's pattern is not compiled")
	}
	if !chat.Match("chat:room") || chat.Match("chat:1") {
		t.Error("the namespace's pattern matches other names than it should")
	}
	if app.Namespaces["any"].Match != nil {
		t.Error("a namespace without pattern matches by one")
	}
}

func appsManyCallers(t *testing.T, m storage.AppManager, apps []*storage.App) {
	atOnce(8, func(i int) {
		for n := range 20 {
			want := apps[(i+n)%len(apps)]
			got, err := m.AppByKey(t.Context(), want.Key)
			if err != nil || got.ID != want.ID {
				t.Errorf("AppByKey = %v, %v; want %q", got, err, want.ID)
			}
			if _, err := m.AppByID(t.Context(), unique()); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("AppByID = %v, want not found", err)
			}
			if _, err := m.Apps(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

// appsEnded admits an answer, which the driver may have at hand, but not that it
// says an app does not exist.
func appsEnded(t *testing.T, m storage.AppManager, apps []*storage.App) {
	want := apps[0]
	for name, find := range map[string]func() (*storage.App, error){
		"AppByID":  func() (*storage.App, error) { return m.AppByID(ended(), want.ID) },
		"AppByKey": func() (*storage.App, error) { return m.AppByKey(ended(), want.Key) },
	} {
		got, err := find()
		if err != nil {
			wantErr(t, name, err, context.Canceled)
			continue
		}
		sameApp(t, got, want)
	}
	if got, err := m.Apps(ended()); err != nil {
		wantErr(t, "Apps", err, context.Canceled)
	} else if len(got) != len(apps) {
		t.Errorf("Apps lists %d apps, want %d", len(got), len(apps))
	}
}

func appsClosed(t *testing.T, m storage.AppManager, apps []*storage.App) {
	testClosed(t, m, []call{
		{"AppByID", func(ctx context.Context) error { _, err := m.AppByID(ctx, apps[0].ID); return err }},
		{"AppByKey", func(ctx context.Context) error { _, err := m.AppByKey(ctx, apps[0].Key); return err }},
		{"Apps", func(ctx context.Context) error { _, err := m.Apps(ctx); return err }},
	})
}
