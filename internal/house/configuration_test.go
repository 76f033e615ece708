package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// config is what the root package's types say about the configuration.
type config struct {
	blocks map[string][]field // by type
}

// field is one word of a block.
type field struct {
	name    string // in Go
	word    string // in JSON, and in a Caddyfile
	kind    string // what it takes
	block   string // the type of what it opens, if it is a block
	embeds  string // the type whose words stand here, if it is embedded
	meaning string
	preset  string // the default, as the comment says it
}

// titles are the blocks that docs/configuration.md describes, in its order.
var titles = []struct{ kind, title, intro string }{
	{"HubConfig", "sockudo", ""},
	{"AppConfig", "app", "`app ID { … }`, any number of times. In JSON, an object in the list `apps`."},
	{"MessageRateConfig", "message_rate_limit", "In an app."},
	{"NamespaceConfig", "namespace", "`namespace NAME { … }` in an app, any number of times. In JSON, an object in the list `channel_namespaces`."},
	{"ChannelDeltaConfig", "delta", "`delta CHANNEL MODE` or `delta CHANNEL MODE { … }` in an app, any number of times. In JSON, a mode or an object by channel in `channel_delta_compression`."},
	{"AppIdempotency", "idempotency of an app", ""},
	{"AppRecovery", "recovery of an app", "Or a switch alone: `recovery off`."},
	{"AppHistory", "history of an app", "Or a switch alone: `history on`."},
	{"AppPresenceHistory", "presence_history of an app", "In an app and in a `namespace`. Or a switch alone: `presence_history off`."},
	{"NamespaceHistory", "history of a namespace", ""},
	{"WebhookConfig", "webhook", "`webhook URL { … }` in an app, any number of times. In JSON, an object in the list `webhooks`."},
	{"WebhookFilterConfig", "filter", "In `webhook`."},
	{"LambdaConfig", "lambda", "In `webhook`; in a Caddyfile `lambda FUNCTION REGION`."},
	{"AppCacheConfig", "app_cache", "For app managers other than `memory`."},
	{"ClusterConfig", "cluster_health", "For adapters between nodes."},
	{"HistoryConfig", "history", "`history [DRIVER] { … }`, or a switch alone: `history on`. Words that are not listed belong to the driver. See [History](#history-of-channels)."},
	{"PresenceHistoryConfig", "presence_history", "Or a switch alone: `presence_history on`."},
	{"VersionsConfig", "versioned_messages", "`versioned_messages [DRIVER] { … }`, or a switch alone: `versioned_messages on`."},
	{"AnnotationsConfig", "annotations", "Or a switch alone: `annotations on`."},
	{"RateLimiterConfig", "rate_limiter", "`rate_limiter [DRIVER] { … }`. Words that are not listed belong to the driver."},
	{"RateLimits", "limits", "In `rate_limiter`."},
	{"RateConfig", "api and upgrades", "In `rate_limiter`; in a Caddyfile `api MAX WINDOW` and `upgrades MAX WINDOW`."},
	{"WebSocketConfig", "websocket", ""},
	{"ChannelLimitsConfig", "channel_limits", ""},
	{"EventLimitsConfig", "event_limits", ""},
	{"PresenceConfig", "presence", ""},
	{"RecoveryConfig", "recovery", "Or a switch alone: `recovery on`. See [Recovery](#recovery-of-v2-clients)."},
	{"EchoConfig", "echo_control", "Or a switch alone: `echo_control off`."},
	{"EventFilterConfig", "event_name_filtering", "Or a switch alone: `event_name_filtering off`."},
	{"TagFilterConfig", "tag_filtering", "Or a switch alone: `tag_filtering on`."},
	{"DeltaConfig", "delta_compression", "Or a switch alone: `delta_compression off`."},
	{"IdempotencyConfig", "idempotency", ""},
	{"HTTPConfig", "http", ""},
	{"CORSConfig", "cors", ""},
	{"WebhooksConfig", "webhooks", ""},
	{"WebhookRetryConfig", "retry", "In `webhooks` and in an app's `webhook`."},
	{"PushConfig", "push", "Or a switch alone: `push on`. See [Push notifications](push-configuration.md)."},
	{"PushBackpressure", "backpressure", "In `push`."},
	{"PushRetryConfig", "retry of push", "In `push`."},
	{"PushBreakerConfig", "circuit_breaker", "In `push`."},
	{"PushQuotas", "default_quotas", "In `push`."},
	{"PushEndpoints", "endpoints", "In `push`."},
	{"PushTesting", "testing", "In `push`."},
	{"PushRuleConfig", "push_rule", "`push_rule PATTERN { … }`, any number of times. In JSON, an object in the list `push_rules`."},
	{"PushMapping", "payload_mapping", "In `push_rule`."},
	{"PushSuppress", "suppress_if_present", "In `push_rule`; in a Caddyfile also `suppress_if_present CHANNEL`, or the word alone."},
	{"ConsoleConfig", "console", "Or a switch alone: `console on`. See [the debug console](console.md)."},
	{"MetricsConfig", "metrics", ""},
	{"TCPExporterConfig", "tcp_exporter", "In `metrics`. Or `tcp_exporter HOST:PORT`, which switches it on; or a switch alone: `tcp_exporter on`. See [Metrics and traces](metrics.md#tcp-exporter)."},
}

