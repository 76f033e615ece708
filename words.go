package sockudo

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
)

var (
	hubType         = reflect.TypeFor[HubConfig]()
	rateLimiterType = reflect.TypeFor[RateLimiterConfig]()
	rateType        = reflect.TypeFor[RateConfig]()
)

// lexicon is what is known about the words of a section beside its fields.
type lexicon struct {
	// aliases are other spellings of a field.
	aliases map[string]alias
	// later are words of features that this version does not have.
	later []string
	// caddys are words for what Caddy does, with how it is told to.
	caddys map[string]string
	// needless are words of Sockudo for what there is no need of here.
	needless map[string]needlessError
	// elsewhere are words that belong to another place, with where that is.
	elsewhere map[string]string
	// alone is the setting that a value stands for which is written instead of the
	// section, as in "recovery on". Empty: there is no such spelling.
	alone string
}

// needlessError refuses a word with the reason why there is no need of what it asks
// for. Some values ask for nothing, and are read over.
type needlessError struct {
	reason  string
	nothing []string
}

func (e needlessError) Error() string { return "is not supported: " + e.reason }

// asksNothing reports whether a value in JSON asks for nothing.
func (e needlessError) asksNothing(value any) bool {
	text, err := textOf(value, switchType)
	return value == nil || err == nil && slices.Contains(e.nothing, text)
}

// alias is another spelling of a field, and how its value becomes the field's.
type alias struct {
	field   string
	convert func(text string) (string, error) // nil leaves it as it is
}

// recoveryAlias is how Sockudo calls recovery, and ofRecovery are the words in it: those
// of its files, and the one of its documentation.
var (
	recoveryAlias = map[string]alias{"connection_recovery": {"recovery", nil}}
	ofRecovery    = lexicon{alone: "enabled", aliases: map[string]alias{
		"ttl_seconds": {"ttl", unit("s")}, "buffer_ttl_seconds": {"ttl", unit("s")}, "max_buffer_size": {"buffer_size", nil},
	}}
)

// noCoordination is why nodes say nothing to each other about deltas.
const noCoordination = "deltas are those of one socket, so nodes have nothing to coordinate"

