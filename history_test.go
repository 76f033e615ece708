package sockudo

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/memory"
)

// countedHistory is a history in memory that is another one for each name, and that can
// be put out of order.
type countedHistory struct {
	Name         string         `json:"name,omitempty"`
	Host         string         `json:"host,omitempty"`
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`
}

// historyOut says that histories of the kind above are out of order.
var historyOut atomic.Bool

func init() { caddy.RegisterModule(new(countedHistory)) }

func (*countedHistory) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.counted", New: func() caddy.Module { return new(countedHistory) }}
}

func (h *countedHistory) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"name": words.Text(&h.Name), "host": words.Text(&h.Host)})
}

func (*countedHistory) Driver() string { return "counted" }
func (h *countedHistory) Key() string  { return h.Name }

func (h *countedHistory) Open(context.Context) (storage.History, error) {
	if h.Name == "broken" {
		return nil, errors.New("no such server")
	}
	return &checkedHistory{memory.NewHistory(0), new(atomic.Int64)}, nil
}

type checkedHistory struct {
	*memory.History
	timeout *atomic.Int64
}

func (h *checkedHistory) Check(context.Context) error {
	if historyOut.Load() {
		return errors.New("out of order")
	}
	return nil
}

func (h *checkedHistory) Tune(spec any) error {
	h.timeout.Store(int64(spec.(*countedHistory).WriteTimeout))
	return nil
}

// historyOf is the history of the current configuration of a hub, nil if it has none.
func historyOf(t *testing.T, hub string) storage.History {
	t.Helper()
	live, err := findHub(hub).Live()
	if err != nil {
		t.Fatal(err)
	}
	defer live.Release()
	return live.Settings.Drivers.History
}

// keep adds an entry to the log of a channel.
func keep(t *testing.T, h storage.History, channel string) (serial uint64, err error) {
	t.Helper()
	a := &storage.LogAppend{Key: storage.LogKey{App: "demo", Channel: channel}, Fresh: "stream", Row: true, Payload: []byte("x")}
	h.Append(t.Context(), []*storage.LogAppend{a})
	return a.Entry.Serial, a.Err
}

// A history goes on over reloads, in another one over a change of its place, and is gone
// when nothing asks for it.
func TestHistoryOverReloads(t *testing.T) {
	s, port := newServer(t), freePort(t)
	load := func(global, history string) (storage.History, error) {
		t.Helper()
		err := s.load(global, site(port, "sockudo {\n"+appBlock+history+"\n}"))
		return historyOf(t, "default"), err
	}
	first, err := load("", "history counted {\nname a\n}")
	if err != nil {
		t.Fatal(err)
	}
	store := first.(*writtenHistory).store.(*checkedHistory)
	if serial, err := keep(t, first, "room"); serial != 1 || err != nil {
		t.Fatal(serial, err)
	}
	for _, more := range []string{"", "retention 5s\nwrite_timeout 7s", "on_failure deliver"} {
		again, err := load("", "history counted {\nname a\n"+more+"\n}")
		if err != nil || again != first {
			t.Fatalf("the same history was opened again, %v", err)
		}
		if timeout := store.timeout.Load() > 0; timeout != strings.Contains(more, "write_timeout") {
			t.Errorf("%s: the store heard of a timeout: %v", more, timeout)
		}
	}
	for _, at := range []string{"provision", "start"} {
		if again, err := load("failing "+at, "history counted {\nname b\nwrite_timeout 7s\n}"); err == nil || again != first {
			t.Errorf("a load that failed at %s has changed the history, %v", at, err)
		}
	}
	if again, err := load("", "history counted {\nname broken\n}"); err == nil || !strings.Contains(err.Error(), "history: opening counted: no such server") || again != first {
		t.Errorf("a history that cannot be opened: %v", err)
	}
	if serial, err := keep(t, first, "room"); serial != 2 || err != nil {
		t.Fatal(serial, err)
	}
	second, err := load("", "history counted {\nname b\n}")
	if err != nil || second == first {
		t.Fatalf("the history was not replaced, %v", err)
	}
	if serial, err := keep(t, second, "room"); serial != 1 || err != nil {
		t.Error(serial, err)
	}
	if _, err := keep(t, first, "room"); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("the history before says %v", err)
	}
	var state HubState
	s.call("GET", "/sockudo/hubs/default", &state)
	if state.Drivers["history"] != "counted" {
		t.Errorf("drivers: %v", state.Drivers)
	}
	if third, err := load("", ""); err != nil || third != nil {
		t.Errorf("a hub that keeps nothing has a history, %v", err)
	}
	if _, err := keep(t, second, "room"); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("the history that nobody has says %v", err)
	}
}

// Two hubs in one process have histories of their own in memory.
func TestHistoryInMemory(t *testing.T) {
	s := newServer(t)
	one := site(freePort(t), "sockudo one {\nhistory memory {\nmax_size 1MiB\n}\n"+appBlock+"}")
	two := site(freePort(t), "sockudo two {\npresence_history on\nhistory memory {\nenabled off\n}\n"+appBlock+"}")
	s.mustLoad("", one+two)
	for _, hub := range []string{"one", "two"} {
		if serial, err := keep(t, historyOf(t, hub), "room"); serial != 1 || err != nil {
			t.Errorf("hub %s: %d, %v", hub, serial, err)
		}
	}
	before := historyOf(t, "one")
	s.mustLoad("", strings.Replace(one, "1MiB", "1", 1)+two)
	if historyOf(t, "one") != before {
		t.Error("a reload has forgotten a history in memory")
	}
	if _, err := keep(t, before, "room"); !errors.Is(err, storage.ErrFull) {
		t.Errorf("above the new bound: %v", err)
	}
}

// A history that is out of order is an error of the whole hub, unless events are
// delivered without it.
func TestHistoryIsChecked(t *testing.T) {
	s, port := newServer(t), freePort(t)
	defer historyOut.Store(false)
	for _, c := range []struct {
		words  string
		out    bool
		status int
		text   string
	}{
		{"", false, http.StatusOK, "OK"},
		{"", true, http.StatusServiceUnavailable, "ERROR"},
		{"on_failure deliver", true, http.StatusOK, "DEGRADED"},
		{"on_failure deliver", false, http.StatusOK, "OK"},
	} {
		historyOut.Store(c.out)
		s.mustLoad("", site(port, "sockudo {\n"+appBlock+"history counted {\n"+c.words+"\n}\n}"))
		if status, text := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != c.status || text != c.text {
			t.Errorf("%q, out of order %v: /up says %d %s", c.words, c.out, status, text)
		}
	}
	historyOut.Store(true)
	var report struct {
		Dependencies map[string]struct{ Error string }
	}
	s.call("GET", "/sockudo/hubs/default/health/ready", &report)
	if report.Dependencies["history"].Error != "out of order" {
		t.Errorf("the admin API says %+v", report)
	}
}

// The admin API shows what an app says of history, and takes it back.
func TestHistoryOfManagedApps(t *testing.T) {
	s := newServer(t)
	s.mustLoad("", site(freePort(t), "sockudo {\napp_manager sqlite\n}"))
	const body = `{"key": "k", "secret": "s", "history": {"enabled": true, "rewind": false, "retention": "7s", "max_items_per_channel": 8, "max_bytes_per_channel": "5GiB"},
		"presence_history": {"enabled": false, "max_events_per_channel": 9}, "annotations": true,
		"channel_namespaces": [{"name": "chat", "history": {"retention": "3s"}, "presence_history": true, "annotations": false}]}`
	status, app, text := s.edit("PUT", "chat", "", body)
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, text)
	}
	contains(t, string(app.Policy), `"history":{"enabled":true,"rewind_enabled":false,"retention_window_seconds":7,"max_messages_per_channel":8,"max_bytes_per_channel":5368709120}`,
		`"presence_history":{"enabled":false,"max_events_per_channel":9}`, `"annotations_enabled":true`,
		`{"name":"chat","annotations_enabled":false,"history":{"retention_window_seconds":3},"presence_history":{"enabled":true}}`)
	version := app.Version
	status, app, text = s.edit("PUT", "chat", version, `{"policy": `+string(app.Policy)+`}`)
	if status != http.StatusOK || app.Version != version {
		t.Errorf("given back as it is: %d %s", status, text)
	}
	for body, want := range map[string]string{
		`{"history": {"retention": "1500ms"}}`:                                  "history: retention: 1.5s is not a number of whole seconds",
		`{"history": {"retain": 5}}`:                                            "history.retain is unknown",
		`{"channel_namespaces": [{"name": "n", "history": {"enabled": true}}]}`: "channel_namespaces.0.history.enabled belongs to the app",
	} {
		if status, _, text := s.edit("PUT", "chat", "*", body); status != http.StatusBadRequest || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
}

// Apps of a store that want history where nothing keeps it are warned of, once each.
func TestUnkeptHistoryIsToldOf(t *testing.T) {
	s, port := newServer(t), freePort(t)
	const apps = "app_manager sqlite\nrate_limiter {\nenabled off\n}\n"
	s.mustLoad("", site(port, "sockudo {\n"+apps+"}"))
	for id, body := range map[string]string{
		"events": `{"history": true}`, "members": `{"presence_history": true}`, "chat": `{"channel_namespaces": [{"name": "n", "presence_history": true}]}`,
		"plain": `{"history": {"retention": "5s"}}`, "off": `{"history": false}`,
	} {
		if status, _, text := s.edit("PUT", id, "", strings.Replace(body, "{", `{"key": "key-`+id+`", `, 1)); status != http.StatusCreated {
			t.Fatalf("%d %s", status, text)
		}
		for range 2 {
			dial(t, "127.0.0.1:"+port, "/app/key-"+id).Close()
		}
	}
	told := func(app string) int {
		n := 0
		for line := range strings.SplitSeq(s.logged(), "\n") {
			if strings.Contains(line, "switches history on") && strings.Contains(line, `"app":"`+app+`"`) {
				n++
			}
		}
		return n
	}
	for app, want := range map[string]int{"events": 1, "members": 1, "chat": 1, "plain": 0, "off": 0} {
		if n := told(app); n != want {
			t.Errorf("app %s: the log warns %d times, want %d", app, n, want)
		}
	}
	s.mustLoad("", site(port, "sockudo {\n"+apps+"history memory {\nenabled off\n}\n}"))
	if status, _, text := s.edit("PUT", "events", "*", `{"history": {"enabled": true, "retention": "5s"}}`); status != http.StatusOK {
		t.Fatalf("%d %s", status, text)
	}
	dial(t, "127.0.0.1:"+port, "/app/key-events").Close()
	if n := told("events"); n != 1 {
		t.Errorf("with a history the log still warns: %d times", n)
	}
}
