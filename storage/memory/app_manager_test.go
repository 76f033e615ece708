package memory

import (
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: configuration 31
func TestNewAppManagerRefuses(t *testing.T) {
	const secret = "very-secret"
	app := func(change func(*storage.App)) *storage.App {
		a := &storage.App{ID: "id1", Key: "key1", Secret: secret, Enabled: true}
		if change != nil {
			change(a)
		}
		return a
	}
	namespace := func(key string, n *storage.Namespace) *storage.App {
		return app(func(a *storage.App) { a.Namespaces = map[string]*storage.Namespace{key: n} })
	}
	tests := []struct {
		name string
		apps []*storage.App
		want string
	}{
		{"missing app", []*storage.App{nil}, "app 1 of the list is missing"},
		{"empty id", []*storage.App{app(func(a *storage.App) { a.ID = "" })}, "app 1 of the list: id must not be empty"},
		{"empty key", []*storage.App{app(func(a *storage.App) { a.Key = "" })}, "app id1: key must not be empty"},
		{"empty secret", []*storage.App{app(func(a *storage.App) { a.Secret = "" })}, "app id1: secret must not be empty"},
		{"repeated id", []*storage.App{app(nil), app(func(a *storage.App) { a.Key = "key2" })}, "app id1: id is used by another app too"},
		{"repeated key", []*storage.App{app(nil), app(func(a *storage.App) { a.ID = "id2" })}, "app id2: key is used by app id1 too"},
		{"bad origin", []*storage.App{app(func(a *storage.App) { a.AllowedOrigins = []string{"a", "*.*"} })}, `app id1: allowed_origins: origin pattern "*.*"`},
		{"bad pattern", []*storage.App{namespace("ns", &storage.Namespace{Name: "ns", Pattern: "("})}, "app id1: namespace ns: pattern:"},
		{"bad namespace name", []*storage.App{namespace("a:b", &storage.Namespace{Name: "a:b"})}, `app id1: namespace name "a:b"`},
		{"misnamed namespace", []*storage.App{namespace("ns", &storage.Namespace{Name: "other"})}, `app id1: namespace "other" is listed under the name "ns"`},
		{"missing namespace", []*storage.App{namespace("ns", nil)}, `app id1: namespace "ns" is missing`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewAppManager(test.apps)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
		})
	}
}

// What the caller keeps is not what is served: a later configuration may be made
// from the same records.
func TestAppManagerCopies(t *testing.T) {
	enabled := true
	given := &storage.App{
		ID: "id", Key: "key", Secret: "secret", AllowedOrigins: []string{"a"},
		Limits:      storage.AppLimits{MessageRate: &storage.MessageRate{MaxAttempts: 1}},
		Namespaces:  map[string]*storage.Namespace{"ns": {Name: "ns", Pattern: "x"}},
		Idempotency: storage.AppIdempotency{Enabled: &enabled},
	}
	m, err := NewAppManager([]*storage.App{given})
	if err != nil {
		t.Fatal(err)
	}
	if given.Namespaces["ns"].Match != nil {
		t.Error("the caller's namespace was compiled")
	}
	given.Secret, given.AllowedOrigins[0], given.Limits.MessageRate.MaxAttempts = "changed", "changed", 2
	given.Namespaces["ns"].Name, enabled = "changed", false
	given.Namespaces["other"] = &storage.Namespace{Name: "other"}
	got, err := m.AppByID(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	if got.Secret != "secret" || got.AllowedOrigins[0] != "a" || got.Limits.MessageRate.MaxAttempts != 1 ||
		got.Namespaces["ns"].Name != "ns" || len(got.Namespaces) != 1 || !*got.Idempotency.Enabled {
		t.Errorf("changing the given record changed the served one: %+v", got)
	}
}