// kinds are what the types of fields are called in the documents.
var kinds = map[string]string{
	"Number": "number", "Duration": "duration", "Size": "size", "Switch": "`on` or `off`",
	"string": "text", "[]string": "list", "json.RawMessage": "driver", "Databases": "drivers", "HeaderValues": "texts by name",
	"[]json.RawMessage": "objects by name",
}

// configuration reads the types of the configuration.
func configuration(t *testing.T) config {
	t.Helper()
	c := config{map[string][]field{}}
	names, err := filepath.Glob(filepath.Join(root, "config*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no files with the configuration: %v", err)
	}
	for _, name := range names {
		ast.Inspect(parse(t, filepath.Base(name), parser.ParseComments), func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if fields, ok := spec.Type.(*ast.StructType); ok {
					c.blocks[spec.Name.Name] = fieldsOf(fields)
				}
			}
			return true
		})
	}
	return c
}

func fieldsOf(s *ast.StructType) (list []field) {
	for _, f := range s.Fields.List {
		kind := typeName(f.Type)
		if len(f.Names) == 0 {
			list = append(list, field{embeds: kind})
			continue
		}
		if f.Tag == nil {
			continue
		}
		tag, _ := strconv.Unquote(f.Tag.Value)
		word, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
		one := field{name: f.Names[0].Name, word: word, kind: kinds[kind]}
		if words := reflect.StructTag(tag).Get("words"); words != "" {
			one.kind = "`" + strings.Join(strings.Fields(words), "` or `") + "`"
		}
		if one.kind == "" {
			one.kind, one.block = "block", strings.TrimLeft(kind, "[]*")
		}
		one.meaning, one.preset = explain(one.name, f.Doc.Text())
		list = append(list, one)
	}
	return list
}

func typeName(e ast.Expr) string {
	switch k := e.(type) {
	case *ast.Ident:
		return k.Name
	case *ast.StarExpr:
		return "*" + typeName(k.X)
	case *ast.ArrayType:
		return "[]" + typeName(k.Elt)
	case *ast.MapType:
		return "[]" + typeName(k.Value)
	case *ast.SelectorExpr:
		return typeName(k.X) + "." + k.Sel.Name
	}
	return ""
}

// explain takes the comment of a field apart: "Name is the number of x. Default:
// 3." means "The number of x." and "3".
func explain(name, comment string) (meaning, preset string) {
	text := strings.Join(strings.Fields(comment), " ")
	text = strings.TrimPrefix(text, name+" ")
	for _, verb := range []string{"is ", "are "} {
		text = strings.TrimPrefix(text, verb)
	}
	meaning, preset, _ = strings.Cut(text, " Default")
	preset = strings.TrimSuffix(strings.TrimLeft(preset, ":, "), ".")
	if meaning != "" {
		meaning = strings.ToUpper(meaning[:1]) + meaning[1:]
	}
	return meaning, preset
}

