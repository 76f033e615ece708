package sql

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/storage"
)

// historyModule is what the three modules have in common.
type historyModule interface {
	caddy.Module
	caddy.Provisioner
	caddy.Validator
	caddyfile.Unmarshaler
	storage.Spec[storage.History]
}

// readHistory makes the module of a driver's block.
func readHistory(t *testing.T, text string) (historyModule, error) {
	t.Helper()
	driver, _, _ := strings.Cut(text, " ")
	info, err := caddy.GetModule("sockudo.histories." + driver)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := info.New().(historyModule)
	if !ok {
		t.Fatalf("%T is no module of history", info.New())
	}
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		return m, err
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		return m, err
	}
	return m, m.Validate()
}

func TestHistoryModules(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("TEST_DATABASE_PASSWORD", "hush")
	for text, want := range map[string]string{
		"sqlite": "",
		"sqlite {\n path {env.XDG_DATA_HOME}/h.db\n table_prefix p\n write_timeout 2s\n}": "",
		"sqlite {\n path {env.TEST_NO_SUCH_VARIABLE}\n}":                                  "path:",
		"sqlite {\n table_prefix a-b\n}":                                                  `table_prefix "a-b"`,
		"sqlite {\n write_timeout -2s\n}":                                                 "write_timeout",
		"sqlite {\n write_timeout 2\n}":                                                   `write_timeout: "2" has no unit`,
		"sqlite {\n table_name p\n}":                                                      "table_name is unknown to this driver",
		"postgres {\n host db\n password {env.TEST_DATABASE_PASSWORD}\n}":                 "",
		"postgres {\n dsn x\n host y\n}":                                                  "dsn must not be written beside",
		"postgres {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":                            "password:",
		"postgres {\n table_prefix a.b\n}":                                                `table_prefix "a.b"`,
		"mysql {\n port 70000\n}":                                                         "port 70000",
		"mysql {\n connection_pool_size -1\n}":                                            `connection_pool_size: "-1"`,
		"mysql {\n write_timeout 1s\n write_timeout 2s\n}":                                "written twice",
	} {
		m, err := readHistory(t, text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if driver := string(m.CaddyModule().ID)[len("sockudo.histories."):]; m.Driver() != driver {
			t.Errorf("%s: the driver is called %s", text, m.Driver())
		}
	}
}

// Specs with the same key share one history, which takes the bound of the newer one.
func TestHistoryModuleKeys(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	key := func(text string) string {
		m, err := readHistory(t, text)
		if err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	for _, same := range [][2]string{
		{"sqlite", "sqlite {\n table_prefix sockudo_history\n write_timeout 9s\n}"},
		{"mysql {\n host a\n}", "mysql {\n host a\n write_timeout 9s\n}"},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%q have two keys", same)
		}
	}
	for _, other := range [][2]string{
		{"sqlite", "sqlite {\n table_prefix other\n}"},
		{"sqlite", "sqlite {\n path other.db\n}"},
		{"mysql {\n host a\n}", "mysql {\n host b\n}"},
		{"mysql {\n password a\n}", "mysql {\n password b\n}"},
		{"mysql {\n host a\n}", "mysql {\n host a\n table_prefix other\n}"},
	} {
		if key(other[0]) == key(other[1]) {
			t.Errorf("%q have one key", other)
		}
	}
}

func TestHistoryModuleOpens(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	m, err := readHistory(t, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	h, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	if found, err := filepath.Glob(filepath.Join(dir, "*", "sockudo", "history.db")); err != nil || len(found) != 1 {
		t.Errorf("the files are %v, %v", found, err)
	}
	a := &storage.LogAppend{Key: channel(0), Fresh: "id"}
	if h.Append(context.Background(), []*storage.LogAppend{a}); a.Err != nil {
		t.Error(a.Err)
	}
	newer, err := readHistory(t, "sqlite {\n write_timeout 7s\n}")
	if err != nil {
		t.Fatal(err)
	}
	tuned, ok := h.(*History)
	if !ok {
		t.Fatalf("%T is opened", h)
	}
	if err := tuned.Tune(newer); err != nil || tuned.limit() != 7*time.Second {
		t.Errorf("after a reload the bound is %v, %v", tuned.limit(), err)
	}
	if err := tuned.Tune(m); err != nil || tuned.limit() != tablesTimeout {
		t.Errorf("after another the bound is %v, %v", tuned.limit(), err)
	}
	if tuned.Tune(new(CacheModule)) == nil {
		t.Error("a module of something else tunes it")
	}
}

// pushModule is what the three modules have in common.
type pushModule interface {
	caddy.Module
	caddy.Provisioner
	caddy.Validator
	caddyfile.Unmarshaler
	storage.Spec[storage.PushStore]
}

// readPush makes the module of a driver's block.
func readPush(t *testing.T, text string) (pushModule, error) {
	t.Helper()
	driver, _, _ := strings.Cut(text, " ")
	info, err := caddy.GetModule("sockudo.push_stores." + driver)
	if err != nil {
		t.Fatal(err)
	}
	m, ok := info.New().(pushModule)
	if !ok {
		t.Fatalf("%T is no module of a push store", info.New())
	}
	if err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text)); err != nil {
		return m, err
	}
	if err := m.Provision(caddy.Context{}); err != nil {
		return m, err
	}
	return m, m.Validate()
}

