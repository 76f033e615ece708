package sockudo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/batch"
)

// What the product's page writes of history, in both doors and in every spelling.
func TestHistorySettings(t *testing.T) {
	on := realtime.DefaultSettings().History
	on.Enabled = true
	page := on
	page.Retention, page.MaxItems = 86400*time.Second, 10000
	for block, want := range map[string]realtime.HistorySettings{
		"":                               realtime.DefaultSettings().History,
		"history off":                    realtime.DefaultSettings().History,
		"history memory":                 on,
		"history memory {\n}":            on,
		"history memory {\nenabled\n}":   on,
		"history Memory {\nrewind on\n}": on,
		"history memory {\nenabled true\nretention_seconds 86400\nmax_items_per_channel 10000\n}":                    page,
		"history memory {\nretention 24h\nmax_items_per_channel 10000\n}":                                            page,
		"history memory {\nretention_window_seconds 86400\nmax_messages_per_channel 10000\nrewind_enabled true\n}":   page,
		"history memory {\nmax_items_per_channel none\nmax_bytes_per_channel none\non_failure refuse\nmax_size 5\n}": on,
		"history memory {\nmax_items_per_channel 0\nmax_bytes_per_channel 0\nwriter_shards 3\nwrite_timeout 1s\n}":   on,
		"history memory {\nenabled off\nrewind off\nretention 7s\nmax_items_per_channel 7\nmax_bytes_per_channel 8KiB\nmax_page_size 9\non_failure deliver\npurge_interval_seconds 10\n}": {
			Retention: 7 * time.Second, MaxItems: 7, MaxBytes: 8 << 10, PageSize: 9, Deliver: true, Purge: 10 * time.Second,
		},
	} {
		if s, app := settingsOf(t, block); s.History != want || app.History != (storage.AppHistory{}) {
			t.Errorf("%s\ngot  %+v, and of the app %+v\nwant %+v", block, s.History, app.History, want)
		}
	}
	for object, want := range map[string]realtime.HistorySettings{
		`{"driver": "memory"}`:                 on,
		`{"backend": "memory", "max_size": 5}`: on,
		`{"enabled": true, "driver": "memory", "retention_seconds": 86400, "max_items_per_channel": 10000}`:     page,
		`{"driver": "memory", "retention_window_seconds": "86400", "max_messages_per_channel": 10000}`:          page,
		`{"driver": "memory", "rewind_enabled": true, "purge_interval_seconds": 300, "write_timeout_ms": 5000}`: on,
		`false`: realtime.DefaultSettings().History,
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(`{"history": `+object+`, "apps": [{"id": "a", "key": "k", "secret": "s"}]}`), h); err != nil {
			t.Errorf("%s: %v", object, err)
			continue
		}
		if d := mustResolve(t, &h.HubConfig, nil); d.settings.History != want {
			t.Errorf("%s\ngot  %+v\nwant %+v", object, d.settings.History, want)
		}
	}
}

// How history is written, and what of that a driver hears.
func TestHistoryWrites(t *testing.T) {
	for block, want := range map[string]batch.Options{
		"history memory": {Shards: 16, Queue: 4096, WriteTimeout: 5 * time.Second},
		"history memory {\nwriter_shards 3\nwriter_queue_capacity 4\nwrite_timeout_ms 1500\n}": {Shards: 3, Queue: 4, WriteTimeout: 1500 * time.Millisecond},
	} {
		d := mustResolve(t, &mustParse(t, block+"\n"+appBlock).HubConfig, nil)
		if *d.writes != want || string(d.drivers[kindHistory].config) != "{}" {
			t.Errorf("%s: %+v, %s", block, *d.writes, d.drivers[kindHistory].config)
		}
	}
	d := mustResolve(t, &mustParse(t, "history counted {\nname x\nwrite_timeout 2s\n}\n"+appBlock).HubConfig, nil)
	if got := string(d.drivers[kindHistory].config); got != `{"name":"x","write_timeout":"2s"}` {
		t.Errorf("a driver that bounds its writes too gets %s", got)
	}
}

