package push

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage/sql"
)

// openSQLite is a registry over a file, which close closes.
func openSQLite(t *testing.T, file string) (r *registryTest, closeFile func()) {
	t.Helper()
	store, err := sql.OpenPushStore(t.Context(), sql.Options{Dialect: sql.SQLite, Path: file, Relaxed: true}, sql.PushOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return registryOver(t, store), func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Checklist: push 24
func TestRegistryOutlivesRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "push.db")
	r, closeFile := openSQLite(t, file)
	request := phone("d", "t")
	request.ClientID, request.Rate = "u", &RatePolicy{Capacity: 5, RefillPerSecond: 2}
	done, err := r.Register(t.Context(), "a", request, false)
	if err != nil {
		t.Fatal(err)
	}
	r.mustSubscribe(t, "d", "a:b", "a", "é")
	r.mustCredential(t, "a", FCM, `{"serviceAccountJson":{"project_id":"one"}}`)
	if _, err := r.PutTemplate(t.Context(), "a", mustTemplate(t, packed)); err != nil {
		t.Fatal(err)
	}
	closeFile()

	r, closeFile = openSQLite(t, file)
	defer closeFile()
	d := r.mustDevice(t, "d")
	if d.Rate == nil || *d.Rate != *request.Rate {
		t.Errorf("%+v", d)
	}
	if err := r.VerifyToken(t.Context(), "a", "d", done.Token); err != nil {
		t.Error(err)
	}
	if again, err := r.Register(t.Context(), "a", request, false); err != nil || again.Change != Unchanged {
		t.Errorf("%+v %v", again, err)
	}
	if page, err := r.Channels(t.Context(), "a", "", 10); err != nil || !slices.Equal(page.Items, []string{"a", "a:b", "é"}) {
		t.Errorf("%+v %v", page, err)
	}
	if _, _, text, err := r.Material(t.Context(), "a", FCM); err != nil || string(text) != `{"serviceAccountJson":{"project_id":"one"}}` {
		t.Errorf("%s %v", text, err)
	}
	if p, _, err := r.Resolve(t.Context(), "a", Payload{TemplateID: "order-packed"}, nil); err != nil || p.Body != "Packed" {
		t.Errorf("%+v %v", p, err)
	}
	if ok, err := r.Quarantine(t.Context(), "a", "d", d.TokenHash(), time.Time{}, "gone", r.clock.now()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	due := r.dueDevices(t)
	if len(due) != 1 {
		t.Fatalf("%d are due", len(due))
	}
	if swept, err := r.SweepDevice(t.Context(), due[0]); swept != SweptInvalid || err != nil {
		t.Errorf("%q %v", swept, err)
	}
	r.consistent(t)
}

// Two registries over one file keep it right together.
func TestTwoRegistriesAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "push.db")
	one, closeOne := openSQLite(t, file)
	defer closeOne()
	two, closeTwo := openSQLite(t, file)
	defer closeTwo()
	done := make(chan error, 2)
	for _, r := range []*registryTest{one, two} {
		go func() {
			var err error
			for i := 0; i < 12 && err == nil; i++ {
				id := fmt.Sprint("d", i%3)
				if _, err = r.Register(t.Context(), "a", phone(id, fmt.Sprint("t", i)), false); err != nil {
					break
				}
				if _, err = r.Subscribe(t.Context(), "a", Subscription{Channel: fmt.Sprint("c", i%4), DeviceID: id, Provider: FCM, TokenHash: "h"}); err != nil {
					break
				}
				switch i % 5 {
				case 3:
					_, err = r.Unsubscribe(t.Context(), "a", fmt.Sprint("c", i%4), "")
				case 4:
					_, err = r.DeleteDevice(t.Context(), "a", id)
				}
			}
			done <- err
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	one.consistent(t)
}
