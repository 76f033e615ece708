package house

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage/metered"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

var update = flag.Bool("update", false, "write the generated tables of docs/")

// setting is one field of realtime.Settings, and the words that set it in a
// Caddyfile. A setting without a word is fixed, or follows from others.
type setting struct {
	field, word string
}

// settings are all settings, in the order of the documents.
var settings = []setting{
	{"NodeID", "node_id"},
	{"PublishOnly", "role"},
	{"MaxConnections", "max_connections"},
	{"ActivityTimeout", "activity_timeout"},
	{"PongTimeout", ""},
	{"AuthenticationTimeout", "authentication_timeout"},
	{"HealthTimeout", "health_timeout"},
	{"DrainPeriod", "drain_period"},
	{"DrainTimeout", "drain_timeout"},
	{"HTTP.Usage", "usage"},

	{"Socket.MaxPayload", "websocket max_payload"},
	{"Socket.MaxMessages", "websocket max_messages"},
	{"Socket.MaxChannels", "websocket max_channels"},
	{"Socket.MaxBytes", "websocket max_bytes"},
	{"Socket.MaxChannels", "websocket max_channels"},
	{"Socket.DropWhenFull", "websocket on_buffer_full"},
	{"Socket.WriteTimeout", ""},
	{"Socket.PingInterval", "websocket ping_interval"},
	{"Socket.IdleTimeout", "websocket idle_timeout"},

	{"Limits.ChannelNameLength", "channel_limits max_name_length"},
	{"Limits.CacheTTL", "channel_limits cache_ttl"},
	{"Limits.EventChannels", "event_limits max_channels_at_once"},
	{"Limits.EventNameLength", "event_limits max_name_length"},
	{"Limits.EventPayload", "event_limits max_payload"},
	{"Limits.EventBatch", "event_limits max_batch_size"},
	{"Limits.PresenceMembers", "presence max_members"},
	{"Limits.PresenceMemberSize", "presence max_member_size"},
	{"Limits.Watchlist", ""},
	{"Presence.UpdateRate", "presence update_rate"},
	{"Presence.Grace", "presence grace"},
	{"Presence.GraceV2", "presence v2_grace"},

	{"Recovery.Enabled", "recovery enabled"},
	{"Recovery.BufferSize", "recovery buffer_size"},
	{"Recovery.TTL", "recovery ttl"},
	{"Recovery.MaxBytes", "recovery max_bytes"},

	{"History.Enabled", "history enabled"},
	{"History.Rewind", "history rewind"},
	{"History.Retention", "history retention"},
	{"History.MaxItems", "history max_items_per_channel"},
	{"History.MaxBytes", "history max_bytes_per_channel"},
	{"History.PageSize", "history max_page_size"},
	{"History.Deliver", "history on_failure"},
	{"History.Purge", "history purge_interval"},
	{"Members.Enabled", "presence_history enabled"},
	{"Members.Retention", "presence_history retention"},
	{"Members.MaxItems", "presence_history max_events_per_channel"},
	{"Members.MaxBytes", "presence_history max_bytes_per_channel"},
	{"Members.PageSize", "presence_history max_page_size"},
	{"Versions.Enabled", "versioned_messages enabled"},
	{"Versions.Retention", "versioned_messages retention"},
	{"Versions.PageSize", "versioned_messages max_page_size"},
	{"Annotations", "annotations enabled"},

	{"Extras.Ephemeral", "ephemeral"},
	{"Extras.Echo", "echo_control enabled"},
	{"Extras.EchoDefault", "echo_control default_echo_messages"},

	{"Filters.Events", "event_name_filtering enabled"},
	{"Filters.MaxEvents", "event_name_filtering max_events_per_filter"},
	{"Filters.MaxEventLength", "event_name_filtering max_event_name_length"},
	{"Filters.Tags", "tag_filtering enabled"},
	{"Filters.KeepTags", "tag_filtering enable_tags"},

	{"Delta.Enabled", "delta_compression enabled"},
	{"Delta.Algorithm", "delta_compression algorithm"},
	{"Delta.FullInterval", "delta_compression full_message_interval"},
	{"Delta.MinSize", "delta_compression min_message_size"},
	{"Delta.MaxStateAge", "delta_compression max_state_age"},
	{"Delta.MaxChannels", "delta_compression max_channel_states_per_socket"},
	{"Delta.MaxKeys", "delta_compression max_conflation_states_per_channel"},
	{"Delta.KeyPath", "delta_compression conflation_key_path"},
	{"Delta.OmitAlgorithm", "delta_compression omit_delta_algorithm"},

	{"Idempotency.Enabled", "idempotency enabled"},
	{"Idempotency.TTL", "idempotency ttl"},
	{"Idempotency.MaxKeyLength", "idempotency max_key_length"},

	{"Rate.API", "rate_limiter api"},
	{"Rate.Upgrades", "rate_limiter upgrades"},
	{"Rate.ConnectionsPerIP", "rate_limiter limits connection_per_ip"},
	{"Rate.EventsPerSecond", "rate_limiter limits events_per_second"},
	{"Rate.FailOpen", "rate_limiter fail_open"},
	{"Rate.SkipPrivate", ""},

	{"HTTP.MaxBody", "http max_body"},
	{"HTTP.CORS.Origins", "cors origins"},
	{"HTTP.CORS.Methods", "cors methods"},
	{"HTTP.CORS.Headers", "cors headers"},
	{"HTTP.CORS.Credentials", "cors credentials"},

	{"Cluster.Off", "cluster_health enabled"},
	{"Cluster.Heartbeat", "cluster_health heartbeat"},
	{"Cluster.NodeTimeout", "cluster_health node_timeout"},
	{"Cluster.Cleanup", "cluster_health cleanup"},

	{"Webhooks.Sink", "webhooks enabled"},
	{"Webhooks.Debounce", "webhooks debounce"},

	{"Push", "push_rules"},
	{"PushAPI", "push"},

	{"Drivers.Apps", "app_manager"},
	{"Drivers.Adapter", "adapter"},
	{"Drivers.Cache", "cache"},
	{"Drivers.Streams", ""},
	{"Drivers.Queue", "queue"},
	{"Drivers.RateLimiter", "rate_limiter driver"},
	{"Drivers.History", "history driver"},

	{"Log", ""},
}

