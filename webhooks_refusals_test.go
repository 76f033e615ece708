package sockudo

import (
	"encoding/json"
	"strings"
	"testing"
)

// What cannot be meant is refused, with its place and without the URL.
func TestWebhookRefusals(t *testing.T) {
	const url = "https://canary.example/canary-token"
	hook := func(line string) string {
		return "app demo {\n\tkey k\n\tsecret s\n\twebhook " + url + " {\n\t\t" + line + "\n\t}\n}"
	}
	for block, want := range map[string]string{
		hook("events channel_ocupied"):                    "webhook: events: channel_ocupied is unknown (did you mean channel_occupied?), at Testfile:7",
		hook("events ai_run_started"):                     "webhook: events: ai_run_started is not supported yet by this version, at Testfile:7",
		hook("timeout 5s"):                                "webhook: events is missing: it names what is told, such as channel_occupied, at Testfile:7",
		hook("events cache_miss\nurl x"):                  "url is written behind webhook, at Testfile:7",
		hook("headers X-A b"):                             "headers are written as header NAME VALUE in a Caddyfile, at Testfile:6",
		hook("header X-A"):                                "header takes a name and a value, not 1 arguments, at Testfile:6",
		hook("header X-A b\nheader X-A c"):                "header X-A is written twice, at Testfile:7",
		hook("events cache_miss\nheader Host x"):          "webhook: headers: header Host is set by the server itself, or would break the request, at Testfile:8",
		hook("events cache_miss\nheader x-pusher-key x"):  "webhook: headers: header x-pusher-key is set by the server itself, or would break the request, at Testfile:8",
		hook("events cache_miss\nheader a:b x"):           `webhook: headers: "a:b" is no name of a header, at Testfile:8`,
		hook("events cache_miss\nfilter {\npattern (\n}"): "webhook: filter: pattern: error parsing regexp: missing closing ): `(`, at Testfile:10",
		hook("events cache_miss\nlambda fn eu"):           "webhook: it has an URL and a function: write one of them, at Testfile:8",
		hook("events cache_miss\nlambda fn"):              "lambda takes a function and a region, not 1 arguments, at Testfile:7",
		hook("events cache_miss\ntimeout 5"):              `timeout: "5" has no unit; write 5s for seconds, at Testfile:7`,
		hook("event cache_miss"):                          "event is unknown (did you mean events?), at Testfile:6",
		hook("retry {\nmax_attempt 1\n}"):                 "max_attempt is unknown (did you mean max_attempts?), at Testfile:7",
		"app demo {\nwebhook a b {\n}\n}":                 "webhook takes one URL, not 2 arguments, at Testfile:3",
		"app demo {\nwebhook " + url + "\n}":              "webhook needs a block with events, at Testfile:3",
		"app demo {\nwebhooks x\n}":                       "webhooks of an app are written as webhook URL in a Caddyfile, at Testfile:3",
		"app demo {\npolicy {\nwebhooks x\n}\n}":          "webhooks of an app are written as webhook URL in a Caddyfile, at Testfile:4",
		"webhooks {\nmax_batch_size 0\n}":                 "max_batch_size: must be at least 1, at Testfile:3",
		"webhooks {\nbatching on\nbatching_enabled on\n}": "batching and batching_enabled mean the same: write one of them, at Testfile:4",
		"webhooks {\nflush 1s\n}":                         "flush is unknown (did you mean flush_interval?), at Testfile:3",
		"webhooks":                                        "webhooks needs a block, at Testfile:2",
	} {
		_, err := parse(block)
		expectError(t, err, want)
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%v shows the URL", err)
		}
	}
	for hook, want := range map[string]string{
		`{"url": "ftp://a.example", "events": ["cache_miss"]}`:                                                      "app demo: webhook 1: url: its scheme is ftp, and must be https or http",
		`{"url": "a.example", "events": ["cache_miss"]}`:                                                            "app demo: webhook 1: url: it is no URL such as https://example.com/hooks",
		`{"url": "https://a.example/#x", "events": ["cache_miss"]}`:                                                 "app demo: webhook 1: url: it has a fragment, which is never sent",
		`{"events": ["cache_miss"]}`:                                                                                "app demo: webhook 1: it needs an URL, or a function in lambda",
		`{"lambda": {"function_name": "f"}, "events": ["cache_miss"]}`:                                              "app demo: webhook 1: lambda needs function_name and region",
		`{"url": "http://[::ffff:10.0.0.1]/", "events": ["cache_miss"]}`:                                            "app demo: webhook 1: url: ::ffff:10.0.0.1 is a loopback, private or similar address; write webhooks { allow_private on } to admit those",
		`{"url": "http://LocalHost:8000/", "events": ["cache_miss"]}`:                                               "app demo: webhook 1: url: localhost is a loopback, private or similar address; write webhooks { allow_private on } to admit those",
		`{"url": "https://a.example", "events": ["cache_miss"], "filter": {"namespace": "a", "namespaces": ["b"]}}`: "app demo: webhook 1: filter: namespace and namespaces mean the same: write one of them",
	} {
		h := new(Handler)
		if err := json.Unmarshal([]byte(`{"apps": [{"id": "demo", "key": "k", "secret": "s", "webhooks": [`+hook+`]}]}`), h); err != nil {
			t.Errorf("%s: %v", hook, err)
			continue
		}
		_, err := resolve(&h.HubConfig, nil)
		expectError(t, err, want)
	}
}

// Whether webhooks are sent, and whether a queue is opened for them.
//
// Checklist: configuration 92
func TestWebhooksAreOn(t *testing.T) {
	const hook = "app demo {\nkey k\nsecret s\nwebhook https://a.example/ {\nevents cache_miss\n}\n}\n"
	for block, want := range map[string]string{
		appBlock:                                  "",
		appBlock + "webhooks {\nenabled on\n}":    "",
		hook:                                      "sends queue",
		hook + "webhooks {\nenabled off\n}":       "",
		hook + "queue memory":                     "sends queue",
		appBlock + "apps sqlite":                  "unsent",
		"apps sqlite":                             "unsent",
		"apps sqlite\nwebhooks {\n}":              "sends queue",
		"apps sqlite\nwebhooks {\nenabled off\n}": "",
		"apps sqlite\nqueue sqlite":               "sends queue",
		"queue sqlite\n" + appBlock:               "queue",
		"apps sqlite\n" + hook:                    "sends queue",
	} {
		d := mustResolve(t, &mustParse(t, block).HubConfig, nil)
		var got []string
		for word, is := range map[string]bool{"sends": d.webhooks != nil, "queue": d.needsQueue, "unsent": d.webhooksUnsent} {
			if is {
				got = append(got, word)
			}
		}
		if len(got) == 2 && got[0] == "queue" {
			got[0], got[1] = got[1], got[0]
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s\nis %q, want %q", block, text, want)
		}
	}
	d := mustResolve(t, &mustParse(t, hook+"mode development").HubConfig, nil)
	if !d.webhooks.AllowPrivate {
		t.Error("mode development does not admit private addresses")
	}
	d = mustResolve(t, &mustParse(t, strings.Replace(hook, "https", "http", 1)).HubConfig, nil)
	if len(d.warnings) != 1 || !strings.Contains(d.warnings[0], "plain HTTP") || strings.Contains(d.warnings[0], "a.example") {
		t.Errorf("the warnings are %q", d.warnings)
	}
}
