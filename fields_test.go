package sockudo

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// leaf is a setting that is not a section, by its path in JSON.
type leaf struct {
	path  []string
	field field
}

// leaves are all settings of a section and of those in it.
func leaves(section reflect.Type, path []string) (all []leaf) {
	fields := fieldsOf(section)
	for _, name := range sortedKeys(fields) {
		f, where := fields[name], append(slices.Clone(path), name)
		switch inner := f.kind; {
		case f.namespace != "":
		case inner.Kind() == reflect.Pointer:
			all = append(all, leaves(inner.Elem(), where)...)
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Pointer:
			all = append(all, leaves(inner.Elem().Elem(), append(where, "0"))...)
		case inner == reflect.TypeFor[map[string]*ChannelDeltaConfig]():
			all = append(all, leaves(inner.Elem().Elem(), append(where, "ticker"))...)
		default:
			all = append(all, leaf{where, f})
		}
	}
	return all
}

// required are what sections need to be valid.
var required = map[string]map[string]any{
	"apps":               {"id": "demo", "key": "demo-key", "secret": "app-secret"},
	"channel_namespaces": {"name": "chat"},
	"cors":               {"origins": []any{"https://b.example"}},
	"cluster_health":     {"heartbeat": "1s", "node_timeout": "60s"},
	"webhooks.0":         {"url": "https://a.example/", "events": []any{"cache_miss"}},
	"push_rules":         {"channel_pattern": "presence-orders-*", "event_filter": []any{"order-ready"}},
}

// with makes the sections on a path, inside the section that is called name, and
// sets what is at the end of it to value, unless that is nil.
func with(name string, section any, path []string, value any) any {
	if len(path) == 0 {
		if value != nil {
			return value
		}
		return section
	}
	if path[0] == "0" {
		list, _ := section.([]any)
		if list == nil {
			list = []any{maps.Clone(requiredIn(name))}
		}
		return []any{with(name, list[0], path[1:], value)}
	}
	object, _ := section.(map[string]any)
	if object = maps.Clone(object); object == nil {
		object = map[string]any{}
	}
	inner := object[path[0]]
	if inner == nil && len(path) > 1 && path[1] != "0" || inner == nil && len(path) == 1 && value == nil {
		inner = map[string]any{}
		if r := required[path[0]]; r != nil {
			inner = maps.Clone(r)
		}
	}
	object[path[0]] = with(path[0], inner, path[1:], value)
	return object
}

// requiredIn is what an element of a list needs.
func requiredIn(name string) map[string]any {
	if r := required[name+".0"]; r != nil {
		return r
	}
	return required[name]
}

// samples are values that differ from each other, so that one of them differs
// from the default.
func samples(f field) []any {
	switch {
	case len(f.rule.words) > 0:
		var words []any
		for _, w := range f.rule.words {
			words = append(words, w)
		}
		return words
	case f.kind == switchType:
		return []any{true, false}
	case f.kind == numberType:
		return []any{json.Number("7"), "8"}
	case f.name == "path":
		return []any{"/sample", "/other"}
	case f.name == "purge_interval":
		return []any{"70s", "80s"}
	case f.name == "publish_status_ttl":
		return []any{"48h", "72h"}
	case f.kind == durationType:
		return []any{"7s", "8s"}
	case f.kind == sizeType:
		return []any{json.Number("7777"), "8KiB"}
	case f.name == "events":
		return []any{[]any{"client_event"}}
	case f.kind == reflect.TypeFor[HeaderValues]():
		return []any{map[string]any{"X-A": "b"}}
	case f.name == "channel":
		return []any{"presence-sample", "presence-other"}
	case f.name == "allowed_hosts" || f.name == "denied_hosts":
		return []any{[]any{"push.example.com"}}
	case f.kind == listType:
		return []any{[]any{"https://a.example"}}
	}
	return []any{"sample_", "other_"}
}

