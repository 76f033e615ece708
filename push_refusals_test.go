package sockudo

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/push/webpush"
)

// pushStores are the names of those that this Caddy has.
func pushStores() string {
	var names []string
	for _, m := range caddy.GetModules(namespaces[kindPushStore]) {
		names = append(names, m.ID.Name())
	}
	return strings.Join(names, ", ")
}

// What cannot be meant of push notifications is refused, in both doors.
func TestPushRefusals(t *testing.T) {
	for block, want := range map[string]string{
		"push maybe":                                       `push: "maybe" is neither on nor off, at Testfile:2`,
		"push on off":                                      "push takes on, off or a block, and no more than that, at Testfile:2",
		"push on {\nasync_only on\n}":                      "push takes on, off or a block, and no more than that, at Testfile:4",
		"push on\npush on":                                 "push is written twice, at Testfile:3",
		"push {\nenable on\n}":                             "enable is unknown (did you mean enabled?), at Testfile:3",
		"push {\nasync_only maybe\n}":                      `async_only: "maybe" is neither on nor off, at Testfile:3`,
		"push {\nstorage\n}":                               "storage takes the name of one driver, not 0 arguments, at Testfile:3",
		"push {\nstorage kafka\n}":                         `storage: driver "kafka" is not compiled in: there is no module sockudo.push_stores.kafka; this Caddy has STORES, others come with xcaddy build --with PACKAGE, at Testfile:3`,
		"push {\nstorage memory\nstore memory\n}":          "storage and store mean the same: write one of them, at Testfile:4",
		"push {\nstorage memory {\npath x\n}\n}":           `storage: path is unknown to this driver; it knows ["max_size"], at Testfile:4`,
		"push {\ndefault_ttl 0s\n}":                        "default_ttl: must be at least 1s, at Testfile:3",
		"push {\ndefault_ttl 3600\n}":                      `default_ttl: "3600" has no unit; write 3600s for seconds, at Testfile:3`,
		"push {\ndefault_ttl 5s\ndefault_ttl_seconds 5\n}": "default_ttl and default_ttl_seconds mean the same: write one of them, at Testfile:4",
		"push {\ndefault_ttl_seconds 5s\n}":                `default_ttl_seconds: "5s" is not a whole number, at Testfile:3`,
		"push {\npublish_status_ttl 0s\n}":                 "publish_status_ttl: must be at least 1s, at Testfile:3",
		"push {\npublish_status_ttl_seconds 5\npublish_status_ttl_days 5\n}": "publish_status_ttl_seconds and publish_status_ttl_days mean the same: write one of them, at Testfile:4",
		"push {\nevent_retention none\n}":                                    `event_retention: "none" is not a duration such as 500ms, 90s, 2m or 1d, at Testfile:3`,
		"push {\nstale_device_max_age 5ms\n}":                                "stale_device_max_age: must be at least 1s, at Testfile:3",
		"push {\ninvalid_token_quarantine 0s\n}":                             "invalid_token_quarantine: must be at least 1ms, at Testfile:3",
		"push {\nmax_recipients_per_publish -1\n}":                           "max_recipients_per_publish: must not be negative, at Testfile:3",
		"push {\nmax_recipients_per_publish many\n}":                         `max_recipients_per_publish: "many" is not a whole number, at Testfile:3`,
		"push {\nplanner_worker_count 0\n}":                                  "planner_worker_count: must be at least 1, at Testfile:3",
		"push {\ndispatch_worker_count none\n}":                              `dispatch_worker_count: "none" is not a whole number, at Testfile:3`,
		"push {\ndispatch_max_outbound_requests 0\n}":                        "dispatch_max_outbound_requests: must be at least 1, at Testfile:3",
		"push {\nfanout_fast_threshold 0\n}":                                 "fanout_fast_threshold: must be at least 1, at Testfile:3",
		"push {\nfanout_shard_size 0\n}":                                     "fanout_shard_size: must be at least 1, at Testfile:3",
		"push {\nbackpressure on\n}":                                         `backpressure takes a block, not ["on"], at Testfile:3`,
		"push {\nbackpressure {\nmax_publishes 0\n}\n}":                      "max_publishes: must be at least 1, at Testfile:4",
		"push {\nbackpressure {\nretry_after 5ms\n}\n}":                      "retry_after: must be at least 1s, at Testfile:4",
		"push {\nbackpressure_lag_threshold_secs 5\n}":                       "backpressure_lag_threshold_secs belongs to backpressure: backpressure { max_age DURATION }, at Testfile:3",
		"push {\nretry {\nmax_attempts 0\n}\n}":                              "max_attempts: must be at least 1, at Testfile:4",
		"push {\nretry {\nmax_backoff 0s\n}\n}":                              "max_backoff: must be at least 1ms, at Testfile:4",
		"push {\nretry {\nbase_delay 5s\n}\n}":                               "base_delay is unknown, at Testfile:4",
		"push {\ncircuit_breaker {\nfailure_threshold 0\n}\n}":               "failure_threshold: must be at least 1, at Testfile:4",
		"push {\ncircuit_breaker {\ncooldown_secs 1m\n}\n}":                  `cooldown_secs: "1m" is not a whole number, at Testfile:4`,
		"push {\ndefault_quotas {\ninflight_max none\n}\n}":                  `inflight_max: "none" is not a whole number, at Testfile:4`,
		"push {\nscheduler_interval 50ms\n}":                                 "scheduler_interval: must be at least 100ms, at Testfile:3",
		"push {\nrepair_interval 50ms\n}":                                    "repair_interval: must be at least 100ms, at Testfile:3",
		"push {\ncleanup_interval_secs x\n}":                                 `cleanup_interval_secs: "x" is not a whole number, at Testfile:3`,
		"push {\ncredential_encryption_key\n}":                               "credential_encryption_key takes one value, not 0, at Testfile:3",
		"push {\nprevious_encryption_keys\n}":                                "previous_encryption_keys takes one value or more, at Testfile:3",
		"push {\nendpoints {\nallowed_host x\n}\n}":                          "allowed_host is unknown (did you mean allowed_hosts?), at Testfile:4",
		"push {\ntesting on\n}":                                              `testing takes a block, not ["on"], at Testfile:3`,
		// Words of Sockudo that do nothing there.
		"push {\nqueue_partition_count 5\n}": "queue_partition_count is not supported: batches are shared out by app, not by partition, at Testfile:3",
		"push {\nshard_worker_count 5\n}":    "shard_worker_count is not supported: parts are planned by planner_worker_count workers, at Testfile:3",
		"push {\ndry_run on\n}":              "dry_run is not supported: it would have no effect, at Testfile:3",
		"push {\nkms_key_ref x\n}":           "kms_key_ref is not supported: the key is credential_encryption_key, which may be {env.X} or {file.X}, at Testfile:3",
		"push {\nfcm_credential_ref x\n}":    "fcm_credential_ref is not supported: credentials are in provider fcm { … }, or uploaded by apps, at Testfile:3",
		"push {\npayload_redaction {\n}\n}":  "payload_redaction is not supported: payloads and addresses are never in the log, at Testfile:3",
		// Providers.
		"push {\nprovider\n}":                                      "provider takes the name of one: fcm, apns, webpush, hms or wns, at Testfile:3",
		"push {\nprovider firebase\n}":                             `provider "firebase" is not compiled in: there is no module sockudo.push_providers.firebase; this Caddy has apns, fcm, hms, webpush, wns, at Testfile:3`,
		"push {\nprovider web_push\n}":                             `provider "web_push" is not compiled in: there is no module sockudo.push_providers.web_push; did you mean webpush?; this Caddy has apns, fcm, hms, webpush, wns, at Testfile:3`,
		"push {\nprovider fcm x\n}":                                "provider fcm: wrong argument count or unexpected line ending after 'x', at Testfile:3",
		"push {\nprovider fcm\nprovider fcm\n}":                    "provider fcm is written twice, at Testfile:4",
		"push {\nprovider fcm {\nproject x\n}\n}":                  `provider fcm: project is unknown to this driver; it knows ["ca_file" "credentials_json" "credentials_path" "enabled" "endpoint" "project_id" "provider_token"], at Testfile:4`,
		"push {\nprovider fcm {\nproject_id x\nproject_id x\n}\n}": "provider fcm: project_id is written twice, at Testfile:5",
		"push {\nprovider fcm {\nenabled maybe\n}\n}":              `provider fcm: enabled: "maybe" is not on or off, at Testfile:4`,
		"push {\nproviders {\n}\n}":                                "providers are written as provider NAME { ... } in a Caddyfile, at Testfile:3",
		// Rules.
		"push_rule":                                           "push_rule takes the pattern of channels, not 0 arguments, at Testfile:2",
		"push_rule a":                                         "push_rule needs a block with event_filter, at Testfile:2",
		"push_rule a b {\nevent_filter x\n}":                  "push_rule takes the pattern of channels, not 2 arguments, at Testfile:2",
		"push_rule a {\nchannel_pattern b\n}":                 "channel_pattern is written behind push_rule, at Testfile:3",
		"push_rule a {\nevent_filter\n}":                      "event_filter takes one value or more, at Testfile:3",
		"push_rule a {\nevents x\n}":                          "events is unknown, at Testfile:3",
		"push_rule a {\nrate_limit_per_second 0\n}":           "rate_limit_per_second: must be at least 1, at Testfile:3",
		"push_rule a {\nsuppress_if_present a b\n}":           "suppress_if_present takes one channel, not 2 arguments, at Testfile:3",
		"push_rule a {\nsuppress_if_present {\ndelay 5\n}\n}": `delay: "5" has no unit; write 5s for seconds, at Testfile:4`,
		"push_rule a {\npayload_mapping {\ntitle x\n}\n}":     "title is unknown (did you mean title_field?), at Testfile:4",
		"push_rules a":                                        "push_rules are written as push_rule PATTERN { ... } in a Caddyfile, at Testfile:2",
	} {
		_, err := parse(block)
		expectError(t, err, strings.Replace(want, "STORES", pushStores(), 1))
	}
	for object, want := range map[string]string{
		`{"push": "maybe"}`:          `push.enabled: "maybe" is neither on nor off`,
		`{"push": 5}`:                "push: must be an object",
		`{"push": {"enable": true}}`: "push.enable is unknown (did you mean enabled?)",
		`{"push": {"store": {"driver": "memory"}, "storage": {"driver": "memory"}}}`: "push.storage and store mean the same: write one of them",
		`{"push": {"storage": "memory"}}`:                                            `push.storage: must be an object such as {"driver": "memory"}`,
		`{"push": {"storage": {}}}`:                                                  "push.storage.driver is missing",
		`{"push": {"providers": []}}`:                                                `push.providers: must be an object such as {"webpush": {}}`,
		`{"push": {"providers": {"fcm": true}}}`:                                     "push.providers.fcm: must be an object",
		`{"push": {"provider": {}}}`:                                                 "push.provider is unknown (did you mean providers?)",
		`{"push": {"default_ttl_seconds": 0}}`:                                       "push.default_ttl_seconds: must be at least 1s",
		`{"push": {"publish_status_ttl_days": "x"}}`:                                 `push.publish_status_ttl_days: "x" is not a whole number`,
		`{"push": {"default_quotas": {"fanout_max": -1}}}`:                           "push.default_quotas.fanout_max: must not be negative",
		`{"push": {"previous_encryption_keys": "x"}}`:                                "push.previous_encryption_keys: must be a list",
		`{"push": {"payload_redaction": {"tokens": true}}}`:                          "push.payload_redaction is not supported: payloads and addresses are never in the log",
		`{"push_rules": {"channel_pattern": "a"}}`:                                   "push_rules: must be a list",
		`{"push_rules": [{"pattern": "a"}]}`:                                         "push_rules.0.pattern is unknown",
		`{"push_rules": [{"suppress_if_present": true}]}`:                            "push_rules.0.suppress_if_present: must be an object",
		`{"push_rules": [{"suppress_if_present": {"delay_seconds": -1}}]}`:           "push_rules.0.suppress_if_present.delay_seconds: must not be negative",
		`{"push_rule": []}`:                                                          "push_rule is unknown (did you mean push_rules?)",
	} {
		err := json.Unmarshal([]byte(object), new(Handler))
		expectError(t, err, strings.Replace(want, "STORES", pushStores(), 1))
	}
}

