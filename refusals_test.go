package sockudo

import (
	"encoding/json"
	"strings"
	"testing"
)

// Each of these is a Caddyfile that must not load, with the whole error.
//
// Checklist: configuration 4, 6, 7, 8
func TestCaddyfileRefusals(t *testing.T) {
	for block, want := range map[string]string{
		// Words.
		"max_conections 5":                            "max_conections is unknown (did you mean max_connections?), at Testfile:2",
		"frobnicate":                                  "frobnicate is unknown, at Testfile:2",
		"app demo {\n\tsecrt x\n}":                    "secrt is unknown (did you mean secret?), at Testfile:3",
		"websocket {\n\tmax_mesages 5\n}":             "max_mesages is unknown (did you mean max_messages?), at Testfile:3",
		"rate_limiter {\n\tlimts {\n\t}\n}":           "limts is unknown (did you mean limits?), at Testfile:3",
		"rate_limiter {\n\tzzz 5\n}":                  `rate_limiter: zzz is unknown to this driver; it knows ["max_keys"], at Testfile:3`,
		"cache memory {\n\tmax_entires 5\n}":          `cache: max_entires is unknown to this driver; it knows ["max_bytes" "max_entries"], at Testfile:3`,
		"app demo {\n\tlimits {\n\t\tnone 5\n\t}\n}":  "none is unknown, at Testfile:4",
		"channel_limits {\n\tmax_name_length 5\n}\n}": "", // the block ends early, which is none of ours
		// Twice, and two words for one thing.
		"max_connections 5\nmax_connections 5":                                            "max_connections is written twice, at Testfile:3",
		"idempotency {\n\tttl 120s\n\tttl_seconds 120\n}":                                 "ttl and ttl_seconds mean the same: write one of them, at Testfile:4",
		"apps memory\napp_manager memory":                                                 "apps and app_manager mean the same: write one of them, at Testfile:3",
		"app a {\n\tkey k\n}\napp a {\n\tkey k\n}":                                        "app a is written twice, at Testfile:5",
		"app a {\n\tmax_connections 1\n\tlimits {\n\t\tmax_connections 2\n\t}\n}":         "app a: max_connections is written twice, by itself and in limits, at Testfile:7",
		"app a {\n\tmax_connections 1\n\tpolicy {\n\t\tlimits {\n\t\t}\n\t}\n}":           "app a: what policy says must not be written beside it too, at Testfile:8",
		"rate_limiter {\n\tapi 1 1s\n\tapi_rate_limit 1 1s\n}":                            "api and api_rate_limit mean the same: write one of them, at Testfile:4",
		"rate_limiter {\n\tmax_keys 1\n\tmax_keys 1\n}":                                   "rate_limiter: max_keys is written twice, at Testfile:4",
		"queue memory {\n\treliability {\n\t\tmax_attempts 1\n\t\tmax_attempts 1\n\t}\n}": "queue: max_attempts is written twice, at Testfile:5",
		// Arguments.
		"max_connections":                      "max_connections takes one value, not 0, at Testfile:2",
		"max_connections 1 2":                  "max_connections takes one value, not 2, at Testfile:2",
		"max_connections 1 {\n}":               "max_connections takes no block, at Testfile:3",
		"node_id a {\n\tb\n}":                  "node_id takes no block, at Testfile:2",
		"cors {\n\torigins\n}":                 "origins takes one value or more, at Testfile:3",
		"cors *":                               `cors takes a block, not ["*"], at Testfile:2`,
		"cors":                                 "cors needs a block, at Testfile:2",
		"app":                                  "app takes one id, not 0 arguments, at Testfile:2",
		"app a b {\n}":                         "app takes one id, not 2 arguments, at Testfile:2",
		"app a":                                "app a needs a block with key and secret, at Testfile:2",
		"adapter":                              "adapter takes the name of one driver, not 0 arguments, at Testfile:2",
		"adapter local x":                      "adapter takes the name of one driver, not 2 arguments, at Testfile:2",
		"rate_limiter memory x":                "rate_limiter takes the name of one driver, not 2 arguments, at Testfile:2",
		"rate_limiter {\napi 1\n}":             `api takes a number and a window such as 100 60s, not ["1"], at Testfile:3`,
		"cache memory {\n\tmax_entries 1 2\n}": "cache: max_entries takes one value, not 2, at Testfile:3",
		// Values.
		"max_connections many":                                      `max_connections: "many" is not a whole number, at Testfile:2`,
		"max_connections -1":                                        "max_connections: must not be negative, at Testfile:2",
		"max_connections 99999999999":                               "max_connections: 99999999999 is more than 2147483647, at Testfile:2",
		"activity_timeout 120":                                      `activity_timeout: "120" has no unit; write 120s for seconds, at Testfile:2`,
		"activity_timeout soon":                                     `activity_timeout: "soon" is not a duration such as 500ms, 90s, 2m or 1d, at Testfile:2`,
		"activity_timeout 10ms":                                     "activity_timeout: must be at least 1s, at Testfile:2",
		"drain_period -1s":                                          "drain_period: must not be negative, at Testfile:2",
		"health_check_timeout_ms 2s":                                `health_check_timeout_ms: "2s" is not a whole number, at Testfile:2`,
		"usage maybe":                                               `usage: "maybe" is neither on nor off, at Testfile:2`,
		"mode staging":                                              `mode: "staging" is not one of production, development, at Testfile:2`,
		"http {\n\tmax_body big\n}":                                 `max_body: "big" is not a size such as 65536, 64KiB or 10MB, at Testfile:3`,
		"http {\n\tmax_body 0\n}":                                   "max_body: must be at least 1, at Testfile:3",
		"websocket {\n\ton_buffer_full explode\n}":                  `on_buffer_full: "explode" is not one of disconnect, drop, at Testfile:3`,
		"event_limits {\n\tmax_batch_size 0\n}":                     "max_batch_size: must be at least 1, at Testfile:3",
		"rate_limiter {\n\tapi ten 60s\n}":                          `api: "ten" is not a whole number, at Testfile:3`,
		"rate_limiter {\n\tapi 10 60\n}":                            `api: "60" has no unit; write 60s for seconds, at Testfile:3`,
		"cache memory {\n\tmax_entries -5\n}":                       `cache: max_entries: "-5" is not a whole number, at Testfile:3`,
		"queue memory {\n\treliability {\n\t\tretry_base 5\n\t}\n}": `queue: retry_base: "5" has no unit; write 5s for seconds, at Testfile:4`,
		// Drivers.
		"adapter rabbit-mq":         `adapter: driver "rabbit-mq" is not compiled in: there is no module sockudo.adapters.rabbitmq; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/rabbitmq, at Testfile:2`,
		"adapter Kafka":             `adapter: driver "Kafka" is not compiled in: there is no module sockudo.adapters.kafka; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/kafka, at Testfile:2`,
		"apps pgsql {\n\tprot 1\n}": `app_manager: prot is unknown to this driver; it knows ["connection_pool_size" "database" "dsn" "host" "password" "port" "table_name" "username"], at Testfile:3`,
		"queue rabbit-mq":           `queue: driver "rabbit-mq" is not compiled in: there is no module sockudo.queues.rabbitmq; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/rabbitmq, at Testfile:2`,
		"cache memmory":             `cache: driver "memmory" is not compiled in: there is no module sockudo.caches.memmory; did you mean memory?; this Caddy has memory, redis, redis_cluster, sqlite, others come with xcaddy build --with PACKAGE, at Testfile:2`,
		// What belongs to Caddy, or elsewhere.
		"port 6001":             "port is Caddy's own business: use the site address, at Testfile:2",
		"debug on":              "debug is Caddy's own business: use the global option debug, at Testfile:2",
		"app demo {\n\tid x\n}": "id is written behind app: app demo, at Testfile:3",
		"app demo {\n\tnamespace chat {\n\t\tname x\n\t}\n}":           "name is written behind namespace: namespace chat, at Testfile:4",
		"app demo {\n\tchannel_namespaces x\n}":                        "channel_namespaces is written as namespace NAME in a Caddyfile, at Testfile:3",
		"rate_limiter {\n\tdriver memory\n}":                           "driver is written behind rate_limiter: rate_limiter memory, at Testfile:3",
		"rate_limiter {\n\tapi_rate_limit {\n\t\ttrust_hops 1\n\t}\n}": "trust_hops is Caddy's own business: use the global option trusted_proxies, at Testfile:4",
		"metrics {\n\tport 9601\n}":                                    "port is Caddy's own business: use a site with metrics, at Testfile:3",
	} {
		_, err := parse(block)
		if want == "" {
			continue
		}
		if err == nil {
			t.Errorf("%s\nis accepted", block)
			continue
		}
		if err.Error() != want {
			t.Errorf("%s\ngot  %s\nwant %s", block, err, want)
		}
	}
}

