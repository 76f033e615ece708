package dynamodb

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Sockudo changes a row between its being read and its being written here, and
// leaves no version behind.
func TestChangesOfSockudoInBetween(t *testing.T) {
	bare := func() item {
		i := rowOf("a", "k", "")
		delete(i, attributePolicy)
		return i
	}
	for name, change := range map[string]func(i item){
		"a policy where there was none": func(i item) { i[attributePolicy] = str(`{"limits":{"max_connections":5}}`) },
		"another secret":                func(i item) { i[attributeSecret] = str("other") },
		"switched off":                  func(i item) { i[attributeEnabled] = truth(false) },
		"another key":                   func(i item) { i[attributeKey] = str("k2") },
		"gone":                          nil,
	} {
		t.Run(name, func(t *testing.T) {
			g, o := newGate(t), newTable(t)
			m := open(t, o)
			write(t, m, bare())
			app, err := m.AppByID(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			version, err := storage.AppVersion(app)
			if err != nil {
				t.Fatal(err)
			}
			o.Endpoint = g.url
			through := open(t, o)
			want := bare()
			between := func() {
				var once sync.Once
				g.let(func(operation string, _ http.ResponseWriter, _ *http.Request, _ func() *answer) bool {
					if operation == "TransactWriteItems" {
						once.Do(func() {
							if change == nil {
								remove(t, m, "a")
								return
							}
							change(want)
							write(t, m, want)
						})
					}
					return false
				})
			}
			changed := *app
			changed.Limits.MaxConnections = 7
			between()
			if err := through.PutApp(t.Context(), &changed, version); !errors.Is(err, storage.ErrConflict) {
				t.Errorf("PutApp: %v, want a conflict", err)
			}
			write(t, m, bare())
			between()
			if err := through.DeleteApp(t.Context(), "a", version); !errors.Is(err, storage.ErrConflict) && !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("DeleteApp: %v, want a conflict", err)
			}
			there, err := m.get(t.Context(), "a")
			if err != nil || (there == nil) != (change == nil) {
				t.Errorf("what Sockudo did has become %v, %v", there, err)
			}
		})
	}
}
