package sockudo

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// overridden is a block under an environment.
func overridden(t *testing.T, block string, env map[string]string) (*HubConfig, *overrides, error) {
	t.Helper()
	c := mustParse(t, block).clone()
	o, err := readEnv(envOf(env))
	if err != nil {
		return c, o, err
	}
	return c, o, o.apply(c)
}

// Database blocks for Redis, and what variables make of them.
func TestRedisDatabaseVariables(t *testing.T) {
	type object = map[string]any
	for _, c := range []struct {
		name, block string
		env         map[string]string
		redis       object
		cluster     object
		warning     string
	}{
		{
			name: "parts alone", env: map[string]string{"DATABASE_REDIS_HOST": "h", "DATABASE_REDIS_PORT": "7", "DATABASE_REDIS_DB": "3", "DATABASE_REDIS_PASSWORD": "a{b", "DATABASE_REDIS_KEY_PREFIX": "x:"},
			redis: object{"host": "h", "port": 7.0, "db": 3.0, "password": `a\{b`, "prefix": "x:"},
		},
		{name: "a port over an address", block: "address h:1\npassword p", env: map[string]string{"DATABASE_REDIS_PORT": "7"}, redis: object{"host": "h", "port": 7.0, "password": "p"}},
		{name: "a host over an address", block: "address h:1", env: map[string]string{"DATABASE_REDIS_HOST": "i"}, redis: object{"host": "i", "port": 1.0}},
		{
			name: "a password over a url", block: "url rediss://u:old@h:7/2", env: map[string]string{"DATABASE_REDIS_PASSWORD": "new"},
			redis: object{"host": "h", "port": 7.0, "db": 2.0, "username": "u", "password": "new", "tls": object{}},
		},
		{name: "a prefix beside a url", block: "url redis://h", env: map[string]string{"DATABASE_REDIS_KEY_PREFIX": "x:"}, redis: object{"url": "redis://h", "prefix": "x:"}},
		{
			name: "a host that Sentinels tell", block: "sentinel {\n addresses a\n}", env: map[string]string{"DATABASE_REDIS_HOST": "i"},
			redis: object{"sentinel": object{"addresses": []any{"a"}}}, warning: "DATABASE_REDIS_HOST has no effect: database redis has sentinel",
		},
		{
			name: "TLS on", env: map[string]string{"DATABASE_REDIS_MASTER_TLS_ENABLED": "true", "DATABASE_REDIS_MASTER_TLS_CA_PATH": "/ca", "DATABASE_REDIS_MASTER_TLS_CLIENT_CERT_PATH": "/cert", "DATABASE_REDIS_MASTER_TLS_CLIENT_KEY_PATH": "/key", "DATABASE_REDIS_MASTER_TLS_ACCEPT_INVALID_CERTS": "yes"},
			redis: object{"tls": object{"ca": "/ca", "cert": "/cert", "key": "/key", "insecure_skip_verify": true}},
		},
		{name: "TLS off", block: "host h\ntls {\n ca /x\n}", env: map[string]string{"DATABASE_REDIS_MASTER_TLS_ENABLED": "off"}, redis: object{"host": "h"}},
		{name: "TLS over a block", block: "tls {\n ca /x\n}", env: map[string]string{"DATABASE_REDIS_MASTER_TLS_ENABLED": "1", "DATABASE_REDIS_MASTER_TLS_CA_PATH": "/y"}, redis: object{"tls": object{"ca": "/y"}}},
		{name: "TLS by a URL", block: "url rediss://h", env: map[string]string{"DATABASE_REDIS_MASTER_TLS_CA_PATH": "/y"}, redis: object{"url": "rediss://h", "tls": object{"ca": "/y"}}},
		{name: "a CA without TLS", env: map[string]string{"DATABASE_REDIS_MASTER_TLS_CA_PATH": "/y"}, warning: "DATABASE_REDIS_MASTER_TLS_CA_PATH has no effect: database redis has no tls"},
		{
			name: "Sentinels", block: "sentinel {\n addresses a\n}", env: map[string]string{"DATABASE_REDIS_SENTINEL_USERNAME": "u", "DATABASE_REDIS_SENTINEL_PASSWORD": "p", "DATABASE_REDIS_SENTINEL_TLS_ENABLED": "true", "DATABASE_REDIS_SENTINEL_TLS_CA_PATH": "/ca"},
			redis: object{"sentinel": object{"addresses": []any{"a"}, "username": "u", "password": "p", "tls": object{"ca": "/ca"}}},
		},
		{name: "no Sentinels", env: map[string]string{"DATABASE_REDIS_SENTINEL_PASSWORD": "p"}, warning: "DATABASE_REDIS_SENTINEL_PASSWORD has no effect: database redis has no sentinel"},
		{
			name: "a cluster beside a server", block: "host h\npassword p\nprefix x:", env: map[string]string{"REDIS_CLUSTER_NODES": "a:1, b:2", "DATABASE_REDIS_CLUSTER_NODES": "c:3", "DATABASE_REDIS_CLUSTER_USERNAME": "u", "DATABASE_REDIS_CLUSTER_PASSWORD": "q", "DATABASE_REDIS_CLUSTER_USE_TLS": "true"},
			redis:   object{"host": "h", "password": "p", "prefix": "x:"},
			cluster: object{"nodes": []any{"a:1", "b:2"}, "username": "u", "password": "q", "tls": object{}, "prefix": "x:"},
		},
		{
			name: "a cluster in the same block", block: "nodes a:1\npassword p", env: map[string]string{"DATABASE_REDIS_CLUSTER_NODES": "c:3"},
			redis: object{"nodes": []any{"a:1"}, "password": "p"}, cluster: object{"nodes": []any{"c:3"}, "password": "p"},
		},
	} {
		block := ""
		if c.block != "" {
			block = "database redis {\n" + c.block + "\n}"
		}
		config, o, err := overridden(t, block, c.env)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := config.Database.check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for driver, want := range map[string]object{"redis": c.redis, "redis_cluster": c.cluster} {
			var got object
			if raw := config.Database[driver]; raw != nil {
				if err := json.Unmarshal(raw, &got); err != nil {
					t.Fatal(err)
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: database %s is %v, want %v", c.name, driver, got, want)
			}
		}
		if c.warning != "" && !slices.Contains(o.warnings, c.warning) || c.warning == "" && len(o.warnings) > 0 {
			t.Errorf("%s: warnings are %q", c.name, o.warnings)
		}
	}
}

func TestBadRedisVariables(t *testing.T) {
	for name, c := range map[string]struct{ block, value, want string }{
		"DATABASE_REDIS_PORT":                              {"", "x", "is not a whole number"},
		"DATABASE_REDIS_MASTER_TLS_ENABLED":                {"", "maybe", "is no boolean"},
		"DATABASE_REDIS_SENTINEL_TLS_ACCEPT_INVALID_CERTS": {"", "2", "is no boolean"},
		"DATABASE_REDIS_CLUSTER_USE_TLS":                   {"", "2", "is no boolean"},
		"DATABASE_REDIS_PASSWORD":                          {"database redis {\n url redis://:{env.HUSH}@h\n}", "hush", "it cannot change a part of the url"},
		"DATABASE_REDIS_USERNAME":                          {"database redis {\n url redis://:hush@h/x\n}", "u", "has a db that is no number"},
	} {
		_, _, err := overridden(t, c.block, map[string]string{name: c.value})
		if err == nil || !strings.Contains(err.Error(), "environment variable "+name+": ") || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// REDIS_URL and REDIS_CLUSTER_NODES say where drivers go, and never which ones there
// are. The app manager is not among them.
func TestRedirectedDrivers(t *testing.T) {
	const elsewhere, nodes = "rediss://:a{b@elsewhere:6379/1", "n1:1,n2:2"
	type object = map[string]any
	ca := object{"ca": "/ca"}
	for _, kind := range redirected {
		for _, c := range []struct {
			name         string
			own          object
			url, cluster string
			database     string
			want         object
			applied      []string
		}{
			{name: "another driver", own: object{"driver": "other", "host": "h"}, url: elsewhere, want: object{"driver": "other", "host": "h"}},
			{name: "redis", own: object{"driver": "redis"}, url: elsewhere, want: object{"driver": "redis", "url": `rediss://:a\{b@elsewhere:6379/1`}, applied: []string{"REDIS_URL"}},
			{
				name: "redis with an address", url: elsewhere, applied: []string{"REDIS_URL"},
				own:  object{"driver": "Redis", "host": "h", "port": 1.0, "username": "u", "password": "p", "db": 1.0, "prefix": "x", "connection_pool_size": 5.0, "tls": ca},
				want: object{"driver": "Redis", "url": `rediss://:a\{b@elsewhere:6379/1`, "prefix": "x", "connection_pool_size": 5.0, "tls": ca},
			},
			{
				name: "redis with TLS, a URL without", url: "redis://elsewhere", applied: []string{"REDIS_URL"},
				own: object{"driver": "redis", "address": "h", "tls": ca}, want: object{"driver": "redis", "url": "redis://elsewhere"},
			},
			{name: "redis with Sentinels", own: object{"driver": "redis", "sentinel": object{"addresses": []any{"a"}}}, url: "redis://elsewhere", want: object{"driver": "redis", "url": "redis://elsewhere"}, applied: []string{"REDIS_URL"}},
			{name: "a cluster with nodes", own: object{"driver": "redis-cluster", "nodes": []any{"a"}}, url: elsewhere, want: object{"driver": "redis-cluster", "nodes": []any{"a"}}},
			{name: "a cluster of the database block", own: object{"driver": "redis_cluster"}, url: elsewhere, database: "database redis_cluster {\n nodes a\n}", want: object{"driver": "redis_cluster"}},
			{name: "a cluster that nothing says the place of", own: object{"driver": "redis_cluster"}, url: "redis://elsewhere", want: object{"driver": "redis_cluster", "url": "redis://elsewhere"}, applied: []string{"REDIS_URL"}},
			{
				name: "other nodes", own: object{"driver": "redis_cluster", "nodes": []any{"a"}, "password": "p"}, cluster: nodes, url: elsewhere,
				want: object{"driver": "redis_cluster", "nodes": []any{"n1:1", "n2:2"}, "password": "p"}, applied: []string{"REDIS_CLUSTER_NODES"},
			},
			{name: "nodes by the database block", own: object{"driver": "redis_cluster"}, cluster: nodes, want: object{"driver": "redis_cluster"}, applied: []string{"REDIS_CLUSTER_NODES"}},
			{name: "nodes for what is no cluster", own: object{"driver": "redis", "host": "h"}, cluster: nodes, want: object{"driver": "redis", "host": "h"}, applied: []string{"REDIS_CLUSTER_NODES"}},
		} {
			raw, err := json.Marshal(c.own)
			if err != nil {
				t.Fatal(err)
			}
			config := mustParse(t, c.database).clone()
			config.setRaw(kind, raw)
			config.AppManagerRaw = json.RawMessage(`{"driver":"redis","host":"h"}`)
			o, err := readEnv(envOf(map[string]string{"REDIS_URL": c.url, "REDIS_CLUSTER_NODES": c.cluster}))
			if err == nil {
				err = o.apply(config)
			}
			var got object
			if err := json.Unmarshal(config.raw()[kind], &got); err != nil {
				t.Fatal(err)
			}
			if err != nil || !reflect.DeepEqual(got, c.want) || !slices.Equal(o.names, c.applied) || string(config.AppManagerRaw) != `{"driver":"redis","host":"h"}` {
				t.Errorf("%s %s: %v, %v by %q, want %v by %q; the app manager is %s", kind, c.name, err, got, o.names, c.want, c.applied, config.AppManagerRaw)
			}
		}
	}
	config := mustParse(t, "").clone()
	config.setRaw(kindCache, json.RawMessage(`{"driver":"redis"}`))
	o, err := readEnv(envOf(map[string]string{"REDIS_URL": "elsewhere:hush"}))
	if err == nil {
		err = o.apply(config)
	}
	if err == nil || !strings.Contains(err.Error(), "environment variable REDIS_URL: it must be like") || strings.Contains(err.Error(), "hush") {
		t.Errorf("a URL that is none: %v", err)
	}
}

func TestLimiterPrefixVariable(t *testing.T) {
	env := map[string]string{"RATE_LIMITER_REDIS_PREFIX": "a{b"}
	for own, want := range map[string]string{
		`{"driver":"redis","host":"h"}`: `{"driver":"redis","host":"h","prefix":"a\\{b"}`,
		`{"driver":"redis_cluster"}`:    `{"driver":"redis_cluster","prefix":"a\\{b"}`,
		`{"driver":"memory"}`:           `{"driver":"memory"}`,
	} {
		config := mustParse(t, "").clone()
		config.setRaw(kindRateLimiter, json.RawMessage(own))
		o, err := readEnv(envOf(env))
		if err == nil {
			err = o.apply(config)
		}
		if got := string(config.raw()[kindRateLimiter]); err != nil || got != want || slices.Contains(o.names, "RATE_LIMITER_REDIS_PREFIX") != (own != want) {
			t.Errorf("%s: %s, %q, %v", own, got, o.names, err)
		}
	}
}

// The variables of queues are for the driver that they name, and for no other.
func TestRedisQueueVariables(t *testing.T) {
	env := map[string]string{
		"QUEUE_REDIS_CONCURRENCY": "7", "QUEUE_REDIS_PREFIX": "a{b", "QUEUE_REDIS_RESPONSE_TIMEOUT_MS": "1500",
		"REDIS_CLUSTER_QUEUE_CONCURRENCY": "8", "REDIS_CLUSTER_QUEUE_PREFIX": "c:", "REDIS_CLUSTER_QUEUE_REQUEST_TIMEOUT_MS": "2500",
	}
	for own, want := range map[string]string{
		`{"driver":"redis","host":"h","concurrency":1}`: `{"concurrency":7,"driver":"redis","host":"h","prefix":"a\\{b","response_timeout":"1500ms"}`,
		`{"driver":"redis-cluster"}`:                    `{"concurrency":8,"driver":"redis-cluster","prefix":"c:","response_timeout":"2500ms"}`,
		`{"driver":"memory"}`:                           `{"driver":"memory"}`,
		``:                                              ``,
	} {
		config := mustParse(t, "").clone()
		if own != "" {
			config.setRaw(kindQueue, json.RawMessage(own))
		}
		o, err := readEnv(envOf(env))
		if err == nil {
			err = o.apply(config)
		}
		if got := string(config.QueueRaw); err != nil || got != want || (len(o.names) == 3) != (own != want) {
			t.Errorf("%s: %s, %q, %v", own, got, o.names, err)
		}
		if choice, err := chooseDriver(kindQueue, config.QueueRaw, nil); err != nil {
			t.Errorf("%s: %+v, %v", own, choice, err)
		}
	}
	for name, value := range map[string]string{
		"QUEUE_REDIS_CONCURRENCY": "-1", "REDIS_CLUSTER_QUEUE_CONCURRENCY": "x", "QUEUE_REDIS_RESPONSE_TIMEOUT_MS": "0", "REDIS_CLUSTER_QUEUE_REQUEST_TIMEOUT_MS": "5s",
	} {
		if _, err := readEnv(envOf(map[string]string{name: value})); err == nil || !strings.Contains(err.Error(), "environment variable "+name+": ") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	// A driver that the environment selects has its variables too.
	config := mustParse(t, "").clone()
	env["QUEUE_DRIVER"], env["REDIS_URL"] = "redis", "redis://elsewhere"
	o, err := readEnv(envOf(env))
	if err == nil {
		err = o.apply(config)
	}
	if got := string(config.QueueRaw); err != nil || got != `{"concurrency":7,"driver":"redis","prefix":"a\\{b","response_timeout":"1500ms","url":"redis://elsewhere"}` {
		t.Errorf("%s, %v", got, err)
	}
}