// What contradicts itself or the rest of the hub stops the configuration. Rules have to be
// good although push is off.
//
// Checklist: push 112, 113
// Checklist: configuration 146
func TestPushContradictions(t *testing.T) {
	for block, want := range map[string]string{
		"push on\nqueue memory":                                                                  "push: queue: memory loses what was accepted when the process ends: choose another driver, or write push { allow_memory_drivers on }",
		"push on\nadapter nats\nidempotency {\nenabled off\n}":                                   "push: storage: the adapter nats joins several nodes, and each of them would have devices of its own with sqlite; use a store that all of them see, such as postgres",
		"push {\nstorage memory\n}":                                                              "push: storage: memory loses what was accepted when the process ends: choose another driver, or write push { allow_memory_drivers on }",
		"push {\nstorage memory\n}\nqueue memory":                                                "push: storage: memory loses what was accepted when the process ends: choose another driver, or write push { allow_memory_drivers on }",
		"push {\nstorage memory\nstorage_driver memory\n}":                                       "push: storage_driver: storage says it already: write one of them",
		"push {\nstorage_driver kafka\n}":                                                        `push: storage: driver "kafka" is not compiled in: there is no module sockudo.push_stores.kafka; this Caddy has STORES, others come with xcaddy build --with PACKAGE`,
		"push {\nqueue_driver kafka\n}":                                                          "push: queue_driver: kafka is not the driver of the hub's queue, which is sqlite: the jobs of push are in that queue; write queue kafka, or leave queue_driver out",
		"push {\nqueue_driver memory\n}":                                                         "push: queue_driver: memory is not the driver of the hub's queue, which is sqlite: the jobs of push are in that queue; write queue memory, or leave queue_driver out",
		"push {\ndefault_ttl 29d\n}":                                                             "push: default_ttl: 696h0m0s is longer than 28d, which is what providers keep",
		"push {\npublish_status_ttl 1h\n}":                                                       "push: publish_status_ttl: 1h0m0s is shorter than max_elapsed of retry, which is 24h0m0s",
		"push {\nretry {\nmax_attempts 101\n}\n}":                                                "push: retry: max_attempts: 101 is more than 100",
		"push {\nretry {\nmax_elapsed 31d\n}\n}":                                                 "push: retry: max_elapsed: 744h0m0s is longer than 30d",
		"push {\nretry {\nmax_elapsed 2d\n}\n}":                                                  "push: publish_status_ttl: 24h0m0s is shorter than max_elapsed of retry, which is 48h0m0s",
		"push {\nretry {\njitter_ratio_percent 101\n}\n}":                                        "push: retry: jitter_ratio_percent: 101 is more than 100",
		"push {\nretry {\ninitial_backoff 5s\nmax_backoff 4s\n}\n}":                              "push: retry: max_backoff: 4s is shorter than initial_backoff, which is 5s",
		"push {\nretry {\nmax_backoff 500ms\n}\n}":                                               "push: retry: max_backoff: 500ms is shorter than initial_backoff, which is 1s",
		"push {\nretry {\ninitial_backoff 2m\n}\n}":                                              "push: retry: max_backoff: 1m0s is shorter than initial_backoff, which is 2m0s",
		"push {\nmax_recipients_per_publish 5\ndefault_quotas {\nfanout_max 6\n}\n}":             "push: default_quotas: fanout_max and max_recipients_per_publish mean the same: write one of them",
		"push {\nprevious_encryption_keys canary-old\n}":                                         "push: previous_encryption_keys: there is no credential_encryption_key",
		"push {\nencrypt_recipients on\n}":                                                       "push: encrypt_recipients: it needs credential_encryption_key",
		"push {\ncredential_encryption_key canary-same\nprevious_encryption_keys canary-same\n}": "push: previous_encryption_keys: key 2 for credentials is there twice",
		"push {\ncredential_encryption_key {env.NO_SUCH_KEY}\n}":                                 "push.credential_encryption_key: {env.NO_SUCH_KEY} is empty or not set",
		"push {\nfcm_enabled on\nprovider fcm {\nenabled off\n}\n}":                              "push: fcm_enabled: it says on, and enabled in the block of the provider says the contrary",
		"push {\nwns_enabled off\nprovider wns {\nenabled on\n}\n}":                              "push: wns_enabled: it says off, and enabled in the block of the provider says the contrary",
		"push {\nendpoints {\nallowed_hosts https://push.example.com\n}\n}":                      `push: endpoints: allowed_hosts: "https://push.example.com" is not the name of a host such as push.example.com, or .example.com for all below it`,
		"push {\nendpoints {\ndenied_hosts push.example.com:443\n}\n}":                           `push: endpoints: denied_hosts: "push.example.com:443" is not the name of a host such as push.example.com, or .example.com for all below it`,
		"push {\nendpoints {\ndenied_hosts .\n}\n}":                                              `push: endpoints: denied_hosts: "." is not the name of a host such as push.example.com, or .example.com for all below it`,
		"push_rule a*b {\nevent_filter x\n}":                                                     `push_rules.0: channel_pattern: "a*b" has an asterisk elsewhere than at its end`,
		"push_rule {env.NO_SUCH_PATTERN} {\nevent_filter x\n}":                                   "push_rule {env.NO_SUCH_PATTERN}: channel_pattern: {env.NO_SUCH_PATTERN} is empty or not set",
		"push_rule a {\nenabled off\n}":                                                          "push_rules.0: event_filter: there must be 1 to 32 names, not 0",
		"push off\npush_rule a {\nevent_filter x\nsuppress_if_present a\n}":                      `push_rules.0: suppress_if_present: channel: "a" is not a presence channel`,
		"push_rule a* {\nevent_filter x\nsuppress_if_present\n}":                                 `push_rules.0: suppress_if_present: channel is missing: channels of "a*" are not presence channels; write one such as presence-*, whose asterisk stands for that of the pattern`,
		"push_rule a {\nevent_filter x\nsuppress_if_present presence-*\n}":                       `push_rules.0: suppress_if_present: channel: "presence-*" has an asterisk, and the pattern of the rule has none`,
		"push_rule a {\nevent_filter x\nsuppress_if_present {\ndelay 2h\n}\n}":                   "push_rules.0: suppress_if_present: delay: 2h0m0s is not a number of whole seconds up to 1h",
		"push_rule a {\nevent_filter x\nsuppress_if_present {\ndelay 1500ms\n}\n}":               "push_rules.0: suppress_if_present: delay: 1.5s is not a number of whole seconds up to 1h",
	} {
		h, err := parse(block + "\n" + appBlock)
		if err == nil {
			_, err = resolve(&h.HubConfig, nil)
		}
		expectError(t, err, strings.Replace(want, "STORES", pushStores(), 1))
	}
	for object, want := range map[string]string{
		`"push": {"providers": {"firebase": {}}}`:                                                                `push: providers: provider "firebase" is not compiled in: there is no module sockudo.push_providers.firebase; this Caddy has apns, fcm, hms, webpush, wns`,
		`"push": {"providers": {"fcm": {"project": "x"}}}`:                                                       "push: providers.fcm: project is unknown (did you mean project_id?)",
		`"push": {"storage": {"driver": "memory", "max_sise": 5}}`:                                               "push: storage: max_sise is unknown (did you mean max_size?)",
		`"push": true, "push_rules": [null]`:                                                                     "push_rules.0: must be an object",
		`"push": true, "push_rules": [{"channel_pattern": "a", "event_filter": [""]}]`:                           "push_rules.0: event_filter: a name must be of 1 to 200 bytes",
		`"push": true, "push_rules": [{"channel_pattern": "a", "event_filter": ["x"]}, {"event_filter": ["x"]}]`: "push_rules.1: channel_pattern: it must be of 1 to 256 bytes",
	} {
		h := new(Handler)
		err := json.Unmarshal([]byte(`{"apps": [{"id": "demo", "key": "k", "secret": "s"}], `+object+`}`), h)
		if err == nil {
			_, err = resolve(&h.HubConfig, nil)
		}
		expectError(t, err, strings.Replace(want, "STORES", pushStores(), 1))
	}
}

