package sockudo

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/storage/sql"
)

func TestPostgresModule(t *testing.T) {
	t.Setenv("TEST_DATABASE_PASSWORD", "hush")
	for text, want := range map[string]string{
		"postgres {\n host db\n password {env.TEST_DATABASE_PASSWORD}\n}": "",
		"postgres {\n password {env.TEST_NO_SUCH_VARIABLE}\n}":            "password:",
		"postgres {\n dsn x\n host y\n}":                                  "dsn must not be written beside",
		"postgres {\n port 70000\n}":                                      "port 70000",
		"postgres {\n table_name a-b\n}":                                  `table_name "a-b"`,
		"postgres {\n prot 1\n}":                                          "prot is unknown to this driver",
		"postgres {\n port x\n}":                                          `port: "x" is not a whole number`,
		"postgres {\n port 1\n port 2\n}":                                 "written twice",
		"postgres {\n port\n}":                                            "port takes one value",
	} {
		m := new(sql.PostgresModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if want == "" && !strings.Contains(m.Key(), "hush") {
			t.Error("the password is not that of the environment")
		}
	}
}

func TestKeyTellsServersApart(t *testing.T) {
	key := func(s sql.Server) string {
		if err := s.Provision(caddy.Context{}); err != nil {
			t.Fatal(err)
		}
		return s.Key()
	}
	one := sql.Server{Host: "a", Password: "b"}
	if again := one; key(one) != key(again) {
		t.Error("one server has two keys")
	}
	for _, other := range []sql.Server{{Host: "a", Password: "c"}, {Host: "b", Password: "b"}, {Host: "a", Password: "b", TableName: "t"}} {
		if key(one) == key(other) {
			t.Errorf("%+v has the key of another server", other)
		}
	}
}