// What V2 clients get is checked like everything else.
func TestV2Refusals(t *testing.T) {
	const coordination = " is not supported: deltas are those of one socket, so nodes have nothing to coordinate"
	for block, want := range map[string]string{
		"recovery {\nbuffer_size 0\n}":                                                 "buffer_size: must be at least 1, at Testfile:3",
		"recovery {\nmax_buffer_size 0\n}":                                             "max_buffer_size: must be at least 1, at Testfile:3",
		"recovery {\nttl 0s\n}":                                                        "ttl: must be at least 1ms, at Testfile:3",
		"recovery {\nttl_seconds 0\n}":                                                 "ttl_seconds: must be at least 1ms, at Testfile:3",
		"recovery {\nttl 120\n}":                                                       `ttl: "120" has no unit; write 120s for seconds, at Testfile:3`,
		"recovery {\nmax_bytes 5\n}":                                                   "max_bytes: must be at least 1KiB, at Testfile:3",
		"recovery {\nbufer_size 5\n}":                                                  "bufer_size is unknown (did you mean buffer_size?), at Testfile:3",
		"recovery {\nttl_seconds 5\nttl 5s\n}":                                         "ttl_seconds and ttl mean the same: write one of them, at Testfile:4",
		"recovery {\nttl_seconds 5\nbuffer_ttl_seconds 5\n}":                           "ttl_seconds and buffer_ttl_seconds mean the same: write one of them, at Testfile:4",
		"recovery on\nconnection_recovery on":                                          "recovery and connection_recovery mean the same: write one of them, at Testfile:3",
		"recovery on off":                                                              "recovery takes on, off or a block, and no more than that, at Testfile:2",
		"recovery on {\nbuffer_size 5\n}":                                              "recovery takes on, off or a block, and no more than that, at Testfile:4",
		"tag_filtering maybe":                                                          `tag_filtering: "maybe" is neither on nor off, at Testfile:2`,
		"event_name_filtering {\nmax_events_per_filter 65\n}":                          "max_events_per_filter: must be at most 64, at Testfile:3",
		"event_name_filtering {\nmax_events_per_filter 0\n}":                           "max_events_per_filter: must be at least 1, at Testfile:3",
		"event_name_filtering {\nmax_event_name_length 257\n}":                         "max_event_name_length: must be at most 256, at Testfile:3",
		"ephemeral maybe":                                                              `ephemeral: "maybe" is neither on nor off, at Testfile:2`,
		"echo_control {\ndefault_echo_mesages on\n}":                                   "default_echo_mesages is unknown (did you mean default_echo_messages?), at Testfile:3",
		"delta_compression {\nalgorithm zip\n}":                                        `algorithm: "zip" is not one of fossil, xdelta3, at Testfile:3`,
		"delta_compression {\nfull_message_interval 0\n}":                              "full_message_interval: must be at least 1, at Testfile:3",
		"delta_compression {\ncluster_coordination on\n}":                              "cluster_coordination" + coordination + ", at Testfile:3",
		"delta_compression {\ncluster_coordination\n}":                                 "cluster_coordination" + coordination + ", at Testfile:3",
		"delta_compression {\ncoordination_backend redis\n}":                           "coordination_backend" + coordination + ", at Testfile:3",
		"delta_compression {\ncoordination_backend none\ncoordination_backend none\n}": "coordination_backend is written twice, at Testfile:4",
		"delta_compression {\nconflation_key_path data..id\n}":                         `conflation_key_path: conflation key path "data..id" has an empty name, at Testfile:3`,
		"app demo {\ndelta ticker fossil {\nconflation_key .id\n}\n}":                  `conflation_key: conflation key path ".id" has an empty name, at Testfile:4`,
		"presence {\nupdate_rate 0\n}":                                                 "update_rate: must be at least 1, at Testfile:3",
		"presence {\ngrace -1s\n}":                                                     "grace: must not be negative, at Testfile:3",
		"presence {\nv2_grace 5\n}":                                                    `v2_grace: "5" has no unit; write 5s for seconds, at Testfile:3`,
		"websocket {\nping_interval 500ms\n}":                                          "ping_interval: must be at least 1s, at Testfile:3",
		"websocket {\nidle_timeout never\n}":                                           `idle_timeout: "never" is not a duration such as 500ms, 90s, 2m or 1d, at Testfile:3`,
		"websocket {\nidle_timeout 30\n}":                                              `idle_timeout: "30" has no unit; write 30s for seconds, at Testfile:3`,

		"app demo {\ndelta ticker\n}":                                     "delta takes a channel or a pattern and a mode, not 1 arguments, at Testfile:3",
		"app demo {\ndelta ticker zip\n}":                                 `delta ticker: "zip" is not one of inherit, disabled, fossil, xdelta3, at Testfile:3`,
		"app demo {\ndelta ticker fossil\ndelta ticker disabled\n}":       "delta ticker is written twice, at Testfile:4",
		"app demo {\ndelta a*b*c fossil\n}":                               "delta a*b*c: the pattern has more than one *, at Testfile:3",
		"app demo {\ndelta a/b fossil\n}":                                 "delta a/b: no channel has such a name, at Testfile:3",
		"app demo {\ndelta \"\" fossil\n}":                                "delta : the name of the channel is empty, at Testfile:3",
		"app demo {\ndelta ticker fossil {\nalgorithm xdelta3\n}\n}":      "delta ticker: mode fossil and algorithm xdelta3 contradict each other, at Testfile:5",
		"app demo {\ndelta ticker disabled {\nenabled on\n}\n}":           "delta ticker: mode disabled and enabled on contradict each other, at Testfile:5",
		"app demo {\ndelta ticker fossil {\nmode fossil\n}\n}":            "mode is written behind the channel: delta CHANNEL fossil, at Testfile:4",
		"app demo {\ndelta ticker fossil {\nmax_messages_per_key 1\n}\n}": "max_messages_per_key is not supported: a delta is always that to the newest message of its key, at Testfile:4",
		"app demo {\nchannel_delta_compression x\n}":                      "channel_delta_compression is written as delta CHANNEL MODE in a Caddyfile, at Testfile:3",
		"app demo {\nrecovery {\nttl 10ms\n}\n}":                          "ttl: must be at least 1s, at Testfile:4",
		"app demo {\nnamespace a {\nallow_publish_for_client maybe\n}\n}": `allow_publish_for_client: "maybe" is neither on nor off, at Testfile:4`,
	} {
		_, err := parse(block)
		expectError(t, err, want)
	}
	for object, want := range map[string]string{
		`{"recovery": 5}`:                                                          "recovery: must be an object",
		`{"recovery": "maybe"}`:                                                    `recovery.enabled: "maybe" is neither on nor off`,
		`{"recovery": {"buffer_size": 0}}`:                                         "recovery.buffer_size: must be at least 1",
		`{"connection_recovery": {"ttl_seconds": 0}}`:                              "connection_recovery.ttl_seconds: must be at least 1ms",
		`{"tag_filtering": {"enable_tag": true}}`:                                  "tag_filtering.enable_tag is unknown (did you mean enable_tags?)",
		`{"event_name_filtering": {"max_events_per_filter": 100}}`:                 "event_name_filtering.max_events_per_filter: must be at most 64",
		`{"delta_compression": {"cluster_coordination": true}}`:                    "delta_compression.cluster_coordination" + coordination,
		`{"delta_compression": {"coordination_backend": "nats"}}`:                  "delta_compression.coordination_backend" + coordination,
		`{"apps": [{"channel_delta_compression": {"a": "zip"}}]}`:                  `apps.0.channel_delta_compression.a.mode: "zip" is not one of inherit, disabled, fossil, xdelta3`,
		`{"apps": [{"channel_delta_compression": {"a": {"algorith": "fossil"}}}]}`: "apps.0.channel_delta_compression.a.algorith is unknown (did you mean algorithm?)",
		`{"apps": [{"channel_delta_compression": {"a": null}}]}`:                   "apps.0.channel_delta_compression.a: must be an object",
		`{"apps": [{"channel_delta_compression": ["a"]}]}`:                         "apps.0.channel_delta_compression: must be an object",
	} {
		expectError(t, json.Unmarshal([]byte(object), new(Handler)), want)
	}
	for object, want := range map[string]string{
		`{"channel_delta_compression": {"a*b*": "fossil"}}`:                           "app demo: delta a*b*: the pattern has more than one *",
		`{"channel_delta_compression": {"a": {"mode": "disabled", "enabled": true}}}`: "app demo: delta a: mode disabled and enabled on contradict each other",
		`{"recovery": {"ttl": "1500ms"}}`:                                             "app demo: recovery: ttl: 1.5s is not a number of whole seconds, in which stores keep it",
		`{"recovery": true, "policy": {}}`:                                            "app demo: what policy says must not be written beside it too",
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(`{"apps": [{"id": "demo", "key": "k", "secret": "s", `+object[1:]+`]}`), h); err != nil {
			t.Errorf("%s: %v", object, err)
			continue
		}
		_, err := resolve(&h.HubConfig, nil)
		expectError(t, err, want)
	}
}