// Keys that are none and files that cannot be read stop the configuration. The setting is
// named, and what is in it is not.
//
// Checklist: push 115
// Checklist: configuration 144
func TestPushKeyRefusals(t *testing.T) {
	const canary = "canary-content"
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	inPEM := func(key any) string {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := webpush.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	const apple = "team_id TEAMID1234\nkey_id KEYID56789\nbundle_id com.example.app\n"
	secrets := []string{canary, private, strings.Split(inPEM(rsaKey), "\n")[1]}
	for name, c := range map[string]struct {
		provider string
		parts    []string
	}{
		"another public key":    {"webpush {\nvapid_public_key " + other + "\nvapid_private_key " + private + "\n}", []string{"webpush", "vapid_public_key"}},
		"no private key":        {"webpush {\nvapid_public_key " + public + "\n}", []string{"webpush", "vapid_private_key: is missing"}},
		"a private key of text": {"webpush {\nvapid_private_key " + canary + "\n}", []string{"webpush", "vapid_private_key"}},
		"a subject of text":     {"webpush {\nvapid_private_key " + private + "\nvapid_subject " + canary + "\n}", []string{"webpush", "vapid_subject"}},
		"a key of RSA":          {"apns {\n" + apple + "private_key_path " + file("rsa.p8", inPEM(rsaKey)) + "\n}", []string{"apns", "private_key_path"}},
		"a key of text":         {"apns {\n" + apple + "private_key_path " + file("text.p8", canary) + "\n}", []string{"apns", "private_key_path"}},
		"no file of a key":      {"apns {\n" + apple + "private_key_path " + dir + "/none.p8\n}", []string{"apns", "private_key_path", "none.p8"}},
		"an account of text":    {"fcm {\ncredentials_path " + file("text.json", canary) + "\n}", []string{"fcm", "credentials_path"}},
		"no account":            {"fcm {\ncredentials_path " + file("none.json", `{"type":"`+canary+`"}`) + "\n}", []string{"fcm", "credentials_path"}},
		"no file of an account": {"fcm {\ncredentials_path " + dir + "/none\n}", []string{"fcm", "credentials_path"}},
		"a token alone":         {"fcm {\nprovider_token " + canary + "\n}", []string{"fcm", "project_id"}},
		"no app of Huawei":      {"hms {\nclient_secret " + canary + "\n}", []string{"hms", "app_id"}},
		"no secret of Windows":  {"wns {\npackage_sid ms-app://s-1\n}", []string{"wns", "client_secret"}},
		"no authorities":        {"fcm {\nca_file " + file("ca.pem", canary) + "\n}", []string{"fcm", "ca_file"}},
		"a bad endpoint":        {"fcm {\nendpoint ftp://fcm.example.com\n}", []string{"fcm", "endpoint"}},
	} {
		config, _, err := adapt("{\n\tadmin off\n}\n:0 {\nsockudo {\nqueue memory\n" + appBlock + "push {\nstorage memory\nallow_memory_drivers\nprovider " + c.provider + "\n}\n}\n}")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var whole caddy.Config
		if err := json.Unmarshal(config, &whole); err != nil {
			t.Fatal(err)
		}
		if err = caddy.Validate(&whole); err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		contains(t, err.Error(), append(c.parts, "push: providers.")...)
		for _, secret := range secrets {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows what is in it: %v", name, err)
			}
		}
	}
}

