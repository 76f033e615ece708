package sockudo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// pageKey is a key of the product's page, with what it is elsewhere.
type pageKey struct {
	key string
	// before is what a file needs beside the key, and line the key with a value that is
	// not what counts without it. An @ is where a line of an app goes.
	before, line string
	// caddyfile is the block of the directive that means the same as both.
	caddyfile string
	// show is how the Caddyfile form is shown, and is the block if it is empty. json is
	// that of keys which are Caddy's own business.
	show, json string
	// test shows the effect of the word.
	test string
}

const (
	pageApp = "[app_manager.array]\n[[app_manager.array.apps]]\nid = \"demo\"\nkey = \"demo-key\"\nsecret = \"s3cr3t-canary\"\n@\n" +
		"[[app_manager.array.apps.webhooks]]\nurl = \"https://hooks.example.com/\"\nevents = [\"channel_occupied\"]\n"
	pageAppBlock = "app demo {\nkey demo-key\nsecret s3cr3t-canary\n@\nwebhook https://hooks.example.com/ {\nevents channel_occupied\n}\n}\n"
	alone        = "[idempotency]\nenabled = false\n"
	aloneBlock   = "idempotency {\nenabled off\n}\n"
	redisAdapter = alone + "[adapter]\ndriver = \"redis\"\n[adapter.redis]\nrequests_timeout = 5000\n"
	apnsProvider = "[push]\nenabled = true\n[push.providers.apns]\n"
	webProvider  = "[push]\nenabled = true\n[push.providers.webpush]\nenabled = true\n"
)

