package sockudo

import (
	"encoding/json"
	"testing"
)

// What cannot be meant of history is refused, in both doors.
func TestHistoryRefusals(t *testing.T) {
	const steps = " is not supported: drivers remove what is to go in steps of their own"
	for block, want := range map[string]string{
		"history memory {\nretention 0s\n}":                            "retention: must be at least 1s, at Testfile:3",
		"history memory {\nretention 86400\n}":                         `retention: "86400" has no unit; write 86400s for seconds, at Testfile:3`,
		"history memory {\nretention_seconds 0\n}":                     "retention_seconds: must be at least 1s, at Testfile:3",
		"history memory {\nretention_seconds 1d\n}":                    `retention_seconds: "1d" is not a whole number, at Testfile:3`,
		"history memory {\nretention 5s\nretention_seconds 5\n}":       "retention and retention_seconds mean the same: write one of them, at Testfile:4",
		"history memory {\nrewind on\nrewind_enabled on\n}":            "rewind and rewind_enabled mean the same: write one of them, at Testfile:4",
		"history memory {\nrewind maybe\n}":                            `rewind: "maybe" is neither on nor off, at Testfile:3`,
		"history memory {\nmax_items_per_channel -1\n}":                "max_items_per_channel: must not be negative, at Testfile:3",
		"history memory {\nmax_messages_per_channel some\n}":           `max_messages_per_channel: "some" is not a whole number, at Testfile:3`,
		"history memory {\nmax_bytes_per_channel some\n}":              `max_bytes_per_channel: "some" is not a size such as 65536, 64KiB or 10MB, at Testfile:3`,
		"history memory {\nmax_page_size 0\n}":                         "max_page_size: must be at least 1, at Testfile:3",
		"history memory {\non_failure ignore\n}":                       `on_failure: "ignore" is not one of refuse, deliver, at Testfile:3`,
		"history memory {\npurge_interval 9s\n}":                       "purge_interval: must be at least 10s, at Testfile:3",
		"history memory {\npurge_interval_seconds 9\n}":                "purge_interval_seconds: must be at least 10s, at Testfile:3",
		"history memory {\nwriter_shards 0\n}":                         "writer_shards: must be at least 1, at Testfile:3",
		"history memory {\nwriter_queue_capacity 0\n}":                 "writer_queue_capacity: must be at least 1, at Testfile:3",
		"history memory {\nwrite_timeout 0s\n}":                        "write_timeout: must be at least 1ms, at Testfile:3",
		"history memory {\npurge_batch_size 1\n}":                      "purge_batch_size" + steps + ", at Testfile:3",
		"history memory {\nmax_purge_per_tick 1\n}":                    "max_purge_per_tick" + steps + ", at Testfile:3",
		"history memory {\nmax_size big\n}":                            `history: max_size: "big" is not a size such as 65536, 64KiB or 10MB, at Testfile:3`,
		"history memory {\ntable_prefix x\n}":                          `history: table_prefix is unknown to this driver; it knows ["max_size"], at Testfile:3`,
		"history memory {\nretenton 5s\n}":                             "retenton is unknown (did you mean retention?), at Testfile:3",
		"history memory {\ndriver memory\n}":                           "driver is written behind history: history postgres, at Testfile:3",
		"history memory {\nbackend memory\n}":                          "backend is written behind history: history postgres, at Testfile:3",
		"history memory x":                                             "history takes the name of one driver, not 2 arguments, at Testfile:2",
		"history on {\nretention 5s\n}":                                "history on takes no block, at Testfile:2",
		"history memory\nhistory memory":                               "history is written twice, at Testfile:3",
		"history kafka":                                                `history: driver "kafka" is not compiled in: there is no module sockudo.histories.kafka; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/kafka, at Testfile:2`,
		"presence_history {\nretention 0s\n}":                          "retention: must be at least 1s, at Testfile:3",
		"presence_history {\nmax_page_size 0\n}":                       "max_page_size: must be at least 1, at Testfile:3",
		"presence_history {\nmax_events_per_channel x\n}":              `max_events_per_channel: "x" is not a whole number, at Testfile:3`,
		"presence_history {\nrewind on\n}":                             "rewind is unknown, at Testfile:3",
		"presence_history memory":                                      `presence_history: "memory" is neither on nor off, at Testfile:2`,
		"versioned_messages {\nretention 5ms\n}":                       "retention: must be at least 1s, at Testfile:3",
		"versioned_messages {\nmax_page_size 0\n}":                     "max_page_size: must be at least 1, at Testfile:3",
		"versioned_messages {\npurge_interval 5m\n}":                   "purge_interval belongs to history, which keeps versions too: history { purge_interval DURATION }, at Testfile:3",
		"versioned_messages {\npurge_batch_size 5\n}":                  "purge_batch_size" + steps + ", at Testfile:3",
		"versioned_messages a b":                                       "versioned_messages takes on, off or the name of one driver, not 2 arguments, at Testfile:2",
		"versioned_messages on {\nretention 5s\n}":                     "versioned_messages takes on, off or a block, and no more than that, at Testfile:4",
		"versioned_messages memory {\ndriver redis\n}":                 "driver is written twice: memory and redis, at Testfile:4",
		"annotations maybe":                                            `annotations: "maybe" is neither on nor off, at Testfile:2`,
		"app a {\nhistory {\nretention 10ms\n}\n}":                     "retention: must be at least 1s, at Testfile:4",
		"app a {\nhistory {\nmax_items_per_channel none\n}\n}":         `max_items_per_channel: "none" is not a whole number, at Testfile:4`,
		"app a {\nhistory {\nmax_page_size 5\n}\n}":                    "max_page_size is unknown, at Testfile:4",
		"app a {\nhistory memory\n}":                                   `history: "memory" is neither on nor off, at Testfile:3`,
		"app a {\npresence_history {\nmax_events_per_channel -1\n}\n}": "max_events_per_channel: must not be negative, at Testfile:4",
		"app a {\nannotations on\nannotations_enabled on\n}":           "annotations and annotations_enabled mean the same: write one of them, at Testfile:4",
		"app a {\nnamespace n {\nhistory {\nenabled on\n}\n}\n}":       "enabled belongs to the app, whose channels all have it or not: history { enabled on|off }, at Testfile:5",
		"app a {\nnamespace n {\nhistory on\n}\n}":                     `history takes a block, not ["on"], at Testfile:4`,
		"app a {\nnamespace n {\nannotations maybe\n}\n}":              `annotations: "maybe" is neither on nor off, at Testfile:4`,
		"app a {\nhistory on\npolicy {\nhistory on\n}\n}":              "app a: what policy says must not be written beside it too, at Testfile:7",
	} {
		_, err := parse(block)
		expectError(t, err, want)
	}
	for object, want := range map[string]string{
		`{"history": "memory"}`: `history.enabled: "memory" is neither on nor off`,
		`{"history": 5}`:        "history: must be an object",
		`{"history": {"driver": "memory", "backend": "memory"}}`:            "history.backend and driver mean the same: write one of them",
		`{"history": {"retention_seconds": 0}}`:                             "history.retention_seconds: must be at least 1s",
		`{"history": {"purge_batch_size": 5}}`:                              "history.purge_batch_size" + steps,
		`{"versioned_messages": {"purge_interval_seconds": 5}}`:             "versioned_messages.purge_interval_seconds belongs to history, which keeps versions too: history { purge_interval_seconds N }",
		`{"annotations": {"enable": true}}`:                                 "annotations.enable is unknown (did you mean enabled?)",
		`{"apps": [{"policy": {"history": {"retention": 5}}}]}`:             "apps.0.policy.history.retention: must be at least 1s",
		`{"apps": [{"channel_namespaces": [{"history": {"enabled": 1}}]}]}`: "apps.0.channel_namespaces.0.history.enabled belongs to the app, whose channels all have it or not: history { enabled on|off }",
	} {
		expectError(t, json.Unmarshal([]byte(object), new(Handler)), want)
	}
}

