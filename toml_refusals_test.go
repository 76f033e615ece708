package sockudo

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// What is wrong with a file is said with its line, and all of it at once.
func TestBrokenFiles(t *testing.T) {
	for text, want := range map[string]string{
		// unknown keys
		"\n\n[adapter]\ndriver = \"redis\"\n\n[adapter.redis]\nprefx = \"x\"": "f.toml, line 7: adapter.redis.prefx is unknown (did you mean prefix?)",
		"prot = 1":           "f.toml, line 1: prot is unknown (did you mean port?)",
		"[aditional]\nx = 1": "f.toml, line 1: aditional is unknown",
		"[metrics]\n[metrics.prometheus]\nprfix = \"x\"":           "f.toml, line 3: metrics.prometheus.prfix is unknown",
		"[metrics.tcp_exporter]\nenabled = false\nbuffer = 1":      "f.toml, line 3: metrics.tcp_exporter.buffer is unknown (did you mean buffer_size?)",
		"[ssl]\ncert = \"x\"":                                      "f.toml, line 2: ssl.cert is unknown (did you mean cert_path?)",
		"[[app_manager.array.apps]]\nid = \"a\"\nsecrt = \"hush\"": "f.toml, line 3: app_manager.array.apps.0.secrt is unknown (did you mean secret?)",
		"[app_manager.arry]\napps = []":                            "f.toml, line 1: app_manager.arry is unknown",
		"[push.providers.apns]\nteamid = \"x\"":                    "f.toml, line 2: push.providers.apns.teamid is unknown (did you mean team_id?)",
		"[push.providers.apn]\nteam_id = \"x\"":                    `f.toml, line 1: push.providers.apn driver "apn" is not compiled in: there is no module sockudo.push_providers.apn; did you mean apns?; this Caddy has apns, fcm, hms, webpush, wns, others come with xcaddy build --with PACKAGE`,
		"[adapter.kafka]\nbroker = \"x\"":                          "f.toml, line 2: adapter.kafka.broker is unknown (did you mean brokers?)",
		"[rate_limiter.limits]\nconnections_per_ip = 5":            "f.toml, line 2: rate_limiter.limits.connections_per_ip is unknown (did you mean connection_per_ip?)",
		"[rate_limiter]\ndrivr = \"redis\"":                        "f.toml, line 2: rate_limiter.drivr is unknown (did you mean driver?)",
		"{\n\t\"adapter\": {\n\t\t\"drivr\": \"redis\"\n\t}\n}":    "f.toml, line 3: adapter.drivr is unknown (did you mean driver?)",
		"a = 1\nb = 2": "f.toml, line 1: a is unknown\nf.toml, line 2: b is unknown",

		// values
		"port = \"x\"":                               `f.toml, line 1: port = "x": must be a whole number`,
		"port = 70000":                               "f.toml, line 1: port = 70000: must be from 1 to 65535",
		"host = 5":                                   "f.toml, line 1: host = 5: must be a string",
		"debug = \"maybe\"":                          `f.toml, line 1: debug = "maybe": must be true or false`,
		"[history]\nenabled = 7":                     "f.toml, line 2: history.enabled = 7: must be true or false",
		"[history]\nretention_seconds = 1.5":         `f.toml, line 2: history.retention_seconds = 1.5: "1.5" is not a whole number`,
		"[history]\nretention_seconds = -1":          "f.toml, line 2: history.retention_seconds = -1: must not be negative",
		"[recovery]\nbuffer_size = 0":                "f.toml, line 2: recovery.buffer_size = 0: must be at least 1",
		"activity_timeout = 1979-05-27":              "f.toml, line 1: activity_timeout = 1979-05-27: must be a number of seconds, or a string such as 90s",
		"activity_timeout = nan":                     "f.toml, line 1: activity_timeout = nan: must be a number of seconds, or a string such as 90s",
		"mode = \"staging\"":                         `f.toml, line 1: mode = "staging": "staging" is not one of production, development`,
		"websocket = 5":                              "f.toml, line 1: websocket = 5: must be a table",
		"[cors]\norigin = \"x\"":                     "f.toml, line 2: cors.origin = \"x\": must be a list",
		"[cors]\norigin = []":                        `f.toml, line 2: cors.origin = a list: nobody would be admitted: write the origins, or ["*"]`,
		"[[app_manager.array.apps]]\nsecret = 12345": "f.toml, line 2: app_manager.array.apps.0.secret: must be a string",
		"[database.postgres]\npassword = 12345":      "f.toml, line 2: database.postgres.password: must be a string",
		"[database.postgres]\nport = \"x\"":          `f.toml, line 2: database.postgres.port = "x": must be a whole number`,
		"[adapter]\ndriver = \"redis\"\n[adapter.redis]\nport = \"${P:-x}\"": `f.toml, line 4: adapter.redis.port = "x": must be a whole number`,
		"[queue]\ndriver = \"redis\"\n[queue.redis]\nresponse_timeout = 5":   `f.toml, line 4: queue.redis.response_timeout = 5: "5" has no unit; write 5s for seconds`,

		// drivers
		"[cache]\ndriver = \"redsi\"":       `f.toml, line 2: cache.driver = "redsi": driver "redsi" is not compiled in: there is no module sockudo.caches.redsi; did you mean redis?; this Caddy has memory, redis, redis_cluster, sqlite, others come with xcaddy build --with PACKAGE`,
		"[adapter]\ndriver = \"kafka\"":     `f.toml, line 2: adapter.driver = "kafka": driver "kafka" is not compiled in: there is no module sockudo.adapters.kafka; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/kafka`,
		"[database.postgrse]\nhost = \"x\"": `f.toml, line 1: database.postgrse driver "postgrse" is not compiled in: there is no module sockudo.app_managers.postgrse; did you mean postgres?; this Caddy has dynamodb, memory, mysql, postgres, redis, redis_cluster, scylladb, sqlite, surrealdb, others come with xcaddy build --with PACKAGE`,

		// what is written twice
		"port = 1\nport = 2": "f.toml, line 2: key port is already defined",
		"[history]\nretention_seconds = 5\nretention_window_seconds = 5":    "f.toml, line 3: history.retention_window_seconds and history.retention_seconds mean the same: write one of them",
		"[recovery]\nenabled = true\n[connection_recovery]\nenabled = true": "f.toml, line 3: connection_recovery and recovery mean the same: write one of them",
		"{\"port\": 1,\n\"port\": 2}":                                       "f.toml, line 2: port is written twice",

		// what does not exist here, or is Caddy's
		"path_prefix = \"/x\"":                                     `f.toml, line 1: path_prefix = "/x": is not supported: it does nothing in Sockudo; in a Caddyfile, handle_path takes a prefix away`,
		"[ai_transport]\nenabled = true":                           "f.toml, line 1: ai_transport is not supported yet by this version",
		"[cache.memory]\nttl = 5":                                  "f.toml, line 2: cache.memory.ttl = 5: is not supported: every entry has its own: channel_limits.cache_ttl, idempotency.ttl_seconds",
		"[rate_limiter.api_rate_limit]\ntrust_hops = 1":            `f.toml, line 2: rate_limiter.api_rate_limit.trust_hops = 1: proxies are known to Caddy by their addresses: write trusted_proxies = ["10.0.0.0/8"] with those of your proxies, or ["private_ranges"], at the top of the file`,
		"[adapter]\ndriver = \"redis\"\nfallback_to_local = true":  "f.toml, line 3: adapter.fallback_to_local = true: is not supported yet by this version: a node whose adapter cannot be reached does not start; write false, or leave it out",
		"[adapter.redis]\ncluster_mode = true":                     `f.toml, line 2: adapter.redis.cluster_mode = true: is not supported: a cluster is selected by driver = "redis-cluster"`,
		"[push]\ndry_run = true":                                   "f.toml, line 2: push.dry_run = true: is not supported: it does nothing in Sockudo either",
		"[push]\nkms_key_ref = \"x\"":                              "f.toml, line 2: push.kms_key_ref is not supported: the key is credential_encryption_key, which may be {env.X} or {file.X}",
		"[ssl]\nenabled = true\ncert_path = \"c\"":                 "f.toml, line 1: ssl needs cert_path and key_path, the files of a certificate and its key",
		"[unix_socket]\nenabled = true\npath = \"a/b\"":            `f.toml, line 3: unix_socket.path = "a/b": must be an absolute path without .. in it`,
		"[unix_socket]\nenabled = true\npermission_mode = \"999\"": `f.toml, line 3: unix_socket.permission_mode = "999": must be a mode such as 660, at most 777, that lets the owner write`,
		"trusted_proxies = [\"proxy\"]":                            `f.toml, line 1: trusted_proxies.0 = "proxy": must be an address, a range such as 10.0.0.0/8, or private_ranges`,
		"[metrics]\nport = 6001":                                   "f.toml, line 1: metrics and the server have the same address, 0.0.0.0:6001",
		"[queue]\ndriver = \"none\"\n[webhooks]\nenabled = true":   `f.toml, line 4: webhooks.enabled = true: needs a queue, and queue.driver is "none"`,

		// what is no TOML, and no JSON
		"port = ":             "f.toml, line 1: ",
		"[adapter\n":          "f.toml, line 1: ",
		"{\"port\": }":        "f.toml, line 1: invalid character '}' looking for beginning of value",
		"{\n\"port\": 1\n} x": "f.toml, line 3: invalid character 'x' after top-level value",

		// variables
		"host = \"${A}\"\n# ${B}\nport = ${C:-6001}\nx = \"${A}\"": "f.toml: these environment variables are not set or empty: A (line 1), B (line 2), A (line 4); set them, or write a default as in ${NAME:-default}",
		"host = \"${EMPTY}\"": "f.toml: these environment variables are not set or empty: EMPTY (line 1); set them, or write a default as in ${NAME:-default}",
	} {
		_, err := readSockudo([]byte(text), "f.toml", envOf(map[string]string{"EMPTY": ""}))
		switch {
		case err == nil:
			t.Errorf("%q is taken, want %s", text, want)
		case strings.HasSuffix(want, ": ") && strings.HasPrefix(err.Error(), want): // what the library says
		case err.Error() != want:
			t.Errorf("%q\ngot  %v\nwant %s", text, err, want)
		case strings.Contains(err.Error(), "12345"):
			t.Errorf("%v shows a secret", err)
		}
	}
	if _, _, err := caddyconfig.GetAdapter("sockudo").Adapt([]byte("x = 1"), nil); err == nil || err.Error() != "sockudo.toml, line 1: x is unknown" {
		t.Errorf("a file without a name: %v", err)
	}
}
