package surrealdb

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// historyModule reads a block as Caddy does.
func historyModule(text string) (*HistoryModule, error) {
	m := new(HistoryModule)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	if err == nil {
		err = m.Validate()
	}
	return m, err
}

func TestHistoryModule(t *testing.T) {
	t.Setenv("TEST_SURREAL_PASS", "hush")
	for text, want := range map[string]string{
		"surrealdb": "",
		"surrealdb {\n url wss://db/surreal\n namespace my-ns\n database db\n username u\n password {env.TEST_SURREAL_PASS}\n auth_level database\n table_prefix h_1\n tls {\n insecure_skip_verify\n}\n}": "",
		"surrealdb {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":                  "password:",
		"surrealdb {\n table_prefix a-b\n}":                                      `table_prefix "a-b"`,
		"surrealdb {\n table_prefix " + strings.Repeat("a", maxPrefix+1) + "\n}": "up to 100 letters",
		"surrealdb {\n table_name a\n}":                                          "table_name is unknown to this driver",
		"surrealdb {\n url ws://u:hush@db:8000\n}":                               "url is not one such as",
		"surrealdb {\n url ws://db\n tls\n}":                                     "tls is written, but url does not begin with wss://",
		"surrealdb {\n auth_level record\n password {env.TEST_SURREAL_PASS}\n}":  `auth_level "record"`,
		"surrealdb {\n table_prefix a\n table_prefix b\n}":                       "written twice",
	} {
		m, err := historyModule(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if strings.Contains(text, "my-ns") && !strings.Contains(m.Key(), "hush") {
			t.Error("the secret is not that of the environment")
		}
	}
	if m := new(HistoryModule); string(m.CaddyModule().ID) != "sockudo.histories."+m.Driver() || m.OpenTimeout() != OpenTimeout {
		t.Errorf("the module is %v of the driver %q", m.CaddyModule(), m.Driver())
	}
}

func TestKeyTellsHistoriesApart(t *testing.T) {
	t.Parallel()
	keys := map[string]string{}
	for _, text := range []string{
		"surrealdb", "surrealdb {\n table_prefix a\n}", "surrealdb {\n database a\n}", "surrealdb {\n namespace a\n}", "surrealdb {\n username a\n}",
		"surrealdb {\n password a\n}", "surrealdb {\n url wss://127.0.0.1:8000\n}", "surrealdb {\n url wss://127.0.0.1:8000\n tls {\n insecure_skip_verify\n}\n}",
	} {
		m, err := historyModule(text)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := keys[m.Key()]; twice {
			t.Errorf("%s has the key of %s", text, other)
		}
		keys[m.Key()] = text
	}
	same, err := historyModule("surrealdb {\n url http://127.0.0.1:8000/\n table_prefix sockudo_history\n}")
	if err != nil || keys[same.Key()] != "surrealdb" {
		t.Errorf("what is written out has another key: %v", err)
	}
}

// pushModule reads a block as Caddy does.
func pushModule(text string) (*PushStoreModule, error) {
	m := new(PushStoreModule)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	if err == nil {
		err = m.Validate()
	}
	return m, err
}

func TestPushStoreModule(t *testing.T) {
	t.Setenv("TEST_SURREAL_PASS", "hush")
	keys := map[string]string{}
	for text, want := range map[string]string{
		"surrealdb": "", "surrealdb {\n table_name a\n}": "", "surrealdb {\n database a\n}": "", "surrealdb {\n password a\n}": "",
		"surrealdb {\n url wss://db/surreal\n namespace my-ns\n database db\n username u\n password {env.TEST_SURREAL_PASS}\n auth_level database\n table_name h_1\n tls {\n insecure_skip_verify\n}\n}": "",
		"surrealdb {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":                 "password:",
		"surrealdb {\n table_name a-b\n}":                                       `table_name "a-b"`,
		"surrealdb {\n table_name " + strings.Repeat("a", maxPrefix+1) + "\n}":  "longer than 100 characters",
		"surrealdb {\n table_prefix a\n}":                                       "table_prefix is unknown to this driver",
		"surrealdb {\n url ws://u:hush@db:8000\n}":                              "url is not one such as",
		"surrealdb {\n auth_level record\n password {env.TEST_SURREAL_PASS}\n}": `auth_level "record"`,
	} {
		m, err := pushModule(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if other, twice := keys[m.Key()]; twice && want == "" {
			t.Errorf("%s has the key of %s", text, other)
		}
		if want == "" {
			keys[m.Key()] = text
		}
		if strings.Contains(text, "my-ns") && !strings.Contains(m.Key(), "hush") {
			t.Error("the secret is not that of the environment")
		}
	}
	same, err := pushModule("surrealdb {\n url http://127.0.0.1:8000/\n table_name sockudo_push\n}")
	if err != nil || keys[same.Key()] != "surrealdb" {
		t.Errorf("what is written out has another key: %v", err)
	}
	if string(same.CaddyModule().ID) != "sockudo.push_stores."+same.Driver() || same.OpenTimeout() != OpenTimeout {
		t.Errorf("the module is %v of the driver %q", same.CaddyModule(), same.Driver())
	}
	o := standing(t)
	open := &PushStoreModule{Login: Login{URL: o.URL, Namespace: o.Namespace, Database: o.Database, Username: o.Username, Password: o.Password}}
	if err := open.Provision(caddy.Context{}); err != nil {
		t.Fatal(err)
	}
	s, err := open.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Apply(t.Context(), pushPut("a", "1")); err != nil {
		t.Error(err)
	}
}