// pageKeys are all keys of the page.
var pageKeys = []pageKey{
	{key: "port", show: "http://:6001", json: `"listen": [":6001"]`, test: "TestMinimalFileServes"},
	{key: "host", show: "bind 0.0.0.0", json: `"listen": ["0.0.0.0:6001"]`, test: "TestMinimalFileServes"},
	{key: "debug", show: "global option debug", json: `"logging": {"logs": {"default": {"level": "DEBUG"}}}`, test: "TestMinimalFileServes"},

	{"app_manager.driver", "", "[app_manager]\ndriver = \"postgres\"", "app_manager postgres", "", "", "TestProductionFileServes"},
	{"app_manager.array.apps.id", "", "+id = \"other\"", "", "app other { … }", "", "TestMinimalFileServes"},
	{"app_manager.array.apps.key", "", "+key = \"other\"", "", "app ID { key other }", "", "TestMinimalFileServes"},
	{"app_manager.array.apps.secret", "", "+secret = \"other\"", "", "app ID { secret other }", "", "TestMinimalFileServes"},
	{"app_manager.array.apps.enabled", "", "+enabled = false", "", "app ID { enabled off }", "", "TestConf044DisabledApp"},
	{"app_manager.array.apps.enable_client_messages", "", "+enable_client_messages = true", "", "app ID { enable_client_messages on }", "", "TestClientEvents"},
	{"app_manager.array.apps.max_connections", "", "+max_connections = 1000", "", "app ID { max_connections 1000 }", "", "TestConnectRefusals"},

	{"adapter.driver", alone, "[adapter]\ndriver = \"redis\"", aloneBlock + "adapter redis", "adapter redis", "", "TestRedisAdapterJoinsNodes"},
	{"adapter.redis.host", redisAdapter, "host = \"redis\"", aloneBlock + "adapter redis {\nrequest_timeout 5s\nhost redis\n}", "adapter redis { host redis }", "", "TestRedisAdapterJoinsNodes"},
	{"adapter.redis.port", redisAdapter, "port = 6380", aloneBlock + "adapter redis {\nrequest_timeout 5s\nport 6380\n}", "adapter redis { port 6380 }", "", "TestRedisAdapterJoinsNodes"},
	{"adapter.redis.prefix", redisAdapter, "prefix = \"sockudo\"", aloneBlock + "adapter redis {\nrequest_timeout 5s\nprefix sockudo\n}", "adapter redis { prefix sockudo }", "", "TestRedisAdapterJoinsNodes"},
	{"cache.driver", "", "[cache]\ndriver = \"redis\"", "cache redis", "", "", "TestRedisCacheJoinsNodes"},
	{"queue.driver", "", "[queue]\ndriver = \"redis\"", "queue redis", "", "", "TestQueueSwitches"},

	{"metrics.enabled", "[metrics]\n", "enabled = false", "metrics {\nenabled off\n}", "", "", "TestMetrics"},
	{key: "metrics.host", show: "http://127.0.0.1:9601 { metrics /metrics }", json: `"listen": ["127.0.0.1:9601"]`, test: "TestProductionFileServes"},
	{key: "metrics.port", show: "http://:9601 { metrics /metrics }", json: `"listen": [":9601"]`, test: "TestProductionFileServes"},
	{"metrics.tcp_exporter.enabled", "[metrics.tcp_exporter]\n", "enabled = true", "", "metrics { tcp_exporter 127.0.0.1:5000 { enabled on } }", "", "TestTCPExporterOfFiles"},
	{"metrics.tcp_exporter.host", "[metrics.tcp_exporter]\nenabled = true\n", "host = \"::1\"", "", "metrics { tcp_exporter [::1]:5000 }", "", "TestTCPExporterOfFiles"},
	{"metrics.tcp_exporter.port", "[metrics.tcp_exporter]\nenabled = true\n", "port = 5001", "", "metrics { tcp_exporter 127.0.0.1:5001 }", "", "TestTCPExporterOfFiles"},
	{"metrics.tcp_exporter.buffer_size", "[metrics.tcp_exporter]\nenabled = true\n", "buffer_size = 2048", "", "metrics { tcp_exporter 127.0.0.1:5000 { buffer_size 2048 } }", "", "TestTCPExporterOfFiles"},

	{"recovery.enabled", "[recovery]\n", "enabled = true", "recovery {\nenabled on\n}", "recovery on", "", "TestResume"},
	{"recovery.buffer_size", "[recovery]\nenabled = true\n", "buffer_size = 1000", "recovery {\nenabled on\nbuffer_size 1000\n}", "recovery { buffer_size 1000 }", "", "TestResumeRefusals"},
	{"recovery.ttl_seconds", "[recovery]\nenabled = true\n", "ttl_seconds = 121", "recovery {\nenabled on\nttl_seconds 121\n}", "recovery { ttl 121s }", "", "TestResumeRefusals"},
	{"history.enabled", "[history]\n", "enabled = true", "history {\nenabled on\n}", "history on", "", "TestHistoryOfPublishes"},
	{"history.retention_seconds", "[history]\nenabled = true\n", "retention_seconds = 3600", "history {\nenabled on\nretention_seconds 3600\n}", "history { retention 3600s }", "", "TestHTTP097Eviction"},
	{"history.max_items_per_channel", "[history]\nenabled = true\n", "max_items_per_channel = 10000", "history {\nenabled on\nmax_items_per_channel 10000\n}", "history { max_items_per_channel 10000 }", "", "TestHTTP097Eviction"},

	{"push.enabled", "[push]\n", "enabled = false", "push off", "", "", "TestPushOff"},
	{"push.default_ttl_seconds", "[push]\nenabled = true\n", "default_ttl_seconds = 1800", "push {\ndefault_ttl_seconds 1800\n}", "push { default_ttl 1800s }", "", "TestDefaultLife"},
	{"push.publish_status_ttl_seconds", "[push]\nenabled = true\n", "publish_status_ttl_seconds = 172800", "push {\npublish_status_ttl_seconds 172800\n}", "push { publish_status_ttl 172800s }", "", "TestCleaning"},
	{"push.max_recipients_per_publish", "[push]\nenabled = true\n", "max_recipients_per_publish = 5000", "push {\nmax_recipients_per_publish 5000\n}", "push { max_recipients_per_publish 5000 }", "", "TestQuotas"},
	{"push.async_only", "[push]\nenabled = true\n", "async_only = false", "push {\nasync_only off\n}", "push { async_only off }", "", "TestWaiting"},
	{"push.providers.apns.enabled", apnsProvider, "enabled = false", "push {\nprovider apns {\nenabled off\n}\n}", "push { provider apns { enabled off } }", "", "TestPushByVariables"},
	{"push.providers.apns.team_id", apnsProvider, "team_id = \"TEAMID1234\"", "push {\nprovider apns {\nteam_id TEAMID1234\n}\n}", "push { provider apns { team_id TEAMID1234 } }", "", "TestTheConfigurationSends"},
	{"push.providers.apns.key_id", apnsProvider, "key_id = \"KEYID12345\"", "push {\nprovider apns {\nkey_id KEYID12345\n}\n}", "push { provider apns { key_id KEYID12345 } }", "", "TestTheConfigurationSends"},
	{"push.providers.apns.bundle_id", apnsProvider, "bundle_id = \"com.example.app\"", "push {\nprovider apns {\nbundle_id com.example.app\n}\n}", "push { provider apns { bundle_id com.example.app } }", "", "TestTheConfigurationSends"},
	{"push.providers.apns.private_key_path", apnsProvider, "private_key_path = \"/k.p8\"", "push {\nprovider apns {\nprivate_key_path /k.p8\n}\n}", "push { provider apns { private_key_path /k.p8 } }", "", "TestTheConfigurationSends"},
	{"push.providers.webpush.enabled", "[push]\nenabled = true\n[push.providers.webpush]\n", "enabled = false", "push {\nprovider webpush {\nenabled off\n}\n}", "push { provider webpush { enabled off } }", "", "TestBlock"},
	{"push.providers.webpush.vapid_subject", webProvider, "vapid_subject = \"mailto:ops@example.com\"", "push {\nprovider webpush {\nenabled on\nvapid_subject mailto:ops@example.com\n}\n}", "push { provider webpush { vapid_subject mailto:ops@example.com } }", "", "TestBlock"},
	{"push.providers.webpush.vapid_public_key", webProvider, "vapid_public_key = \"${WEB_PUSH_PUBLIC_KEY}\"", "push {\nprovider webpush {\nenabled on\nvapid_public_key {env.WEB_PUSH_PUBLIC_KEY}\n}\n}", "push { provider webpush { vapid_public_key {env.WEB_PUSH_PUBLIC_KEY} } }", "", "TestBlock"},
	{"push.providers.webpush.vapid_private_key", webProvider, "vapid_private_key = \"${WEB_PUSH_PRIVATE_KEY}\"", "push {\nprovider webpush {\nenabled on\nvapid_private_key {env.WEB_PUSH_PRIVATE_KEY}\n}\n}", "push { provider webpush { vapid_private_key {env.WEB_PUSH_PRIVATE_KEY} } }", "", "TestBlock"},

	{"webhooks.enabled", "[webhooks]\n", "enabled = false", "webhooks {\nenabled off\n}", "", "", "TestNoWebhooks"},
	{"webhooks.batching_enabled", "[webhooks]\n", "batching_enabled = false", "webhooks {\nbatching_enabled off\n}", "", "", "TestEachEventByItself"},
	{"webhooks.max_batch_size", "[webhooks]\n", "max_batch_size = 60", "webhooks {\nmax_batch_size 60\n}", "", "", "TestBatches"},
	{"webhooks.flush_interval_ms", "[webhooks]\n", "flush_interval_ms = 250", "webhooks {\nflush_interval_ms 250\n}", "webhooks { flush_interval 250ms }", "", "TestBatches"},
	{"webhooks.timeout_ms", "[webhooks]\n", "timeout_ms = 4000", "webhooks {\ntimeout_ms 4000\n}", "webhooks { timeout 4000ms }", "", "TestFailures"},

	{"rate_limiter.enabled", "[rate_limiter]\n", "enabled = false", "rate_limiter {\nenabled off\n}", "", "", "TestRateLimits"},
	{"rate_limiter.driver", "", "[rate_limiter]\ndriver = \"redis\"", "rate_limiter redis {\nenabled on\n}", "rate_limiter redis", "", "TestRedisLimiterJoinsNodes"},
	{"rate_limiter.limits.connection_per_ip", "[rate_limiter.limits]\n", "connection_per_ip = 50", "rate_limiter {\nlimits {\nconnection_per_ip 50\n}\n}", "", "", "TestDrainingAndConnectionsPerAddress"},
	{"rate_limiter.limits.events_per_second", "[rate_limiter.limits]\n", "events_per_second = 100", "rate_limiter {\nlimits {\nevents_per_second 100\n}\n}", "", "", "TestClientEventRate"},
}

