package storage

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

// historyRecord is what Sockudo writes of history and annotations, with members that
// nobody knows yet.
const historyRecord = `{
	"history":{"enabled":false,"rewind_enabled":true,"retention_window_seconds":60,"max_messages_per_channel":50,"max_bytes_per_channel":5000000000,"of_later":1},
	"presence_history":{"enabled":true,"retention_window_seconds":30,"max_events_per_channel":20,"max_bytes_per_channel":2000,"of_later":[2]},
	"channels":{
		"annotations_enabled":true,
		"channel_namespaces":[
			{"name":"bare"},
			{"name":"chat","annotations_enabled":false,
				"history":{"rewind_enabled":false,"retention_window_seconds":10,"max_messages_per_channel":5,"max_bytes_per_channel":7,"of_later":{"n":3}},
				"presence_history":{"enabled":false,"max_events_per_channel":6,"of_later":4}}]},
	"features":{"enable_client_messages":false},
	"limits":{"max_connections":0,"max_client_events_per_second":0,"terminate_on_limit":false}}`

// What Sockudo keeps of history and annotations is read, in the nested spelling and in
// the flat one, with numbers as digits too.
func TestHistoryOfRecords(t *testing.T) {
	on, off := true, false
	want := App{
		History:         AppHistory{Enabled: &off, Rewind: &on, Retention: time.Minute, MaxItems: 50, MaxBytes: 5_000_000_000},
		PresenceHistory: AppHistory{Enabled: &on, Retention: 30 * time.Second, MaxItems: 20, MaxBytes: 2000},
		Annotations:     &on,
		Namespaces: map[string]*Namespace{
			"bare": {Name: "bare"},
			"chat": {
				Name: "chat", Annotations: &off,
				History:         AppHistory{Rewind: &off, Retention: 10 * time.Second, MaxItems: 5, MaxBytes: 7},
				PresenceHistory: AppHistory{Enabled: &off, MaxItems: 6},
			},
		},
	}
	var tree map[string]json.RawMessage
	if err := json.Unmarshal([]byte(historyRecord), &tree); err != nil {
		t.Fatal(err)
	}
	var channels map[string]json.RawMessage
	if err := json.Unmarshal(tree["channels"], &channels); err != nil {
		t.Fatal(err)
	}
	flat, err := json.Marshal(map[string]json.RawMessage{
		"history": tree["history"], "presence_history": tree["presence_history"],
		"annotations_enabled": channels["annotations_enabled"], "channel_namespaces": channels["channel_namespaces"],
	})
	if err != nil {
		t.Fatal(err)
	}
	digits := strings.NewReplacer(":60,", `:"60",`, ":50,", `:"50",`, ":5000000000,", `:"5000000000",`).Replace(historyRecord)
	for name, text := range map[string]string{"nested": `{"policy":` + historyRecord + `}`, "flat": string(flat), "digits": `{"policy":` + digits + `}`} {
		app, ignored, err := UnmarshalApp([]byte(text))
		if err != nil || strings.Join(ignored, " ") != "history.of_later presence_history.of_later" {
			t.Errorf("%s: ignored %v, %v", name, ignored, err)
		}
		app.Stored = nil
		if !reflect.DeepEqual(*app, want) {
			t.Errorf("%s: %+v, and of the namespace %+v", name, *app, *app.Namespaces["chat"])
		}
	}
}