// TestSettingsAreNamed wants every setting in the table above, no other, and
// only words that the configuration has.
func TestSettingsAreNamed(t *testing.T) {
	words := configuration(t)
	named := map[string]bool{}
	for _, s := range settings {
		named[s.field] = true
		if _, ok := realtime.ReloadEffects[s.field]; !ok {
			t.Errorf("%s is no setting", s.field)
		}
		if s.word != "" && !words.has("HubConfig", s.word) {
			t.Errorf("the configuration has no word %q", s.word)
		}
	}
	for field := range realtime.ReloadEffects {
		if !named[field] {
			t.Errorf("the setting %s is missing in this test's table, and so in the documents", field)
		}
	}
}

// TestGeneratedTables compares the generated parts of the documents with the
// code, or writes them.
func TestGeneratedTables(t *testing.T) {
	replace(t, "docs/reload.md", "reload", reloadTable())
	replace(t, "docs/operations.md", "metrics", metricsTable(t))
	replace(t, "docs/configuration.md", "grammar", grammar(t))
	replace(t, "docs/configuration.md", "words", configuration(t).tables())
}

// reloadTable says what changing each setting does, by effect.
func reloadTable() string {
	words := map[realtime.Effect][]string{}
	var effects []realtime.Effect
	for _, s := range settings {
		if s.word == "" {
			continue
		}
		e := realtime.ReloadEffects[s.field]
		if words[e] == nil {
			effects = append(effects, e)
		}
		words[e] = append(words[e], "`"+s.word+"`")
	}
	var b strings.Builder
	b.WriteString("| A change concerns | Settings |\n| --- | --- |\n")
	for _, e := range effects {
		fmt.Fprintf(&b, "| %s | %s |\n", e, strings.Join(words[e], ", "))
	}
	return b.String()
}

// metricsTable lists the metrics of a hub.
func metricsTable(t *testing.T) string {
	t.Helper()
	hub := realtime.NewHub("docs")
	defer hub.Close(t.Context())
	webhooks.NewBoard(hub.Metrics())
	push.NewBoard(hub.Metrics())
	metered.NewQueues(hub.Metrics())
	var b strings.Builder
	b.WriteString("| Metric | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n")
	for _, i := range hub.Metrics().Infos() {
		labels, meaning := "", i.Help
		for n, l := range i.Labels {
			if n > 0 {
				labels += ", "
			}
			labels += "`" + l + "`"
		}
		if i.Buckets != nil {
			meaning += " Buckets: " + strings.Trim(fmt.Sprint(i.Buckets), "[]") + "."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", meter.FullName("sockudo_", i.Name), i.Kind, labels, meaning)
	}
	return b.String()
}

// replace puts text between the comments that name it, or, without -update,
// compares.
func replace(t *testing.T, name, mark, text string) {
	t.Helper()
	document := read(t, name)
	begin, end := []byte("<!-- generated: "+mark+" -->\n"), []byte("<!-- end -->")
	before, rest, ok := bytes.Cut(document, begin)
	old, after, closed := bytes.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for %q", name, mark)
	}
	text = "\n" + strings.TrimSpace(text) + "\n\n"
	if string(old) == text {
		return
	}
	if !*update {
		t.Errorf("%s: %q is not what the code says; run go test ./internal/house -update", name, mark)
		return
	}
	document = bytes.Join([][]byte{before, begin, []byte(text), end, after}, nil)
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(name)), document, 0o600); err != nil {
		t.Fatal(err)
	}
}
