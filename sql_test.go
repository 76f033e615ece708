package sockudo

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/storage"
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

func TestSQLiteQueueModule(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for text, want := range map[string]string{
		"sqlite": "",
		"sqlite {\n path {env.HOME}/q.db\n max_bytes 1MiB\n reliability {\n lease 10s\n lease_renew 1s\n capacity 5\n}\n}": "",
		"sqlite {\n path {env.TEST_NO_SUCH_VARIABLE}\n}":                                                                   "path:",
		"sqlite {\n reliability {\n lease 5s\n}\n}":                                                                        "",
		"sqlite {\n reliability {\n lease 5s\n lease_renew 5s\n}\n}":                                                       "lease_renew 5s must be shorter than lease 5s",
		"sqlite {\n reliability {\n lease 5\n}\n}":                                                                         `lease: "5" has no unit`,
		"sqlite {\n reliability {\n retry_base 2m\n}\n}":                                                                   "retry_base 2m0s must not be longer than retry_max 1m0s",
		"sqlite {\n reliability {\n max_attempts 0\n}\n}":                                                                  "max_attempts must be at least 1",
		"sqlite {\n memory_capacity 5\n}":                                                                                  "memory_capacity is unknown to this driver",
	} {
		m := new(sql.QueueModule)
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
	}
	one, two := new(sql.QueueModule), new(sql.QueueModule)
	one.ForHub("a")
	two.ForHub("b")
	if one.Key() == two.Key() {
		t.Error("two hubs share a queue")
	}
}

// A queue is opened when the configuration names one, outlives a reload, and what
// it holds moves when another takes its place.
func TestQueueOfAHub(t *testing.T) {
	s, port := newServer(t), freePort(t)
	directive := func(queue string) string {
		return site(port, "sockudo {\n"+queue+"\n"+appBlock+"}")
	}
	queueOf := func() (q storage.Queue, driver string) {
		live, err := findHub("default").Live()
		if err != nil {
			t.Fatal(err)
		}
		defer live.Release()
		return live.Settings.Drivers.Queue, findHub("default").driverNames()[kindQueue]
	}
	s.mustLoad("", directive(""))
	if q, driver := queueOf(); q != nil || driver != "" {
		t.Errorf("without need there is a queue %T, %s", q, driver)
	}
	s.mustLoad("", directive("queue memory"))
	q, _ := queueOf()
	if err := q.Push(t.Context(), storage.Job{Queue: "jobs", ID: "1", Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	s.mustLoad("", directive("queue sqlite"))
	file, driver := queueOf()
	if stats, err := file.Stats(t.Context(), "jobs"); err != nil || stats.Ready != 1 || driver != "sqlite" {
		t.Errorf("after the change: %+v, %v, %s", stats, err, driver)
	}
	s.mustLoad("", directive("queue sqlite {\nreliability {\nmax_attempts 3\n}\n}"))
	if again, _ := queueOf(); again != file {
		t.Error("a changed bound opened the file again")
	}
	if status, _ := request(t, "GET", "http://127.0.0.1:"+port+"/up", nil); status != 200 {
		t.Errorf("/up: %d", status)
	}
}