var lexicons = map[reflect.Type]lexicon{
	reflect.TypeFor[PublishHandler](): {aliases: map[string]alias{"channel": {"channels", nil}}},
	hubType: {
		aliases: map[string]alias{
			"user_authentication_timeout": {"authentication_timeout", nil},
			"health_check_timeout_ms":     {"health_timeout", unit("ms")},
			"server_role":                 {"role", nil},
			"connection_recovery":         {"recovery", nil},
		},
		later: []string{"ai_transport", "ably_compat"},
		caddys: map[string]string{
			"host": "the site address or bind", "port": "the site address", "debug": "the global option debug",
			"ssl": "the site address and tls", "unix_socket": "bind", "logging": "log", "path_prefix": "handle_path",
			"shutdown_grace_period": "the global option grace_period",
		},
	},
	reflect.TypeFor[ClusterConfig](): {aliases: map[string]alias{
		"heartbeat_interval_ms": {"heartbeat", unit("ms")},
		"node_timeout_ms":       {"node_timeout", unit("ms")},
		"cleanup_interval_ms":   {"cleanup", unit("ms")},
	}},
	reflect.TypeFor[AppCacheConfig](): {aliases: map[string]alias{"ttl_seconds": {"ttl", unit("s")}, "negative_ttl_seconds": {"negative_ttl", unit("s")}}},
	reflect.TypeFor[AppConfig]():      {aliases: recoveryAlias},
	reflect.TypeFor[AppPolicy]():      {aliases: recoveryAlias},
	reflect.TypeFor[AppChannels]():    {aliases: annotationsAlias},
	reflect.TypeFor[AppRecovery]():    ofRecovery,
	reflect.TypeFor[RecoveryConfig](): ofRecovery,

	historyType: {alone: "enabled", needless: purgeSteps, aliases: merged(historyAliases, map[string]alias{
		"backend": {"driver", nil}, "purge_interval_seconds": {"purge_interval", unit("s")}, "write_timeout_ms": {"write_timeout", unit("ms")},
	})},
	reflect.TypeFor[AppHistory](): {alone: "enabled", aliases: historyAliases},
	reflect.TypeFor[NamespaceHistory](): {aliases: historyAliases, elsewhere: map[string]string{
		"enabled": "the app, whose channels all have it or not: history { enabled on|off }",
	}},
	reflect.TypeFor[PresenceHistoryConfig](): {alone: "enabled", aliases: retentionAliases},
	reflect.TypeFor[AppPresenceHistory]():    {alone: "enabled", aliases: retentionAliases},
	reflect.TypeFor[VersionsConfig]():        {alone: "enabled", aliases: retentionAliases, needless: purgeSteps, elsewhere: purgeElsewhere},
	reflect.TypeFor[AnnotationsConfig]():     {alone: "enabled"},

	reflect.TypeFor[EchoConfig]():        {alone: "enabled"},
	reflect.TypeFor[EventFilterConfig](): {alone: "enabled"},
	reflect.TypeFor[TagFilterConfig]():   {alone: "enabled"},
	reflect.TypeFor[DeltaConfig](): {
		alone:   "enabled",
		aliases: map[string]alias{"max_state_age_secs": {"max_state_age", unit("s")}},
		needless: map[string]needlessError{
			"cluster_coordination": {noCoordination, []string{"off", "false"}},
			"coordination_backend": {noCoordination, []string{"off", "none", "auto"}},
		},
	},
	reflect.TypeFor[ChannelDeltaConfig](): {
		alone:    "mode",
		needless: map[string]needlessError{"max_messages_per_key": {reason: "a delta is always that to the newest message of its key"}},
	},
	reflect.TypeFor[NamespaceConfig](): {aliases: merged(annotationsAlias, map[string]alias{"channel_name_pattern": {"pattern", nil}})},
	reflect.TypeFor[MessageRateConfig](): {aliases: map[string]alias{
		"decay_seconds":      {"decay", unit("s")},
		"terminate_on_limit": {"terminate", nil},
	}},
	reflect.TypeFor[AppIdempotency](): {aliases: map[string]alias{"ttl_seconds": {"ttl", unit("s")}}},
	reflect.TypeFor[WebSocketConfig](): {
		aliases: map[string]alias{
			"max_payload_kb":            {"max_payload", unit("KiB")},
			"disconnect_on_buffer_full": {"on_buffer_full", disconnects},
		},
		later: []string{"compression", "max_message_size", "max_frame_size", "write_buffer_size", "max_backpressure"},
	},
	reflect.TypeFor[CORSConfig](): {aliases: map[string]alias{"origin": {"origins", nil}, "allowed_headers": {"headers", nil}}},
	reflect.TypeFor[HTTPConfig](): {
		aliases: map[string]alias{"request_limit_in_mb": {"max_body", unit("MiB")}},
		later:   []string{"accept_traffic"},
	},
	reflect.TypeFor[ChannelLimitsConfig](): {aliases: map[string]alias{"cache_ttl_seconds": {"cache_ttl", unit("s")}}},
	reflect.TypeFor[EventLimitsConfig]():   {aliases: map[string]alias{"max_payload_in_kb": {"max_payload", unit("KiB")}}},
	reflect.TypeFor[PresenceConfig](): {
		aliases: map[string]alias{
			"max_members_per_channel": {"max_members", nil},
			"max_member_size_in_kb":   {"max_member_size", unit("KiB")},

			"update_rate_limit_per_member_per_second": {"update_rate", nil},
			"ungraceful_timeout_seconds":              {"grace", unit("s")},
			"v2_ungraceful_timeout_seconds":           {"v2_grace", unit("s")},
		},
	},
	reflect.TypeFor[IdempotencyConfig](): {aliases: map[string]alias{"ttl_seconds": {"ttl", unit("s")}}},
	reflect.TypeFor[MetricsConfig](): {
		later:  []string{"tcp_exporter", "channel_labels"},
		caddys: map[string]string{"host": "a site with metrics", "port": "a site with metrics", "driver": "the metrics directive"},
	},
	reflect.TypeFor[WebhooksConfig](): {aliases: map[string]alias{
		"batching": {"batching_enabled", nil}, "flush_interval_ms": {"flush_interval", unit("ms")},
		"timeout_ms": {"timeout", unit("ms")}, "request_timeout_ms": {"timeout", unit("ms")},
	}},
	reflect.TypeFor[WebhookRetryConfig](): {aliases: map[string]alias{
		"max_elapsed_time_ms": {"max_elapsed", unit("ms")}, "initial_backoff_ms": {"initial_backoff", unit("ms")}, "max_backoff_ms": {"max_backoff", unit("ms")},
	}},
	reflect.TypeFor[WebhookConfig](): {aliases: map[string]alias{"event_types": {"events", nil}, "request_timeout_ms": {"timeout", unit("ms")}}},
	reflect.TypeFor[WebhookFilterConfig](): {aliases: map[string]alias{
		"channel_prefix": {"prefix", nil}, "channel_suffix": {"suffix", nil}, "channel_pattern": {"pattern", nil},
		"channel_namespaces": {"namespaces", nil}, "channel_namespace": {"namespace", nil},
	}},
	rateLimiterType: {aliases: map[string]alias{"api_rate_limit": {"api", nil}, "websocket_rate_limit": {"upgrades", nil}}},
	reflect.TypeFor[RateConfig](): {
		aliases: map[string]alias{"max_requests": {"max", nil}, "window_seconds": {"window", unit("s")}},
		caddys:  map[string]string{"trust_hops": "the global option trusted_proxies"},
	},
}