// The keys of Sockudo's guide mean the same in both doors, and what they say.
//
// Checklist: push 113
func TestPushKeysOfSockudo(t *testing.T) {
	const object = `{"push": {
		"enabled": true, "async_only": false, "default_ttl_seconds": 1800, "publish_status_ttl_seconds": 172800, "max_recipients_per_publish": 500,
		"providers": {
			"fcm": {"enabled": true, "credentials_path": "/run/secrets/fcm.json", "project_id": "p"},
			"apns": {"enabled": true, "environment": "production", "team_id": "TEAMID1234", "key_id": "KEYID56789", "bundle_id": "com.example.app", "private_key_path": "/run/secrets/apns.p8"},
			"webpush": {"enabled": false, "vapid_subject": "mailto:ops@example.com", "vapid_public_key": "p", "vapid_private_key": "k"},
			"hms": {"app_id": "1", "client_id": "2", "client_secret": "s"}, "wns": {"package_sid": "ms-app://s", "client_secret": "s"}
		}
	}}`
	written := new(Handler)
	if err := json.Unmarshal([]byte(object), written); err != nil {
		t.Fatal(err)
	}
	block := mustParse(t, `push {
	enabled on
	async_only off
	default_ttl_seconds 1800
	publish_status_ttl_seconds 172800
	max_recipients_per_publish 500
	provider fcm {
		enabled on
		credentials_path /run/secrets/fcm.json
		project_id p
	}
	provider apns {
		enabled on
		environment production
		team_id TEAMID1234
		key_id KEYID56789
		bundle_id com.example.app
		private_key_path /run/secrets/apns.p8
	}
	provider webpush {
		enabled off
		vapid_subject mailto:ops@example.com
		vapid_public_key p
		vapid_private_key k
	}
	provider hms {
		app_id 1
		client_id 2
		client_secret s
	}
	provider wns {
		package_sid ms-app://s
		client_secret s
	}
}`)
	for i, h := range []*Handler{written, block} {
		h.Apps = []*AppConfig{{ID: "demo", Key: "k", Secret: "s"}}
		p := mustResolve(t, &h.HubConfig, nil).push
		s := p.settings
		if !p.sync || s.DefaultTTL != 30*time.Minute || s.StatusTTL != 48*time.Hour || s.Quotas.FanoutMax != 500 {
			t.Errorf("%d: %v %+v", i, p.sync, s)
		}
		if want := []string{"apns", "fcm", "hms", "webpush", "wns"}; !slices.Equal(sortedKeys(p.providers), want) {
			t.Errorf("%d: %q", i, sortedKeys(p.providers))
		}
	}
	a, b := mustResolve(t, &written.HubConfig, nil), mustResolve(t, &block.HubConfig, nil)
	if !reflect.DeepEqual(a.push, b.push) {
		t.Errorf("%+v\n%+v", a.push, b.push)
	}
}
