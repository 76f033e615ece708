package storage

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Every form in which Sockudo writes recovery, compression and the permissions of
// namespaces is read.
func TestPoliciesOfV2(t *testing.T) {
	app := &App{ID: "a"}
	ignored, err := UnmarshalPolicy([]byte(`{
		"connection_recovery":{"enabled":false,"buffer_ttl_seconds":"60","max_buffer_size":50},
		"channels":{
			"channel_delta_compression":{
				"inherit":"inherit","disabled":"disabled","fossil":"fossil","xdelta3":"xdelta3","null":null,
				"ticker:*":{"enabled":true,"algorithm":"Xdelta3","conflation_key":"data.symbol","max_messages_per_key":10,"max_conflation_keys":20,"enable_tags":false},
				"off":{"enabled":false,"algorithm":"Fossil","max_messages_per_key":10,"max_conflation_keys":100,"enable_tags":true},
				"empty":{}},
			"channel_namespaces":[
				{"name":"read","allow_publish_for_client":false},
				{"name":"none","allow_subscribe_for_client":false,"allow_publish_for_client":false,"allow_presence_for_client":false},
				{"name":"all","allow_subscribe_for_client":true,"allow_publish_for_client":null,"allow_presence_for_client":true}]}}`), app)
	if err != nil || len(ignored) != 0 {
		t.Fatalf("ignored %v, %v", ignored, err)
	}
	off := false
	if want := (AppRecovery{Enabled: &off, TTL: time.Minute, BufferSize: 50}); !reflect.DeepEqual(app.Recovery, want) {
		t.Errorf("recovery became %+v", app.Recovery)
	}
	want := map[string]ChannelDelta{
		"inherit": {}, "disabled": {Disabled: true}, "fossil": {Algorithm: "fossil"}, "xdelta3": {Algorithm: "xdelta3"}, "null": {}, "empty": {},
		"ticker:*": {Algorithm: "xdelta3", ConflationKey: "data.symbol", MaxConflationKeys: 20, DropTags: true},
		"off":      {Disabled: true, Algorithm: "fossil", MaxConflationKeys: 100},
	}
	if !reflect.DeepEqual(app.Delta, want) {
		t.Errorf("compression became %+v", app.Delta)
	}
	for name, want := range map[string]Namespace{
		"read": {Name: "read", NoPublish: true}, "none": {Name: "none", NoSubscribe: true, NoPublish: true, NoPresence: true}, "all": {Name: "all"},
	} {
		if got := app.Namespaces[name]; got == nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("namespace %s became %+v", name, got)
		}
	}
}

// A record that is written again says what it said, in Sockudo's own forms, and keeps
// what this version has no use for.
func TestPoliciesOfV2AreWrittenAgain(t *testing.T) {
	const text = `{
		"connection_recovery":{"enabled":true,"buffer_ttl_seconds":60,"max_buffer_size":50,"of_later":{"n":1}},
		"channels":{
			"channel_delta_compression":{
				"fossil":"fossil","disabled":"disabled","inherit":"inherit",
				"ticker:*":{"enabled":true,"algorithm":"Xdelta3","conflation_key":"data.symbol","max_messages_per_key":10,"max_conflation_keys":20,"enable_tags":false},
				"plain":{"enabled":true,"algorithm":"Fossil","max_messages_per_key":12345678901234567890,"enable_tags":true}},
			"channel_namespaces":[{"name":"read","allow_publish_for_client":false,"of_later":2}]},
		"features":{"enable_client_messages":false},
		"limits":{"max_connections":0,"max_client_events_per_second":0,"terminate_on_limit":false}}`
	app := new(App)
	if _, err := UnmarshalPolicy([]byte(text), app); err != nil {
		t.Fatal(err)
	}
	written := policyTree(t, app)
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(written, want) {
		t.Errorf("the policy became %v\nwant %v", written, want)
	}

	// What is no longer there takes along what was kept of it, and nothing else.
	app.Delta = map[string]ChannelDelta{"plain": {Disabled: true}, "ticker:*": {}, "new": {Algorithm: "xdelta3"}}
	app.Recovery = AppRecovery{}
	deltas, err := json.Marshal(policyTree(t, app).(map[string]any)["channels"].(map[string]any)["channel_delta_compression"])
	if err != nil {
		t.Fatal(err)
	}
	const changed = `{"new":"xdelta3","plain":{"enable_tags":true,"enabled":false,"max_messages_per_key":12345678901234567000},"ticker:*":{"enable_tags":true,"enabled":true,"max_messages_per_key":10}}`
	if string(deltas) != changed {
		t.Errorf("compression became %s", deltas)
	}
}

// policyTree is the policy that is written of an app.
func policyTree(t *testing.T, app *App) (tree any) {
	t.Helper()
	text, err := MarshalPolicy(app)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// Records that cannot be meant are refused, and so are apps that no record can say.
func TestBadPoliciesOfV2(t *testing.T) {
	for text, want := range map[string]string{
		`{"channels":{"channel_delta_compression":{"a":"brotli"}}}`:                     `"brotli" is not one of inherit, disabled, fossil, xdelta3`,
		`{"channels":{"channel_delta_compression":{"a":{"algorithm":"Brotli"}}}}`:       `algorithm "brotli" is not one of fossil, xdelta3`,
		`{"channels":{"channel_delta_compression":{"a":{"algorithm":"disabled"}}}}`:     `algorithm "disabled" is not one of fossil, xdelta3`,
		`{"channels":{"channel_delta_compression":{"a":{"max_conflation_keys":"-1"}}}}`: `"-1" is not a whole number`,
		`{"channels":{"channel_delta_compression":{"a":5}}}`:                            "policy: ",
		`{"channels":{"channel_delta_compression":["a"]}}`:                              "policy: ",
		`{"connection_recovery":{"max_buffer_size":-1}}`:                                `"-1" is not a whole number`,
	} {
		if _, err := UnmarshalPolicy([]byte(text), new(App)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	for want, app := range map[string]*App{
		`delta a: algorithm "brotli" is not one of fossil, xdelta3`: {Delta: map[string]ChannelDelta{"a": {Algorithm: "brotli"}}},
		"delta a: max_conflation_keys -1 must not be negative":      {Delta: map[string]ChannelDelta{"a": {MaxConflationKeys: -1}}},
		"recovery: buffer_size -1 must not be negative":             {Recovery: AppRecovery{BufferSize: -1}},
	} {
		app.ID, app.Key, app.Secret = "a", "k", "s"
		if err := CheckApp(app); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, ttl := range []time.Duration{1500 * time.Millisecond, -time.Second, 1 << 32 * time.Second} {
		if _, err := MarshalPolicy(&App{Recovery: AppRecovery{TTL: ttl}}); err == nil || !strings.Contains(err.Error(), "recovery: ttl ") {
			t.Errorf("a ttl of %v: %v", ttl, err)
		}
	}
}