// What is kept beside events.
func TestPresenceHistoryVersionsAndAnnotations(t *testing.T) {
	members, versions := realtime.DefaultSettings().Members, realtime.DefaultSettings().Versions
	for block, want := range map[string]func(*realtime.Settings){
		"":                     func(*realtime.Settings) {},
		"presence_history off": func(*realtime.Settings) {},
		"presence_history":     func(s *realtime.Settings) { s.Members.Enabled = true },
		"presence_history on":  func(s *realtime.Settings) { s.Members.Enabled = true },
		"presence_history {\nretention 7s\nmax_page_size 8\nmax_events_per_channel 9\nmax_bytes_per_channel 10\n}": func(s *realtime.Settings) {
			s.Members = realtime.PresenceHistorySettings{Enabled: true, Retention: 7 * time.Second, PageSize: 8, MaxItems: 9, MaxBytes: 10}
		},
		"presence_history {\nenabled off\nretention_window_seconds 7\nmax_events_per_channel none\n}": func(s *realtime.Settings) { s.Members.Retention = 7 * time.Second },
		"versioned_messages":                                   func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages true":                              func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages memory":                            func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages memory {\nretention none\n}":       func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages {\ndriver memory\nretention 0s\n}": func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages {\nretention_window_seconds 0\n}":  func(s *realtime.Settings) { s.Versions.Enabled = true },
		"versioned_messages off":                               func(*realtime.Settings) {},
		"versioned_messages postgres {\nenabled off\n}":        func(*realtime.Settings) {},
		"versioned_messages {\nretention 7d\nmax_page_size 8\n}": func(s *realtime.Settings) {
			s.Versions = realtime.VersionSettings{Enabled: true, Retention: 7 * 24 * time.Hour, PageSize: 8}
		},
		"annotations off":                                     func(*realtime.Settings) {},
		"versioned_messages\nannotations":                     func(s *realtime.Settings) { s.Versions.Enabled, s.Annotations = true, true },
		"versioned_messages on\nannotations {\nenabled on\n}": func(s *realtime.Settings) { s.Versions.Enabled, s.Annotations = true, true },
	} {
		expected := realtime.Settings{Members: members, Versions: versions}
		want(&expected)
		s, _ := settingsOf(t, "history memory\n"+block)
		if s.Members != expected.Members || s.Versions != expected.Versions || s.Annotations != expected.Annotations {
			t.Errorf("%s\ngot  %+v %+v %v\nwant %+v %+v %v", block, s.Members, s.Versions, s.Annotations, expected.Members, expected.Versions, expected.Annotations)
		}
	}
}

// What apps and namespaces say of history, in every spelling.
func TestHistoryOfApps(t *testing.T) {
	on, off := true, false
	type said struct {
		events, presence storage.AppHistory
		annotations      *bool
	}
	full := said{
		storage.AppHistory{Enabled: &on, Rewind: &off, Retention: 7 * time.Second, MaxItems: 8, MaxBytes: 9 << 30},
		storage.AppHistory{Enabled: &off, Retention: 10 * time.Second, MaxItems: 11, MaxBytes: 12},
		&on,
	}
	for words, want := range map[string]said{
		"":                           {},
		"history on":                 {events: storage.AppHistory{Enabled: &on}},
		"history off":                {events: storage.AppHistory{Enabled: &off}},
		"history {\nretention 7s\n}": {events: storage.AppHistory{Retention: 7 * time.Second}},
		"presence_history on":        {presence: storage.AppHistory{Enabled: &on}},
		"annotations off":            {annotations: &off},
		"history {\nenabled on\nrewind off\nretention 7s\nmax_items_per_channel 8\nmax_bytes_per_channel 9GiB\n}\npresence_history {\nenabled off\nretention 10s\nmax_events_per_channel 11\nmax_bytes_per_channel 12\n}\nannotations on":                                                                           full,
		"policy {\nhistory {\nenabled on\nrewind_enabled off\nretention_window_seconds 7\nmax_messages_per_channel 8\nmax_bytes_per_channel 9663676416\n}\npresence_history {\nenabled off\nretention_seconds 10\nmax_events_per_channel 11\nmax_bytes_per_channel 12\n}\nchannels {\nannotations_enabled on\n}\n}": full,
	} {
		h := mustParse(t, "history memory\nversioned_messages on\nannotations on\napp demo {\nkey k\nsecret s\n"+words+"\n}")
		app := mustResolve(t, &h.HubConfig, nil).apps[0]
		if got := (said{app.History, app.PresenceHistory, app.Annotations}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", words, got, want)
		}
	}
	full.events.Enabled = nil
	for words, want := range map[string]said{
		"":                     {},
		"presence_history off": {presence: storage.AppHistory{Enabled: &off}},
		"history {\nrewind off\nretention_seconds 7\nmax_messages_per_channel 8\nmax_bytes_per_channel 9GiB\n}\npresence_history {\nenabled off\nretention 10s\nmax_events_per_channel 11\nmax_bytes_per_channel 12\n}\nannotations_enabled on": full,
	} {
		app := appOf(t, "namespace n {\n"+words+"\n}")
		n := app.Namespaces["n"]
		if got := (said{n.History, n.PresenceHistory, n.Annotations}); !reflect.DeepEqual(got, want) || app.History != (storage.AppHistory{}) {
			t.Errorf("%s\ngot  %+v\nwant %+v", words, got, want)
		}
	}
}