// What this version does not have is refused by name, in both doors.
func TestLater(t *testing.T) {
	hub := []string{"ai_transport", "ably_compat"}
	inside := map[string][]string{
		"websocket": {"compression"},
	}
	const later = " is not supported yet by this version"
	check := func(block, at, object, path string) {
		t.Helper()
		_, err := parse(block)
		word := path[strings.LastIndexByte(path, '.')+1:]
		expectError(t, err, word+later+", at Testfile:"+at)
		expectError(t, json.Unmarshal([]byte(object), new(Handler)), path+later)
	}
	for _, word := range hub {
		check(word+" on", "2", `{"`+word+`": true}`, word)
	}
	for section, words := range inside {
		for _, word := range words {
			check(section+" {\n"+word+" on\n}", "3", `{"`+section+`": {"`+word+`": true}}`, section+"."+word)
		}
	}
	for _, word := range []string{"fallback_to_local", "socket_counting", "nodes_number", "discovery_max_wait_ms", "client_capacity"} {
		_, err := parse("adapter local {\n" + word + " on\n}")
		expectError(t, err, "adapter: "+word+later+", at Testfile:3")
		expectError(t, json.Unmarshal([]byte(`{"adapter": {"driver": "local", "`+word+`": true}}`), new(Handler)), "adapter."+word+later)
	}
}

