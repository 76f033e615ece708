package scylladb

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/certtest"
	"github.com/sockudo/caddy-sockudo/internal/cqltest"
	"github.com/sockudo/caddy-sockudo/internal/words"
)

// provisioned reads a block as Caddy does.
func provisioned(text string) (*AppManagerModule, error) {
	m := new(AppManagerModule)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	if err == nil {
		err = m.Validate()
	}
	return m, err
}

// provisionedHistory is provisioned for the other module.
func provisionedHistory(text string) (*HistoryModule, error) {
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

func TestBlocks(t *testing.T) {
	t.Setenv("TEST_SCYLLADB_PASSWORD", "hush")
	t.Setenv("TEST_SCYLLADB_NODES", "a:1, b:1")
	certificates := certtest.New(t)
	ca, err := os.ReadFile(certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Options{
		"scylladb":                                        {},
		"scylladb {\n nodes db\n}":                        {Nodes: []string{"db:9042"}},
		"scylladb {\n nodes a:7 [::1]:7\n}":               {Nodes: []string{"a:7", "[::1]:7"}},
		"scylladb {\n nodes {env.TEST_SCYLLADB_NODES}\n}": {Nodes: []string{"a:1", "b:1"}},
		"scylladb {\n keyspace ks\n table_name t\n replication_class NetworkTopologyStrategy\n replication_factor 5\n}": {Keyspace: "ks", Table: "t", ReplicationClass: "NetworkTopologyStrategy", ReplicationFactor: 5},
		"scylladb {\n username u\n password {env.TEST_SCYLLADB_PASSWORD}\n}":                                            {Username: "u", Password: "hush"},
		"scylladb {\n tls\n}":                                   {TLS: &words.TLSOptions{}},
		"scylladb {\n tls {\n insecure_skip_verify\n}\n}":       {TLS: &words.TLSOptions{SkipVerify: true}},
		"scylladb {\n tls {\n ca " + certificates.CA + "\n}\n}": {TLS: &words.TLSOptions{CA: ca}},
	} {
		m, err := provisioned(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(m.options, want) {
			t.Errorf("%s: %+v, want %+v", text, m.options, want)
		}
	}
	for text, want := range map[string]string{
		"scylladb {\n password {env.TEST_NO_SUCH_VARIABLE}\n username u\n}": "password:",
		"scylladb {\n password {env.TEST_SCYLLADB_PASSWORD}\n}":             "username and password go together",
		"scylladb {\n nodes a b/c\n}":                                       `nodes: "b/c" is not like HOST:PORT`,
		"scylladb {\n nodes a:1 b:2\n}":                                     "nodes: b:2 has another port",
		"scylladb {\n nodes\n}":                                             "nodes takes one value or more",
		"scylladb {\n keyspace a/b\n}":                                      `keyspace "a/b"`,
		"scylladb {\n table_name a-b\n}":                                    `table_name "a-b"`,
		"scylladb {\n replication_class \"a b\"\n}":                         `replication_class "a b"`,
		"scylladb {\n replication_factor x\n}":                              `replication_factor: "x" is not a whole number`,
		"scylladb {\n keyspace a\n keyspace b\n}":                           "written twice",
		"scylladb {\n host db\n}":                                           "host is unknown to this driver",
		"scylladb {\n tls on\n}":                                            "wrong argument count",
		"scylladb {\n tls {\n ca /no/such/file\n}\n}":                       "tls: ca: open /no/such/file",
		"scylladb apps":                                                     "wrong argument count",
	} {
		if _, err := provisioned(text); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestKeyTellsTablesApart(t *testing.T) {
	key := func(text string) string {
		m, err := provisioned("scylladb {\n" + text + "\n}")
		if err != nil {
			t.Fatal(err)
		}
		return m.Key()
	}
	one := key("nodes a b")
	for _, same := range []string{"nodes b a", "nodes a:9042 b", "nodes a b\n keyspace sockudo\n table_name applications\n replication_factor 1"} {
		if key(same) != one {
			t.Errorf("%q has another key", same)
		}
	}
	for _, other := range []string{"nodes a", "nodes a b\n keyspace k", "nodes a b\n table_name t", "nodes a b\n username u\n password p", "nodes a b\n tls"} {
		if key(other) == one {
			t.Errorf("%q has the key of another table", other)
		}
	}
}

func TestBlocksOfPushStores(t *testing.T) {
	t.Setenv("TEST_SCYLLADB_PASSWORD", "hush")
	read := func(text string) (*PushStoreModule, error) {
		m := new(PushStoreModule)
		err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser("scylladb {\n" + text + "\n}"))
		if err == nil {
			err = m.Provision(caddy.Context{})
		}
		if err == nil {
			err = m.Validate()
		}
		return m, err
	}
	m, err := read("nodes db\n keyspace ks\n table_prefix p\n username u\n password {env.TEST_SCYLLADB_PASSWORD}\n replication_class NetworkTopologyStrategy\n replication_factor 5")
	if err != nil {
		t.Fatal(err)
	}
	want := PushOptions{Options{Nodes: []string{"db:9042"}, Keyspace: "ks", Username: "u", Password: "hush", ReplicationClass: "NetworkTopologyStrategy", ReplicationFactor: 5}, "p"}
	if !reflect.DeepEqual(m.options, want) || m.Driver() != "scylladb" || m.OpenTimeout() != OpenTimeout {
		t.Errorf("%+v, want %+v", m.options, want)
	}
	for text, want := range map[string]string{
		"table_prefix a-b": `table_prefix "a-b"`, "table_name a": "table_name is unknown to this driver", "nodes a:1 b:2": "nodes: b:2 has another port",
		"tls {\n ca /no/file\n}": "tls: ca: open /no/file",
	} {
		if _, err := read(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	one, err := read("")
	other, otherErr := read("table_prefix sockudo_push\n nodes 127.0.0.1\n replication_factor 2")
	third, thirdErr := read("table_prefix sockudo_history")
	if err := errors.Join(err, otherErr, thirdErr); err != nil || one.Key() != other.Key() || one.Key() == third.Key() {
		t.Errorf("keys %q, %q and %q, %v", one.Key(), other.Key(), third.Key(), err)
	}
	_, o := server(t, cqltest.Options{})
	if m, err = read("nodes " + o.Nodes[0] + "\n replication_factor 1"); err != nil {
		t.Fatal(err)
	}
	s, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Apply(t.Context(), pushPut(device("a"), "")), s.Close()); err != nil {
		t.Error(err)
	}
	info, err := caddy.GetModule("sockudo.push_stores.scylladb")
	if err != nil || info.New().(*PushStoreModule).Driver() != "scylladb" {
		t.Errorf("the module is %v, %v", info, err)
	}
}