// TestEverySettingCounts changes each setting alone. One that nothing comes of
// would be a lie.
//
// Checklist: configuration 3
func TestEverySettingCounts(t *testing.T) {
	for _, l := range leaves(hubType, nil) {
		name := strings.Join(l.path, ".")
		target := strings.Contains(name, "webhooks.0.lambda") || strings.HasSuffix(name, "webhooks.0.url")
		driver := l.path[len(l.path)-1] == "driver"
		drivers := name == "push.storage_driver" || name == "push.queue_driver" || name == "push.allow_memory_drivers"
		if driver || drivers || name == "database" || name == "role" || name == "webhooks.ca" || target {
			continue // these have tests of their own
		}
		env := map[string]string{"SOCKUDO_MAX_CONNECTIONS": "5"} // for env_overrides
		if name == "max_connections" {
			env = nil
		}
		base := with("", nil, []string{"apps", "0"}, nil)
		if strings.HasPrefix(name, "webhooks.") {
			base = with("", base, []string{"apps", "0", "webhooks", "0"}, nil)
		}
		if strings.Contains(name, "history") || strings.Contains(name, "annotations") || l.path[0] == "versioned_messages" {
			base = with("", base, []string{"history"}, map[string]any{"driver": "memory"})
		}
		if strings.Contains(name, "annotations") {
			base = with("", base, []string{"versioned_messages"}, nil)
		}
		if l.path[0] == "push_rules" {
			base = with("", base, []string{"push"}, nil)
		}
		if strings.HasPrefix(name, "push.previous_encryption") || strings.HasPrefix(name, "push.encrypt") {
			base = with("", base, []string{"push", "credential_encryption_key"}, "the key of now")
		}
		base = with("", base, l.path[:len(l.path)-1], nil)
		if strings.HasPrefix(name, "metrics.tcp_exporter.") && name != "metrics.tcp_exporter.enabled" {
			base = with("", base, []string{"metrics", "tcp_exporter", "enabled"}, true)
		}
		before := definitionOf(t, name, base, env)
		changed := false
		values := samples(l.field)
		if name == "events" { // not those of a webhook
			values = []any{[]any{"sockudo.client_event"}}
		}
		for _, value := range values {
			after := definitionOf(t, name, with("", base, l.path, value), env)
			changed = changed || !reflect.DeepEqual(before, after)
		}
		if !changed {
			t.Errorf("%s changes nothing", name)
		}
	}
}

func definitionOf(t *testing.T, what string, tree any, env map[string]string) *definition {
	t.Helper()
	b, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	h := new(Handler)
	if err := json.Unmarshal(b, h); err != nil {
		t.Fatalf("%s: %v in %s", what, err, b)
	}
	d, err := resolve(&h.HubConfig, env)
	if err != nil {
		t.Fatalf("%s: %v in %s", what, err, b)
	}
	return d
}

// TestEveryWordIsDocumented looks for each word in the syntax of the directive.
func TestEveryWordIsDocumented(t *testing.T) {
	source, err := os.ReadFile("caddyfile.go")
	if err != nil {
		t.Fatal(err)
	}
	_, syntax, _ := strings.Cut(string(source), "//	sockudo [MATCHER] [NAME] {\n")
	syntax, _, _ = strings.Cut(syntax, "func (h *Handler) UnmarshalCaddyfile")
	notThere := []string{
		"id", "driver", "max", "window", // arguments
		"apps", "channel_namespaces", "channel_delta_compression", "mode", // app, namespace and delta
		"url", "headers", "function_name", "region", // arguments of webhook, header and lambda
		"push_rules", "providers", // push_rule and provider
		"features", "channels", // named where policy is
		"max_requests", "window_seconds",
		"backend", // driver in JSON
	}
	words := map[string]bool{}
	var collect func(reflect.Type)
	collect = func(section reflect.Type) {
		for name, f := range fieldsOf(section) {
			words[name] = true
			switch kind := f.kind; {
			case kind.Kind() == reflect.Pointer:
				collect(kind.Elem())
			case kind.Kind() != reflect.Slice && kind.Kind() != reflect.Map || kind.Elem().Kind() != reflect.Pointer:
			case kind.Elem().Elem().Kind() == reflect.Struct:
				collect(kind.Elem().Elem())
			}
		}
		for name := range lexiconOf(section).aliases {
			words[name] = true
		}
	}
	collect(reflect.TypeFor[Handler]())
	for word := range words {
		known := false
		for _, end := range []string{" ", "\t", "]", "\n"} {
			known = known || strings.Contains(syntax, "\t"+word+end) || strings.Contains(syntax, "["+word+end) || strings.Contains(syntax, ", "+word+end)
		}
		if !known && !slices.Contains(notThere, word) && !strings.HasPrefix(word, "max_members_per") {
			t.Errorf("%s is not in the syntax comment", word)
		}
	}
}

// TestFullHasEveryWord keeps the largest of the adapted Caddyfiles complete.
func TestFullHasEveryWord(t *testing.T) {
	b, err := json.Marshal(mustParse(t, fullBlock(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves(reflect.TypeFor[Handler](), nil) {
		if name := l.path[len(l.path)-1]; !strings.Contains(string(b), fmt.Sprintf("%q:", name)) {
			t.Errorf("%s is not in testdata/adapt/full.caddyfiletest", strings.Join(l.path, "."))
		}
	}
}