// has reports whether a block has a word, or a path of words.
func (c config) has(kind, path string) bool {
	word, rest, nested := strings.Cut(path, " ")
	for _, f := range c.blocks[kind] {
		switch {
		case f.embeds != "" && c.has(f.embeds, path):
			return true
		case f.word == word && !nested:
			return true
		case f.word == word && f.block != "":
			return c.has(f.block, rest)
		}
	}
	return false
}

// tables are the words of all blocks.
func (c config) tables() string {
	var b strings.Builder
	for _, t := range titles {
		fmt.Fprintf(&b, "### %s\n\n", t.title)
		if t.intro != "" {
			fmt.Fprintf(&b, "%s\n\n", t.intro)
		}
		b.WriteString("| Word | Takes | Default | Meaning |\n| --- | --- | --- | --- |\n")
		c.rows(&b, t.kind)
		b.WriteString("\n")
	}
	return b.String()
}

func (c config) rows(b *strings.Builder, kind string) {
	for _, f := range c.blocks[kind] {
		switch {
		case f.embeds != "":
			c.rows(b, f.embeds)
		case f.word != "":
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.word, f.kind, f.preset, f.meaning)
		}
	}
}

// grammar is the syntax of the directive, as the comment of its parser has it.
func grammar(t *testing.T) string {
	t.Helper()
	for _, decl := range parse(t, "caddyfile.go", parser.ParseComments).Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Name.Name != "UnmarshalCaddyfile" {
			continue
		}
		_, code, _ := strings.Cut(f.Doc.Text(), "\n\n\t")
		lines := strings.Split("\t"+code, "\n")
		for i, line := range lines {
			lines[i] = strings.ReplaceAll(strings.TrimPrefix(line, "\t"), "\t", "    ")
		}
		return "```text\n" + strings.TrimSpace(strings.Join(lines, "\n")) + "\n```"
	}
	t.Fatal("caddyfile.go has no UnmarshalCaddyfile")
	return ""
}

// variable is what the name of an environment variable looks like.
var variable = regexp.MustCompile(`^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$`)

// TestEnvironmentIsDescribed wants every variable that the code names in
// docs/configuration.md.
func TestEnvironmentIsDescribed(t *testing.T) {
	text, found := string(read(t, "docs/configuration.md")), 0
	for _, name := range []string{"env.go", "env_variables.go", "env_redis.go", "env_adapters.go", "env_history.go", "env_push.go"} {
		ast.Inspect(parse(t, name, parser.SkipObjectResolution), func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			if name, err := strconv.Unquote(literal.Value); err == nil && variable.MatchString(name) {
				found++
				if !strings.Contains(text, name) {
					t.Errorf("docs/configuration.md does not mention %s", name)
				}
			}
			return true
		})
	}
	if found == 0 {
		t.Error("no variable found")
	}
}

// TestEveryBlockIsDescribed wants all types that the configuration reaches in the
// list of titles.
func TestEveryBlockIsDescribed(t *testing.T) {
	c := configuration(t)
	described := map[string]bool{}
	for _, one := range titles {
		described[one.kind] = true
		if len(c.blocks[one.kind]) == 0 {
			t.Errorf("there is no type %s", one.kind)
		}
	}
	// The nested spelling of an app's policy is described in words.
	described["AppPolicy"], described["AppLimits"], described["AppFeatures"], described["AppChannels"] = true, true, true, true
	for kind, fields := range c.blocks {
		for _, f := range fields {
			if f.block != "" && len(c.blocks[f.block]) > 0 && !described[f.block] {
				t.Errorf("%s of %s opens a block that docs/configuration.md does not describe", f.word, kind)
			}
			if f.word != "" && f.meaning == "" {
				t.Errorf("%s of %s has no comment", f.word, kind)
			}
		}
	}
}