// What goes together, and what does not (configuration, section 1.21, R4 to R7).
func TestHistoryRules(t *testing.T) {
	const between = "idempotency {\nenabled off\n}\nadapter nats\n"
	alone := func(adapter, history string) string {
		return "history: the adapter " + adapter + " joins several nodes, and each of them would have a history of its own with " + history +
			"; use postgres, mysql, redis, redis_cluster, dynamodb, scylladb or surrealdb"
	}
	for block, want := range map[string]string{
		between + "history memory":                                          alone("nats", "memory"),
		between + "history memory {\nenabled off\n}":                        alone("nats", "memory"),
		between + "history memory {\nenabled off\n}\npresence_history":      alone("nats", "memory"),
		"cache redis\nadapter redis\nhistory memory\nversioned_messages on": alone("redis", "memory"),
		"annotations on":                                                                            "annotations: they need versioned messages; write versioned_messages on",
		"history memory\nannotations on":                                                            "annotations: they need versioned messages; write versioned_messages on",
		"versioned_messages on":                                                                     "versioned_messages: they need history, which is off; write history { enabled on }, here or in an app",
		"history off\nversioned_messages on":                                                        "versioned_messages: they need history, which is off; write history { enabled on }, here or in an app",
		"presence_history on\nversioned_messages on":                                                "versioned_messages: they need history, which is off; write history { enabled on }, here or in an app",
		"history memory {\nenabled off\n}\nversioned_messages":                                      "versioned_messages: they need history, which is off; write history { enabled on }, here or in an app",
		"history memory\nversioned_messages postgres":                                               "versioned_messages.driver: postgres is not the driver of history, which is memory: a message and its versions are one log, in one place",
		"app more {\nkey m\nsecret s\nhistory {\nretention 1500ms\n}\n}":                            "app more: history: retention: 1.5s is not a number of whole seconds, in which stores keep it",
		"app more {\nkey m\nsecret s\npresence_history {\nretention 1500ms\n}\n}":                   "app more: presence_history: retention: 1.5s is not a number of whole seconds, in which stores keep it",
		"app more {\nkey m\nsecret s\nnamespace n {\nhistory {\nretention 1500ms\n}\n}\n}":          "app more: namespace n: history: retention: 1.5s is not a number of whole seconds, in which stores keep it",
		"app more {\nkey m\nsecret s\nnamespace n {\npresence_history {\nretention 1500ms\n}\n}\n}": "app more: namespace n: presence_history: retention: 1.5s is not a number of whole seconds, in which stores keep it",
	} {
		_, err := resolve(&mustParse(t, block+"\n"+appBlock).HubConfig, nil)
		expectError(t, err, want)
	}
	for _, block := range []string{
		"history memory\nversioned_messages on\nannotations on",
		"history memory\nversioned_messages Memory",
		"history memory {\nenabled off\n}\nversioned_messages\napp more {\nkey m\nsecret s\nhistory on\n}",
		"app_manager sqlite\nhistory memory {\nenabled off\n}\nversioned_messages", // for apps of the store
		between + "history counted\npresence_history on",
		between + "history off\npresence_history off",
	} {
		if _, err := resolve(&mustParse(t, block+"\n"+appBlock).HubConfig, nil); err != nil {
			t.Errorf("%s\n%v", block, err)
		}
	}
	for object, want := range map[string]string{
		`{"history": {"driver": "memory", "max_sise": 1}}`: "history: max_sise is unknown (did you mean max_size?)",
		`{"history": {"driver": "rabbitmq"}}`:              `history: driver "rabbitmq" is not compiled in: there is no module sockudo.histories.rabbitmq; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/rabbitmq`,
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(object), h); err != nil {
			t.Fatal(err)
		}
		_, err := resolve(&h.HubConfig, credentials(nil))
		expectError(t, err, want)
	}
}