// texts are a file with the key and one without it, and the block that means the same.
func (k pageKey) texts() (with, without, block string) {
	app, appBlock, line := pageApp, pageAppBlock, k.line
	if inApp, ok := strings.CutPrefix(line, "+"); ok {
		name, value, _ := strings.Cut(inApp, " = ")
		written := regexp.MustCompile(`(?m)^` + name + ` = .*\n`)
		app, line = strings.Replace(written.ReplaceAllString(pageApp, ""), "@", inApp, 1), ""
		value = strings.NewReplacer(`"`, "", "true", "on", "false", "off").Replace(value)
		if name == "id" {
			appBlock = strings.Replace(pageAppBlock, "app demo", "app "+value, 1)
		} else {
			appBlock = strings.Replace(regexp.MustCompile(`(?m)^`+name+` .*\n`).ReplaceAllString(pageAppBlock, ""), "@", name+" "+value, 1)
		}
	}
	clean := func(s string) string { return strings.ReplaceAll(s, "@\n", "") }
	return clean(app) + k.before + line + "\n", clean(pageApp) + k.before, clean(appBlock) + k.caddyfile
}

// pageEnv are the variables that files of the page name.
var pageEnv = map[string]string{"WEB_PUSH_PUBLIC_KEY": "the public key", "WEB_PUSH_PRIVATE_KEY": "the private key"}

func mustReadSockudo(t *testing.T, text string) *sockudoFile {
	t.Helper()
	f, err := readSockudo([]byte(text), "sockudo.toml", envOf(pageEnv))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return f
}