// A history is opened if anything is to be kept, or if the configuration names where.
func TestWhenHistoryIsOpened(t *testing.T) {
	app := func(words string) string { return "app demo {\nkey k\nsecret s\n" + words + "\n}" }
	env := map[string]string{"HISTORY_BACKEND": "memory", "HISTORY_MAX_PAGE_SIZE": "7"}
	for block, c := range map[string]struct {
		env  map[string]string
		want bool
	}{
		appBlock:                   {nil, false},
		"history off\n" + appBlock: {nil, false},
		"history {\nenabled off\nmax_page_size 5\n}\n" + appBlock: {nil, false},
		"presence_history off\n" + appBlock:                       {nil, false},
		"history memory\n" + appBlock:                             {nil, true},
		"history memory {\nenabled off\n}\n" + appBlock:           {nil, true}, // for apps of a store
		app("history off"):                                        {env, false},
		app("history {\nretention 5s\n}"):                         {env, false},
		app("history on"):                                         {env, true},
		app("presence_history on"):                                {env, true},
		app("policy {\nhistory on\n}"):                            {env, true},
		app("namespace n {\npresence_history on\n}"):              {env, true},
		app("namespace n {\nhistory {\nretention 5s\n}\n}"):       {env, false},
		"presence_history on\n" + appBlock:                        {env, true},
		"history on\n" + appBlock:                                 {env, true},
		"env_overrides on\n" + appBlock:                           {env, false}, // variables alone name no place
	} {
		d := mustResolve(t, &mustParse(t, block).HubConfig, c.env)
		if opened := d.writes != nil; opened != c.want || opened && d.drivers[kindHistory].driver != "memory" {
			t.Errorf("%s\nopened: %v, %+v", block, opened, d.drivers[kindHistory])
		}
		events := strings.Contains(block, "history memory\n") || strings.HasPrefix(block, "history on")
		if d.settings.History.Enabled != events {
			t.Errorf("%s\nhistory of all apps: %v", block, d.settings.History.Enabled)
		}
	}
	// The default is a file of this node, or an error while this Caddy has none.
	d, err := resolve(&mustParse(t, "history on\n"+appBlock).HubConfig, nil)
	if _, missing := findDriver(namespaces[kindHistory], "sqlite"); missing != nil {
		expectError(t, err, "history: "+missing.Error())
	} else if err != nil || d.drivers[kindHistory].driver != "sqlite" {
		t.Errorf("%v %+v", err, d)
	}
}

// A history uses the connection settings of the database block with its name.
func TestHistoryInheritsConnections(t *testing.T) {
	h := new(Handler)
	err := json.Unmarshal([]byte(`{"history": {"driver": "counted"}, "database": {"redis": {"host": "h"}}, "apps": [{"id": "a", "key": "k", "secret": "s"}]}`), h)
	if err != nil {
		t.Fatal(err)
	}
	shared := Databases{"counted": json.RawMessage(`{"host": "h", "name": "n", "port": 5}`)}
	for raw, want := range map[string]string{
		`{"driver": "counted"}`:              `{"host":"h"}`,
		`{"driver": "counted", "name": "x"}`: `{"host":"h","name":"x"}`,
		`{"driver": "counted", "host": "x"}`: `{"host":"x"}`,
	} {
		if choice, err := chooseDriver(kindHistory, json.RawMessage(raw), shared); err != nil || string(choice.config) != want {
			t.Errorf("%s: %s, %v", raw, choice.config, err)
		}
	}
	if d := mustResolve(t, &h.HubConfig, nil); strings.Join(d.warnings, " ") != "no driver uses the settings of database redis" {
		t.Errorf("warnings: %q", d.warnings)
	}
}

// Annotations that have no effect are warned of.
func TestIdleAnnotations(t *testing.T) {
	const apps = "app a {\nkey a\nsecret s\nannotations on\n}\napp b {\nkey b\nsecret s\nannotations off\n}\napp c {\nkey c\nsecret s\nnamespace n {\nannotations on\n}\n}"
	for block, want := range map[string]string{
		"":                                   "annotations of these apps have no effect: a, c; the hub has none unless it says annotations on",
		"versioned_messages on\nannotations": "",
	} {
		d := mustResolve(t, &mustParse(t, "history memory\n"+block+"\n"+apps).HubConfig, nil)
		if got := strings.Join(d.warnings, "; "); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", block, got, want)
		}
	}
}