// unit makes a converter of text with a fixed unit, which may be a placeholder.
func unit(name string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !hasPlaceholder(text) {
			if _, err := parseNumber(text); err != nil {
				return "", err
			}
		}
		return text + name, nil
	}
}

func disconnects(text string) (string, error) {
	on, err := parseSwitch(text)
	return map[bool]string{true: "disconnect", false: "drop"}[on], err
}

// field is a setting of a section.
type field struct {
	name  string
	index []int
	kind  reflect.Type
	rule  rule
	// namespace is that of the modules a driver is selected from.
	namespace string
}

var fieldCache sync.Map // of reflect.Type to map[string]field

// fieldsOf are the settings of a section by name, those of embedded ones included.
func fieldsOf(section reflect.Type) map[string]field {
	if known, ok := fieldCache.Load(section); ok {
		return known.(map[string]field)
	}
	fields := map[string]field{}
	for _, f := range reflect.VisibleFields(section) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "" || name == "-" {
			continue
		}
		entry := field{name: name, index: f.Index, kind: f.Type, rule: ruleOf(f)}
		for part := range strings.FieldsSeq(f.Tag.Get("caddy")) {
			if ns, ok := strings.CutPrefix(part, "namespace="); ok {
				entry.namespace = ns
			}
		}
		fields[name] = entry
	}
	fieldCache.Store(section, fields)
	return fields
}

// lexiconOf is the lexicon of a section and of those embedded in it.
func lexiconOf(section reflect.Type) lexicon {
	all := lexicon{aliases: map[string]alias{}, caddys: map[string]string{}, needless: map[string]needlessError{}, elsewhere: map[string]string{}}
	add := func(t reflect.Type) {
		l := lexicons[t]
		maps.Copy(all.aliases, l.aliases)
		maps.Copy(all.caddys, l.caddys)
		maps.Copy(all.needless, l.needless)
		maps.Copy(all.elsewhere, l.elsewhere)
		all.later = append(all.later, l.later...)
	}
	add(section)
	for f := range section.Fields() {
		if f.Anonymous {
			add(f.Type)
		}
	}
	return all
}

// findWord finds the setting that a word of a section names, and how the word's
// value becomes that of the setting. extra are further words that the place knows.
func findWord(section reflect.Type, word string, extra ...string) (field, alias, error) {
	fields, words := fieldsOf(section), lexiconOf(section)
	if f, ok := fields[word]; ok {
		return f, alias{field: word}, nil
	}
	if a, ok := words.aliases[word]; ok {
		return fields[a.field], a, nil
	}
	if slices.Contains(words.later, word) {
		return field{}, alias{}, errLater
	}
	if where, ok := words.caddys[word]; ok {
		return field{}, alias{}, fmt.Errorf("is Caddy's own business: use %s", where)
	}
	if where, ok := words.elsewhere[word]; ok {
		return field{}, alias{}, fmt.Errorf("belongs to %s", where)
	}
	if why, ok := words.needless[word]; ok {
		return field{}, alias{}, why
	}
	known := slices.Concat(extra, slices.Collect(maps.Keys(fields)), slices.Collect(maps.Keys(words.aliases)))
	return field{}, alias{}, unknownWord(word, known)
}

var errLater = fmt.Errorf("is not supported yet by this version")

// unknownError is the error for a word that means nothing.
type unknownError struct{ suggestion string }

func (e unknownError) Error() string {
	if e.suggestion == "" {
		return "is unknown"
	}
	return fmt.Sprintf("is unknown (did you mean %s?)", e.suggestion)
}

func unknownWord(word string, known []string) error {
	return unknownError{nearest(word, known)}
}

// nearest is the known word that is most like word, or "".
func nearest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, least := "", max(2, len(word)/3)+1
	slices.Sort(known)
	for _, k := range known {
		d := distance(word, k)
		if strings.HasPrefix(k, word) || strings.HasPrefix(word, k) {
			d = min(d, 2)
		}
		if d < least && d < len(word) {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, remove or replace between two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
