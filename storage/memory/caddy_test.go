package memory

import (
	"errors"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Whatever changes in an app makes another list of apps, so that a reload takes it.
func TestKeysOfAppLists(t *testing.T) {
	on := true
	seen := map[string]string{}
	for name, change := range map[string]func(*storage.App, *storage.Namespace){
		"nothing":     func(*storage.App, *storage.Namespace) {},
		"history":     func(a *storage.App, _ *storage.Namespace) { a.History.Enabled = &on },
		"presence":    func(a *storage.App, _ *storage.Namespace) { a.PresenceHistory.Enabled = &on },
		"annotations": func(a *storage.App, _ *storage.Namespace) { a.Annotations = &on },
		"pattern":     func(_ *storage.App, n *storage.Namespace) { n.Pattern = "^x" },
		"length":      func(_ *storage.App, n *storage.Namespace) { n.MaxChannelNameLength = 5 },
		"lists":       func(_ *storage.App, n *storage.Namespace) { n.AllowUserLimitedChannels = true },
		"subscribe":   func(_ *storage.App, n *storage.Namespace) { n.NoSubscribe = true },
		"publish":     func(_ *storage.App, n *storage.Namespace) { n.NoPublish = true },
		"members":     func(_ *storage.App, n *storage.Namespace) { n.NoPresence = true },
		"rewind":      func(_ *storage.App, n *storage.Namespace) { n.History.Rewind = &on },
		"items":       func(_ *storage.App, n *storage.Namespace) { n.PresenceHistory.MaxItems = 5 },
		"marks":       func(_ *storage.App, n *storage.Namespace) { n.Annotations = &on },
	} {
		n := &storage.Namespace{Name: "n"}
		app := &storage.App{ID: "a", Namespaces: map[string]*storage.Namespace{"n": n}}
		change(app, n)
		if err := n.Compile(); err != nil {
			t.Fatal(err)
		}
		m := new(AppManagerModule)
		if err := m.WithApps([]*storage.App{app}); err != nil {
			t.Fatal(err)
		}
		if other := seen[m.Key()]; other != "" {
			t.Errorf("%s and %s are one list", name, other)
		}
		seen[m.Key()] = name
	}
}

// A reload changes the bound of a history that keeps running.
func TestHistoryIsTuned(t *testing.T) {
	h, err := (&HistoryModule{MaxSize: 500}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	add := func(size int) error {
		a := &storage.LogAppend{Key: storage.LogKey{App: "a", Channel: "c"}, Fresh: "s", Row: true, Payload: make([]byte, size)}
		h.Append(t.Context(), []*storage.LogAppend{a})
		return a.Err
	}
	tune := func(size int64) {
		t.Helper()
		if err := h.(storage.Tuner).Tune(&HistoryModule{MaxSize: size}); err != nil {
			t.Fatal(err)
		}
	}
	if err := add(1000); !errors.Is(err, storage.ErrFull) {
		t.Errorf("above the bound: %v", err)
	}
	tune(5000)
	if err := add(1000); err != nil {
		t.Error(err)
	}
	tune(500)
	if err := add(10); !errors.Is(err, storage.ErrFull) {
		t.Errorf("above the smaller bound: %v", err)
	}
	tune(0)
	if err := add(1 << 20); err != nil {
		t.Error(err)
	}
	if err := h.(storage.Tuner).Tune(&CacheModule{}); err == nil {
		t.Error("it takes the bounds of a cache")
	}
	if err := (&HistoryModule{MaxSize: -1}).Validate(); err == nil {
		t.Error("a bound may be negative")
	}
}
