package storage

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// FuzzUnmarshalApp reads records of any kind. What can be read must be written so
// that it reads the same again.
func FuzzUnmarshalApp(f *testing.F) {
	for _, seed := range []string{
		`{"id":"a","key":"k","secret":"s","enabled":true,"policy":{"limits":{"max_connections":"5"},"later":{"n":1}}}`,
		`{"id":"a","key":"k","secret":"s","max_connections":5,"enable_client_messages":true,"allowed_origins":["x"],"webhooks":[]}`,
		`{"id":"a","key":"k","secret":"s","policy":{"channels":{"channel_namespaces":[{"name":"n","channel_name_pattern":"^n:","later":true}]}}}`,
		`{"policy":{"limits":{"message_rate_limit":{"enabled":true}},"previous_secrets":[{"secret":"x","until":2000000000}]}}`,
		`{"policy":{"webhooks":[{"url":"https://a.example","event_types":["channel_occupied"],"filter":{"channel_prefix":"p","channel_namespace":"n","channel_namespaces":["m"]},"headers":{"X-A":"b"},"retry":{"enabled":false,"max_attempts":3},"request_timeout_ms":"1500","later":1},{"lambda_function":"fn"},{"lambda":{"function_name":"f","region":"r"},"event_types":null}]}}`,
		`{"policy":{"channels":{"channel_delta_compression":{"a":"fossil","b*":{"enabled":false,"algorithm":"Xdelta3","conflation_key":"data.id","max_messages_per_key":10,"max_conflation_keys":"7","enable_tags":false},"c":"inherit","d":"Disabled","e":{"algorithm":"Fossil"},"f":null}}}}`,
		`{"policy":{"connection_recovery":{"enabled":true,"buffer_ttl_seconds":60,"max_buffer_size":"50","later":1},"channels":{"channel_namespaces":[{"name":"n","allow_subscribe_for_client":false,"allow_publish_for_client":true}]}}}`,
		`{"id":"a","key":"k","secret":"s","connection_recovery":{"enabled":false},"channel_delta_compression":{"a":"xdelta3"}}`,
		`{"policy":{"webhooks":[{"url":"https://a.example","retry":{"enAbLed":false,"mAx_Attempts":1}},{"lAMbdA_functIon":"fn"},{"later":{"n":"1"}}]}}`,
		`{"policy":{"limits":null,"idempotency":{"enabled":false,"ttl_seconds":5}}}`, `null`, `[]`, `{"policy":[]}`,
		`{"policy":` + historyRecord + `}`, `{"history":{"max_bytes_per_channel":"5000000000"},"annotations_enabled":false}`,
		`{"policy":{"hIstory":{"EnaBled":true,"x":1},"presence_history":null,"channels":{"channel_namespaces":[{"name":"n","History":{"x":1},"presence_history":[]}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		app, _, err := UnmarshalApp(text)
		if app == nil {
			t.Fatal("no app")
		}
		if err != nil {
			return
		}
		written, err := MarshalApp(app)
		if err != nil {
			t.Fatalf("writing %+v: %v", app, err)
		}
		again, _, err := UnmarshalApp(written)
		if err != nil {
			t.Fatalf("reading %s: %v", written, err)
		}
		if !reflect.DeepEqual(plain(app), plain(again)) {
			t.Fatalf("%+v became %+v", app, again)
		}
		if twice, err := MarshalApp(again); err != nil || canonical(t, twice) != canonical(t, written) {
			t.Fatalf("%s became %s, %v", written, twice, err)
		}
	})
}

// plain is an app without what need not be equal.
func plain(app *App) App {
	c := *app
	c.Stored = nil
	c.AllowedOrigins = append([]string{}, app.AllowedOrigins...)
	c.Namespaces = map[string]*Namespace{}
	for name, n := range app.Namespaces {
		bare := *n
		bare.Match = nil
		c.Namespaces[name] = &bare
	}
	return c
}

func canonical(t *testing.T, text []byte) string {
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestVersionsTellRecordsApart(t *testing.T) {
	seen := map[string]string{}
	for name, app := range map[string]*App{
		"plain":    {ID: "a", Key: "k", Secret: "s"},
		"id":       {ID: "b", Key: "k", Secret: "s"},
		"key":      {ID: "a", Key: "l", Secret: "s"},
		"secret":   {ID: "a", Key: "k", Secret: "t"},
		"enabled":  {ID: "a", Key: "k", Secret: "s", Enabled: true},
		"limits":   {ID: "a", Key: "k", Secret: "s", Limits: AppLimits{MaxConnections: 1}},
		"features": {ID: "a", Key: "k", Secret: "s", Features: AppFeatures{ClientMessages: true}},
		"origins":  {ID: "a", Key: "k", Secret: "s", AllowedOrigins: []string{"x"}},
		"previous": {ID: "a", Key: "k", Secret: "s", PreviousSecrets: []PreviousSecret{{"o", time.Unix(1, 0)}}},
		"webhooks": {ID: "a", Key: "k", Secret: "s", Webhooks: []Webhook{{URL: "https://a.example"}}},
		"recovery": {ID: "a", Key: "k", Secret: "s", Recovery: AppRecovery{BufferSize: 1}},
		"delta":    {ID: "a", Key: "k", Secret: "s", Delta: map[string]ChannelDelta{"x": {Disabled: true}}},
		"inherit":  {ID: "a", Key: "k", Secret: "s", Delta: map[string]ChannelDelta{"x": {}}},
		"flags":    {ID: "a", Key: "k", Secret: "s", Namespaces: map[string]*Namespace{"x": {Name: "x", NoPublish: true}}},
		"flag":     {ID: "a", Key: "k", Secret: "s", Namespaces: map[string]*Namespace{"x": {Name: "x", NoPresence: true}}},
		"history":  {ID: "a", Key: "k", Secret: "s", History: AppHistory{MaxItems: 1}},
		"members":  {ID: "a", Key: "k", Secret: "s", PresenceHistory: AppHistory{MaxItems: 1}},
		"marks":    {ID: "a", Key: "k", Secret: "s", Annotations: new(bool)},
		"rewind":   {ID: "a", Key: "k", Secret: "s", Namespaces: map[string]*Namespace{"x": {Name: "x", History: AppHistory{Rewind: new(bool)}}}},
		"joins":    {ID: "a", Key: "k", Secret: "s", Namespaces: map[string]*Namespace{"x": {Name: "x", PresenceHistory: AppHistory{Enabled: new(bool)}}}},
		"noted":    {ID: "a", Key: "k", Secret: "s", Namespaces: map[string]*Namespace{"x": {Name: "x", Annotations: new(bool)}}},
		"unread":   {ID: "a", Key: "k", Secret: "s", Stored: []byte(`{"later":1}`)},
	} {
		version, err := AppVersion(app)
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[version]; other != "" {
			t.Errorf("%s and %s have one version", name, other)
		}
		seen[version] = name
	}
	one, err1 := AppVersion(&App{ID: "a", Key: "k", Secret: "s", Stored: []byte(`{"x":1,"y":{"b":1,"a":2}}`)})
	two, err2 := AppVersion(&App{ID: "a", Key: "k", Secret: "s", Stored: []byte(`{ "y": {"a":2, "b":1}, "x": 1 }`)})
	if err1 != nil || err2 != nil || one != two {
		t.Errorf("the order of members makes another version: %s, %s", one, two)
	}
}

func TestSecretsEnd(t *testing.T) {
	app := &App{Secret: "new", PreviousSecrets: []PreviousSecret{{"old", time.Unix(100, 0)}, {"older", time.Unix(50, 0)}}}
	for at, want := range map[int64]string{49: "new old older", 50: "new old", 99: "new old", 100: "new"} {
		if got := strings.Join(app.Secrets(time.Unix(at, 0)), " "); got != want {
			t.Errorf("at %d: %s, want %s", at, got, want)
		}
	}
}
