package storage

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWebhooksOfSockudo(t *testing.T) {
	app := &App{ID: "a"}
	ignored, err := UnmarshalPolicy([]byte(`{"webhooks":[
		{"url":"https://hooks.example/rt","event_types":["channel_occupied","member_added"],
		 "filter":{"channel_prefix":"private-","channel_suffix":"-live","channel_pattern":"^private-.*$","channel_namespace":"chat","channel_namespaces":["chat","orders"]},
		 "headers":{"X-Env":"prod"},
		 "retry":{"enabled":true,"max_attempts":5,"max_elapsed_time_ms":300000,"initial_backoff_ms":1000,"max_backoff_ms":60000},
		 "request_timeout_ms":10000,"of_later":{"n":1}},
		{"lambda":{"function_name":"fn","region":"eu-west-1"},"event_types":["cache_miss"]},
		{"lambda_function":"legacy-fn"},
		{"url":"https://b.example","filter":{"channel_namespace":"a","channel_namespaces":["b"]},"retry":{"enabled":false}}]}`), app)
	if err != nil || len(ignored) != 0 {
		t.Fatalf("ignored %v, %v", ignored, err)
	}
	want := []Webhook{
		{
			URL: "https://hooks.example/rt", EventTypes: []string{"channel_occupied", "member_added"},
			Filter:  WebhookFilter{Prefix: "private-", Suffix: "-live", Pattern: "^private-.*$", Namespaces: []string{"chat"}},
			Headers: map[string]string{"X-Env": "prod"}, Timeout: 10 * time.Second,
			Retry: &WebhookRetry{MaxAttempts: 5, MaxElapsed: 5 * time.Minute, InitialBackoff: time.Second, MaxBackoff: time.Minute},
		},
		{Lambda: &Lambda{"fn", "eu-west-1"}, EventTypes: []string{"cache_miss"}},
		{Lambda: &Lambda{"legacy-fn", "us-east-1"}},
		{URL: "https://b.example", Filter: WebhookFilter{Namespaces: []string{""}}, Retry: &WebhookRetry{Off: true}},
	}
	if !reflect.DeepEqual(app.Webhooks, want) {
		t.Errorf("the webhooks became %+v", app.Webhooks)
	}
	// What this version has no use for stays with its webhook, wherever that goes.
	app.Webhooks = []Webhook{app.Webhooks[1], app.Webhooks[0]}
	app.Webhooks[1].EventTypes = nil
	text, err := MarshalPolicy(app)
	if err != nil || strings.Count(string(text), `"of_later":{"n":1}`) != 1 {
		t.Errorf("the policy became %s, %v", text, err)
	}
	app.Webhooks = app.Webhooks[:1]
	if text, err = MarshalPolicy(app); err != nil || strings.Contains(string(text), "of_later") {
		t.Errorf("the policy became %s, %v", text, err)
	}
	app.Webhooks[0].Timeout = time.Microsecond
	if _, err := MarshalPolicy(app); err == nil || !strings.Contains(err.Error(), "webhook 1: timeout: 1µs is not") {
		t.Errorf("a timeout that cannot be kept: %v", err)
	}
}