// Checklist: configuration 5
func TestJSONRefusals(t *testing.T) {
	for object, want := range map[string]string{
		`{"max_conections": 5}`:                           "max_conections is unknown (did you mean max_connections?)",
		`{"apps": [{}, {"secrt": "x"}]}`:                  "apps.1.secrt is unknown (did you mean secret?)",
		`{"apps": [{"policy": {"limits": {"x": 1}}}]}`:    "apps.0.policy.limits.x is unknown",
		`{"max_connections": 5, "max_connections": 6}`:    "max_connections is written twice",
		`{"cache": {"driver": "memory", "driver": "x"}}`:  "cache.driver is written twice",
		`{"idempotency": {"ttl": "1s", "ttl_seconds":1}}`: "idempotency.ttl and ttl_seconds mean the same: write one of them",
		`{"max_connections": "many"}`:                     `max_connections: "many" is not a whole number`,
		`{"max_connections": true}`:                       "max_connections: must be a number",
		`{"max_connections": 1.5}`:                        `max_connections: "1.5" is not a whole number`,
		`{"activity_timeout": "120"}`:                     `activity_timeout: "120" has no unit; write 120s for seconds`,
		`{"activity_timeout": 120}`:                       "activity_timeout: must be at least 1s",
		`{"usage": 1}`:                                    "usage: must be true or false",
		`{"usage": "maybe"}`:                              `usage: "maybe" is neither on nor off`,
		`{"apps": {"driver": "memory"}}`:                  "apps: must be a list",
		`{"apps": [{"secret": 5}]}`:                       "apps.0.secret: must be a string",
		`{"app_manager": "memory"}`:                       `app_manager: must be an object such as {"driver": "memory"}`,
		`{"adapter": {}}`:                                 "adapter.driver is missing",
		`{"cors": {"origins": "*"}}`:                      "cors.origins: must be a list",
		`{"websocket": 5}`:                                "websocket: must be an object",
		`{"rate_limiter": {"api": {"max": "x"}}}`:         `rate_limiter.api.max: "x" is not a whole number`,
		`{"port": 6001}`:                                  "port is Caddy's own business: use the site address",
		`[]`:                                              "must be an object",
	} {
		expectError(t, json.Unmarshal([]byte(object), new(Handler)), want)
	}
	expectError(t, json.Unmarshal([]byte(`{"hubs": {"a": {"usge": true}}}`), new(App)), "hubs.a.usge is unknown (did you mean usage?)")
	expectError(t, json.Unmarshal([]byte(`{"hubs": {"a": {"name": "b"}}}`), new(App)), "hubs.a.name is unknown")
}

