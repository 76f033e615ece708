package sockudo

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage/batch"
)

// Every variable changes what it names, over what is written, and switches nothing else
// on.
func TestHistoryVariables(t *testing.T) {
	type change = func(*realtime.Settings)
	const memory = "history memory {\nenabled off\n}\n"
	second := time.Second
	for assignment, c := range map[string]struct {
		block  string
		change change
	}{
		"HISTORY_ENABLED=true":                          {memory, func(s *realtime.Settings) { s.History.Enabled = true }},
		"HISTORY_ENABLED=no":                            {"history memory {\nmax_page_size 7\n}", func(s *realtime.Settings) { s.History.PageSize = 7 }},
		"HISTORY_ENABLED=off":                           {"history on", func(*realtime.Settings) {}},
		"HISTORY_REWIND_ENABLED=0":                      {"", func(s *realtime.Settings) { s.History.Rewind = false }},
		"HISTORY_RETENTION_WINDOW_SECONDS=7":            {memory, func(s *realtime.Settings) { s.History.Retention = 7 * second }},
		"HISTORY_RETENTION_WINDOW_SECONDS=8":            {"", func(s *realtime.Settings) { s.History.Retention = 8 * second }},
		"HISTORY_MAX_PAGE_SIZE=7":                       {"", func(s *realtime.Settings) { s.History.PageSize = 7 }},
		"HISTORY_MAX_MESSAGES_PER_CHANNEL=7":            {"", func(s *realtime.Settings) { s.History.MaxItems = 7 }},
		"HISTORY_MAX_MESSAGES_PER_CHANNEL=0":            {"history off", func(*realtime.Settings) {}},
		"HISTORY_MAX_BYTES_PER_CHANNEL=7":               {"", func(s *realtime.Settings) { s.History.MaxBytes = 7 }},
		"HISTORY_MAX_BYTES_PER_CHANNEL=none":            {"history memory {\nenabled off\nmax_bytes_per_channel 5\n}", func(*realtime.Settings) {}},
		"HISTORY_PURGE_INTERVAL_SECONDS=70":             {"", func(s *realtime.Settings) { s.History.Purge = 70 * second }},
		"HISTORY_BACKEND=memory":                        {"history on", func(s *realtime.Settings) { s.History.Enabled = true }},
		"HISTORY_WRITER_SHARDS=7":                       {memory, func(*realtime.Settings) {}},
		"HISTORY_WRITER_QUEUE_CAPACITY=7":               {memory, func(*realtime.Settings) {}},
		"PRESENCE_HISTORY_ENABLED=1":                    {memory, func(s *realtime.Settings) { s.Members.Enabled = true }},
		"PRESENCE_HISTORY_ENABLED=0":                    {"presence_history on", func(*realtime.Settings) {}},
		"PRESENCE_HISTORY_MAX_PAGE_SIZE=7":              {"", func(s *realtime.Settings) { s.Members.PageSize = 7 }},
		"VERSIONED_MESSAGES_ENABLED=1":                  {"history memory", func(s *realtime.Settings) { s.History.Enabled, s.Versions.Enabled = true, true }},
		"VERSIONED_MESSAGES_ENABLED=0":                  {"versioned_messages on", func(*realtime.Settings) {}},
		"VERSIONED_MESSAGES_MAX_PAGE_SIZE=7":            {"", func(s *realtime.Settings) { s.Versions.PageSize = 7 }},
		"VERSIONED_MESSAGES_DRIVER=memory":              {"history memory\nversioned_messages redis", func(s *realtime.Settings) { s.History.Enabled, s.Versions.Enabled = true, true }},
		"ANNOTATIONS_ENABLED=0":                         {"annotations on", func(*realtime.Settings) {}},
		"ANNOTATIONS_ENABLED=1":                         {"history memory\nversioned_messages on", func(s *realtime.Settings) { s.History.Enabled, s.Versions.Enabled, s.Annotations = true, true, true }},
		"PRESENCE_HISTORY_MAX_BYTES_PER_CHANNEL=7":      {"", func(s *realtime.Settings) { s.Members.MaxBytes = 7 }},
		"PRESENCE_HISTORY_MAX_EVENTS_PER_CHANNEL=7":     {"", func(s *realtime.Settings) { s.Members.MaxItems = 7 }},
		"PRESENCE_HISTORY_RETENTION_WINDOW_SECONDS=7":   {"", func(s *realtime.Settings) { s.Members.Retention = 7 * second }},
		"VERSIONED_MESSAGES_RETENTION_WINDOW_SECONDS=7": {"", func(s *realtime.Settings) { s.Versions.Retention = 7 * second }},
		"VERSIONED_MESSAGES_RETENTION_WINDOW_SECONDS=0": {"versioned_messages {\nenabled off\nretention 7s\n}", func(*realtime.Settings) {}},
	} {
		name, value, _ := strings.Cut(assignment, "=")
		want := realtime.DefaultSettings()
		want.NodeID, want.Log = processID(), nil
		c.change(&want)
		d, err := resolveEnv(t, c.block, map[string]string{name: value})
		if err != nil {
			t.Errorf("%s: %v", assignment, err)
			continue
		}
		d.settings.Log = nil
		if !reflect.DeepEqual(d.settings, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", assignment, d.settings, want)
		}
		if !slices.Equal(d.variables, []string{name}) {
			t.Errorf("%s: applied %q", assignment, d.variables)
		}
		if d.writes != nil && !strings.Contains(c.block, "memory") && name != "HISTORY_BACKEND" {
			t.Errorf("%s opens a history", assignment)
		}
	}
}