func TestPushModules(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("TEST_DATABASE_PASSWORD", "hush")
	for text, want := range map[string]string{
		"sqlite": "",
		"sqlite {\n path {env.XDG_DATA_HOME}/h.db\n table_prefix p\n write_timeout 2s\n}": "",
		"sqlite {\n path {env.TEST_NO_SUCH_VARIABLE}\n}":                                  "path:",
		"sqlite {\n table_prefix a-b\n}":                                                  `table_prefix "a-b"`,
		"sqlite {\n write_timeout -2s\n}":                                                 "write_timeout",
		"sqlite {\n write_timeout 2\n}":                                                   `write_timeout: "2" has no unit`,
		"sqlite {\n host p\n}":                                                            "host is unknown to this driver",
		"postgres {\n host db\n password {env.TEST_DATABASE_PASSWORD}\n}":                 "",
		"postgres {\n dsn x\n host y\n}":                                                  "dsn must not be written beside",
		"postgres {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":                            "password:",
		"postgres {\n table_prefix a.b\n}":                                                `table_prefix "a.b"`,
		"mysql {\n port 70000\n}":                                                         "port 70000",
		"mysql {\n connection_pool_size -1\n}":                                            `connection_pool_size: "-1"`,
		"mysql {\n write_timeout 1s\n write_timeout 2s\n}":                                "written twice",
	} {
		m, err := readPush(t, text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if driver := string(m.CaddyModule().ID)[len("sockudo.push_stores."):]; m.Driver() != driver {
			t.Errorf("%s: the driver is called %s", text, m.Driver())
		}
	}
}

// Specs with the same key share one store, which takes the bound of the newer one.
func TestPushModuleKeys(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	key := func(text string) string {
		m, err := readPush(t, text)
		if err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	for _, same := range [][2]string{
		{"sqlite", "sqlite {\n table_prefix sockudo_push\n write_timeout 9s\n}"},
		{"mysql {\n host a\n}", "mysql {\n host a\n write_timeout 9s\n}"},
	} {
		if key(same[0]) != key(same[1]) {
			t.Errorf("%q have two keys", same)
		}
	}
	for _, other := range [][2]string{
		{"sqlite", "sqlite {\n table_prefix other\n}"},
		{"sqlite", "sqlite {\n path other.db\n}"},
		{"mysql {\n host a\n}", "mysql {\n host b\n}"},
		{"mysql {\n password a\n}", "mysql {\n password b\n}"},
		{"mysql {\n host a\n}", "mysql {\n host a\n table_prefix other\n}"},
	} {
		if key(other[0]) == key(other[1]) {
			t.Errorf("%q have one key", other)
		}
	}
}

func TestPushModuleOpens(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	m, err := readPush(t, "sqlite")
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if found, err := filepath.Glob(filepath.Join(dir, "*", "sockudo", "push.db")); err != nil || len(found) != 1 {
		t.Errorf("the files are %v, %v", found, err)
	}
	if err := s.Apply(t.Context(), pushPut("a", 1)); err != nil {
		t.Error(err)
	}
	newer, err := readPush(t, "sqlite {\n write_timeout 7s\n}")
	if err != nil {
		t.Fatal(err)
	}
	tuned, ok := s.(*PushStore)
	if !ok {
		t.Fatalf("%T is opened", s)
	}
	if err := tuned.Tune(newer); err != nil || tuned.limit() != 7*time.Second {
		t.Errorf("after a reload the bound is %v, %v", tuned.limit(), err)
	}
	if err := tuned.Tune(m); err != nil || tuned.limit() != tablesTimeout {
		t.Errorf("after another the bound is %v, %v", tuned.limit(), err)
	}
	if tuned.Tune(new(CacheModule)) == nil {
		t.Error("a module of something else tunes it")
	}
}