// What can only be told when everything is known is refused when the
// configuration is provisioned.
//
// Checklist: configuration 12, 14
func TestProvisionRefusals(t *testing.T) {
	t.Setenv("SOCKUDO_TEST_EMPTY", "")
	t.Setenv("SOCKUDO_TEST_WORD", "word")
	for block, want := range map[string]string{
		"usage on":                  "no app is configured: write a block app ID with key and secret, or set SOCKUDO_DEFAULT_APP_ID, SOCKUDO_DEFAULT_APP_KEY and SOCKUDO_DEFAULT_APP_SECRET",
		"app demo {\n\tkey k\n}":    "app demo: secret is missing",
		"app demo {\n\tsecret s\n}": "app demo: key is missing",
		"app demo {\n\tkey k\n\tsecret {env.SOCKUDO_TEST_EMPTY}\n}":                     "app demo: secret: {env.SOCKUDO_TEST_EMPTY} is empty or not set",
		"app demo {\n\tkey {env.SOCKUDO_TEST_UNSET}\n\tsecret s\n}":                     "app demo: key: {env.SOCKUDO_TEST_UNSET} is empty or not set",
		"app demo {\n\tkey k\n\tsecret {file./nowhere/secret}\n}":                       "app demo: secret: {file./nowhere/secret} is empty or cannot be read",
		"app demo {\n\tkey k\n\tsecret a{canary}b\n}":                                   "app demo: secret: there is an unknown placeholder in it; write { as \\{ if it is none",
		"app demo {\n\tkey a{canary}b\n\tsecret s\n}":                                   "app demo: key: {canary} is unknown here; use {env.NAME}, {file./path} or {system.*}",
		"app demo {\n\tkey k\n\tsecret s\n\tmax_connections {env.SOCKUDO_TEST_WORD}\n}": `app demo: max_connections: "word" is not a whole number`,
		"app demo {\n\tkey k\n\tsecret s\n\tnamespace chat {\n\t\tpattern (\n\t}\n}":    "app demo: namespace chat: pattern: error parsing regexp: missing closing ): `(`",
		"app demo {\n\tkey k\n\tsecret s\n\tnamespace a:b {\n\t}\n}":                    `app demo: namespace name "a:b" must not be empty or contain ':' or '#'`,
		"env_overrides {env.SOCKUDO_TEST_WORD}\n" + appBlock:                            `env_overrides: "word" is neither on nor off`,
		"drain_period 1m\ndrain_timeout 5s\n" + appBlock:                                "drain_period 1m0s is longer than drain_timeout 5s",
		"activity_timeout 1500ms\n" + appBlock:                                          "activity_timeout: 1.5s is not a number of whole seconds, in which clients are told it",
		"websocket {\n\tmax_messages none\n\tmax_bytes none\n}\n" + appBlock:            "websocket: max_messages and max_bytes must not both be unlimited",
		"cors {\n\tcredentials on\n}\n" + appBlock:                                      "cors: credentials need origins that are not any",
		"cors {\n\torigins https://a*b*c\n}\n" + appBlock:                               `cors: origins: origin pattern "https://a*b*c" has more than one '*'`,
		"metrics {\n\tprefix 9-lives\n}\n" + appBlock:                                   `metrics.prefix: "9-lives" cannot begin the name of a metric`,
	} {
		h, err := parse(block)
		if err != nil {
			t.Errorf("%s\n%v", block, err)
			continue
		}
		_, err = resolve(&h.HubConfig, nil)
		expectError(t, err, want)
	}
	for object, want := range map[string]string{
		`{"apps": [null]}`:                                         "apps.0: must be an object",
		`{"adapter": {"driver": "rabbitmq"}}`:                      `adapter: driver "rabbitmq" is not compiled in: there is no module sockudo.adapters.rabbitmq; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/rabbitmq`,
		`{"cache": {"driver": "memory", "max_entires": 1}}`:        "cache: max_entires is unknown (did you mean max_entries?)",
		`{"rate_limiter": {"max_kyes": 1}}`:                        "rate_limiter: max_kyes is unknown (did you mean max_keys?)",
		`{"queue": {"driver": "memory", "reliability": {"x": 1}}}`: "queue: reliability.x is unknown",
	} {
		h := new(Handler)
		err := json.Unmarshal([]byte(object), h)
		if err == nil {
			_, err = resolve(&h.HubConfig, map[string]string{"SOCKUDO_DEFAULT_APP_ID": "a", "SOCKUDO_DEFAULT_APP_KEY": "a", "SOCKUDO_DEFAULT_APP_SECRET": "a"})
		}
		expectError(t, err, want)
	}
}

// No error shows a secret.
func TestErrorsKeepSecrets(t *testing.T) {
	const canary = "s3cr3t-canary"
	for _, block := range []string{
		"app a {\n\tkey k\n\tsecret " + canary + "\n\tmax_connections x\n}",
		"app a {\n\tkey k\n\tsecret " + canary + "{x}\n}",
		"app a {\n\tkey k\n\tsecret " + canary + "\n\tsecret " + canary + "\n}",
		"app a {\n\tkey k\n\tsecret " + canary + " " + canary + "\n}",
		"app a {\n\tsecret " + canary + "\n}",
		"app a {\n\tkey k\n\tsecret " + canary + " {\n\t}\n}",
	} {
		h, err := parse(block)
		if err == nil {
			_, err = resolve(&h.HubConfig, nil)
		}
		if err == nil {
			t.Errorf("%s\nis accepted", block)
		} else if strings.Contains(err.Error(), canary) {
			t.Error(err)
		}
	}
}