// hubOf is the hub of a file as the handler reads it, and its definition.
func hubOf(t *testing.T, f *sockudoFile) (*HubConfig, *definition) {
	t.Helper()
	b, err := json.Marshal(f.Hub)
	if err != nil {
		t.Fatal(err)
	}
	h := new(Handler)
	if err := json.Unmarshal(b, h); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return &h.HubConfig, withoutLog(mustResolve(t, &h.HubConfig, nil))
}

// withoutLog leaves out what cannot be compared.
func withoutLog(d *definition) *definition {
	d.settings.Log = nil
	return d
}

// TestEachKeyOfThePage wants the same of every key as of the word whose effect another
// test shows, and that it changes something.
//
// Checklist: configuration 10, 11
func TestEachKeyOfThePage(t *testing.T) {
	for name, value := range pageEnv {
		t.Setenv(name, value)
	}
	for _, k := range pageKeys {
		if k.line == "" || strings.HasPrefix(k.key, "metrics.tcp_exporter") {
			continue // these have tests of their own
		}
		with, without, block := k.texts()
		_, got := hubOf(t, mustReadSockudo(t, with))
		_, other := hubOf(t, mustReadSockudo(t, without))
		want := withoutLog(mustResolve(t, &mustParse(t, block).HubConfig, nil))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the file means\n%+v\nand the block\n%+v", k.key, got, want)
		}
		if reflect.DeepEqual(got, other) {
			t.Errorf("%s has no effect", k.key)
		}
	}
}

// leafKeys are the keys of a file that are no tables.
func leafKeys(n *fileNode, path string) (keys []string) {
	switch v := n.value.(type) {
	case fileTable:
		for _, key := range n.keys() {
			keys = append(keys, leafKeys(v[key], join(path, key))...)
		}
	case []*fileNode:
		for _, one := range v {
			keys = append(keys, leafKeys(one, path)...)
		}
	default:
		return []string{path}
	}
	return keys
}

// TestPageIsComplete wants every key of the page's files among those that have a test,
// and no other.
func TestPageIsComplete(t *testing.T) {
	files, err := filepath.Glob("testdata/toml/page/*.toml")
	if err != nil || len(files) != 7 {
		t.Fatal(files, err)
	}
	written := map[string]bool{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		root, err := parseFile(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range leafKeys(root, "") {
			written[key] = true
		}
	}
	tests := testNames(t)
	for _, k := range pageKeys {
		if !written[k.key] {
			t.Errorf("%s is no key of the page, or twice here", k.key)
		}
		if delete(written, k.key); !tests[k.test] {
			t.Errorf("%s: there is no test %s", k.key, k.test)
		}
	}
	for key := range written {
		t.Errorf("%s has no test", key)
	}
}

// testNames are the names of all tests of this repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names, test := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, m := range test.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// added is what is in a tree and not in another one.
func added(with, without any) any {
	switch w := with.(type) {
	case map[string]any:
		other, _ := without.(map[string]any)
		result := map[string]any{}
		for key, value := range w {
			if d := added(value, other[key]); d != nil {
				result[key] = d
			}
		}
		if len(result) > 0 {
			return result
		}
	case []any:
		other, _ := without.([]any)
		if reflect.DeepEqual(w, other) {
			return nil
		}
		if len(other) == len(w) && len(w) > 0 {
			return []any{added(w[0], other[0])}
		}
		return w
	default:
		if !reflect.DeepEqual(with, without) {
			return with
		}
	}
	return nil
}

// TestPageTable compares the table of docs/configuration.md with the keys, or writes it.
func TestPageTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| Key of the page | In a Caddyfile | In JSON | Shown by |\n| --- | --- | --- | --- |\n")
	for _, k := range pageKeys {
		object := k.json
		if object == "" && !strings.HasPrefix(k.key, "metrics.tcp_exporter") {
			with, without, _ := k.texts()
			text, err := json.Marshal(added(mustReadSockudo(t, with).Hub, mustReadSockudo(t, without).Hub))
			if err != nil {
				t.Fatal(err)
			}
			object = string(text)
		}
		show := k.show
		if show == "" {
			show = strings.ReplaceAll(k.caddyfile, "\n", " ")
		}
		if object != "" {
			object = "`" + object + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | `%s` |\n", k.key, show, object, k.test)
	}
	b.WriteString("\n")
	const name, begin, end = "docs/configuration.md", "<!-- generated: page -->\n", "<!-- end of page -->"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := bytes.Cut(text, []byte(begin))
	old, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		t.Fatal(name + " has no place for the table")
	}
	if string(old) == b.String() {
		return
	}
	if !*update {
		t.Error(name + " is not what the keys say; run go test . -run TestPageTable -update")
		return
	}
	text = slices.Concat(before, []byte(begin+b.String()+end), after)
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