// A record that is written again keeps what it says of history, and what nobody reads.
func TestHistoryIsWrittenAgain(t *testing.T) {
	app := new(App)
	if _, err := UnmarshalPolicy([]byte(historyRecord), app); err != nil {
		t.Fatal(err)
	}
	var want any
	if err := json.Unmarshal([]byte(historyRecord), &want); err != nil {
		t.Fatal(err)
	}
	if written := policyTree(t, app); !reflect.DeepEqual(written, want) {
		t.Errorf("the policy became %v\nwant %v", written, want)
	}
	// What is overridden no more goes, and what was never read stays.
	app.History, app.PresenceHistory, app.Annotations = AppHistory{}, AppHistory{}, nil
	chat := app.Namespaces["chat"]
	chat.History, chat.PresenceHistory, chat.Annotations = AppHistory{}, AppHistory{}, nil
	written, err := json.Marshal(policyTree(t, app))
	if err != nil {
		t.Fatal(err)
	}
	const bare = `{"channels":{"channel_namespaces":[{"name":"bare"},{"history":{"of_later":{"n":3}},"name":"chat","presence_history":{"of_later":4}}]},` +
		`"features":{"enable_client_messages":false},"history":{"of_later":1},` +
		`"limits":{"max_client_events_per_second":0,"max_connections":0,"terminate_on_limit":false},"presence_history":{"of_later":[2]}}`
	if string(written) != bare {
		t.Errorf("the policy became %s\nwant %s", written, bare)
	}
}

// History that cannot be meant is refused where records are read, and where they are
// written.
func TestBadHistoryOfRecords(t *testing.T) {
	for text, want := range map[string]string{
		`{"history":{"max_messages_per_channel":-1}}`:               `"-1" is not a whole number from 0 to 2147483647`,
		`{"history":{"max_bytes_per_channel":-1}}`:                  `"-1" is not a whole number from 0 to 9223372036854775807`,
		`{"history":{"max_bytes_per_channel":9223372036854775808}}`: `"9223372036854775808" is not a whole number`,
		`{"history":{"retention_window_seconds":1.5}}`:              `"1.5" is not a whole number`,
		`{"presence_history":{"max_events_per_channel":"x"}}`:       `"x" is not a whole number`,
		`{"history":true}`:                           "policy: ",
		`{"channels":{"annotations_enabled":"yes"}}`: "policy: ",
		`{"channels":{"channel_namespaces":[{"name":"n","history":{"max_messages_per_channel":-1}}]}}`: `"-1" is not a whole number`,
	} {
		if _, err := UnmarshalPolicy([]byte(text), new(App)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	on := true
	within := func(n Namespace) map[string]*Namespace { return map[string]*Namespace{"n": &n} }
	for want, app := range map[string]*App{
		"history: the number of events in a channel, -1, must not be negative":          {History: AppHistory{MaxItems: -1}},
		"history: the bytes of a channel, -1, must not be negative":                     {History: AppHistory{MaxBytes: -1}},
		"presence_history: the number of events in a channel, -1, must not be negative": {PresenceHistory: AppHistory{MaxItems: -1}},
		"presence_history: there is no rewind of it":                                    {PresenceHistory: AppHistory{Rewind: &on}},
		"namespace n: history: it is switched for the whole app":                        {Namespaces: within(Namespace{Name: "n", History: AppHistory{Enabled: &on}})},
		"namespace n: presence_history: the bytes of a channel, -5, must not be negative": {
			Namespaces: within(Namespace{Name: "n", PresenceHistory: AppHistory{MaxBytes: -5}}),
		},
	} {
		app.ID, app.Key, app.Secret = "a", "k", "s"
		if err := CheckApp(app); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, retention := range []time.Duration{1500 * time.Millisecond, -time.Second, 1 << 32 * time.Second} {
		for want, app := range map[string]*App{
			"history: retention ":                       {History: AppHistory{Retention: retention}},
			"presence_history: retention ":              {PresenceHistory: AppHistory{Retention: retention}},
			"namespace n: history: retention ":          {Namespaces: within(Namespace{Name: "n", History: AppHistory{Retention: retention}})},
			"namespace n: presence_history: retention ": {Namespaces: within(Namespace{Name: "n", PresenceHistory: AppHistory{Retention: retention}})},
		} {
			if _, err := MarshalPolicy(app); err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("a retention of %v: %v", retention, err)
			}
		}
	}
}