// How history is written, and where, can be said by variables too.
func TestHistoryDriverVariables(t *testing.T) {
	writes := map[string]string{"HISTORY_WRITER_SHARDS": "7", "HISTORY_WRITER_QUEUE_CAPACITY": "8"}
	d, err := resolveEnv(t, "history memory", writes)
	if err != nil || *d.writes != (batch.Options{Shards: 7, Queue: 8, WriteTimeout: 5 * time.Second}) {
		t.Errorf("%v %+v", err, d.writes)
	}
	// A driver that is selected keeps its own words, and no others.
	for block, want := range map[string]string{
		"history memory {\nmax_size 5\n}": `{"max_size":5}`, "history counted {\nname x\n}": `{}`, "history on": `{}`,
	} {
		d, err := resolveEnv(t, block, map[string]string{"HISTORY_BACKEND": "Memory"})
		if err != nil || d.drivers[kindHistory].driver != "memory" || string(d.drivers[kindHistory].config) != want {
			t.Errorf("%s: %v %+v", block, err, d)
		}
	}
	// Those of PostgreSQL count for that alone.
	env := map[string]string{"HISTORY_POSTGRES_TABLE_PREFIX": "a{b}", "HISTORY_POSTGRES_WRITE_TIMEOUT_MS": "1500"}
	d, err = resolveEnv(t, "history memory", env)
	if err != nil || len(d.variables) != 0 || d.writes.WriteTimeout != 5*time.Second || string(d.drivers[kindHistory].config) != "{}" {
		t.Errorf("%v %+v", err, d)
	}
	e, err := readEnv(envOf(env))
	if err != nil {
		t.Fatal(err)
	}
	c := &HubConfig{History: &HistoryConfig{Driver: "pgsql"}}
	if err := e.apply(c); err != nil {
		t.Fatal(err)
	}
	if got := string(rawOf(c.History)); got != `{"driver":"pgsql","table_prefix":"a\\{b}"}` || c.History.WriteTimeout != "1500ms" {
		t.Errorf("%s, %s", got, c.History.WriteTimeout)
	}
	if slices.Sort(e.names); !slices.Equal(e.names, []string{"HISTORY_POSTGRES_TABLE_PREFIX", "HISTORY_POSTGRES_WRITE_TIMEOUT_MS"}) {
		t.Errorf("applied %q", e.names)
	}
	// A history in Redis goes where REDIS_URL says, as everything in Redis does.
	if e, err = readEnv(envOf(map[string]string{"REDIS_URL": "redis://other:6379/1"})); err != nil {
		t.Fatal(err)
	}
	c = &HubConfig{History: &HistoryConfig{Driver: "redis", options: map[string]json.RawMessage{"host": json.RawMessage(`"h"`)}}}
	if err := e.apply(c); err != nil {
		t.Fatal(err)
	}
	if got := string(rawOf(c.History)); got != `{"driver":"redis","url":"redis://other:6379/1"}` {
		t.Error(got)
	}
}
