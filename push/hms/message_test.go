package hms

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func TestRender(t *testing.T) {
	for _, c := range []struct {
		content push.Content
		want    string
	}{
		{
			push.Content{Title: "T<>", Body: "B", Icon: "https://a/i.png", Sound: "/raw/ding", CollapseKey: "7", Data: json.RawMessage(`{ "order": {"id": "<1>"}, "n": 2 }`)},
			`{"message":{"android":{"collapse_key":7,"notification":{"click_action":{"type":3},"sound":"/raw/ding","default_sound":false}},` +
				`"data":"{\"order\":{\"id\":\"<1>\"},\"n\":2}","notification":{"body":"B","image":"https://a/i.png","title":"T<>"}}}`,
		},
		{
			push.Content{Title: "T", Body: "B", Sound: "default", CollapseKey: "order"},
			`{"message":{"android":{"notification":{"click_action":{"type":3},"default_sound":true}},"notification":{"body":"B","title":"T"}}}`,
		},
		{push.Content{Data: json.RawMessage(`{}`), CollapseKey: "-1"}, `{"message":{"android":{"collapse_key":-1},"data":"{}"}}`},
		{push.Content{Data: json.RawMessage(`null`), CollapseKey: "101"}, `{"message":{}}`},
	} {
		got, err := Provider{}.Render(&c.content)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v; want\n%s", got, err, c.want)
		}
		if err := (Provider{}).CheckPayload(got, false); err != nil {
			t.Error(err)
		}
	}
	for _, data := range []string{"[]", "7", "{"} {
		_, err := Provider{}.Render(&push.Content{Title: "T", Data: json.RawMessage(data)})
		wantFault(t, data, err, "data")
	}
}

func TestOverrides(t *testing.T) {
	for text, field := range map[string]string{
		`{"message":{"data":"x"}}`:                             "",
		`{"validate_only":true,"message":{"webpush":{"x":1}}}`: "",
		`{"message":{"android":{"collapse_key":100,"ttl":"1.5s","urgency":"HIGH","data":"x","notification":{}}}}`: "",
		`7`:                                             "payload",
		`null`:                                          "payload",
		`{}`:                                            "message",
		`{"message":null}`:                              "message",
		`{"message":[]}`:                                "message",
		`{"message":{"token":["hush"]}}`:                "message.token",
		`{"message":{"topic":"hush"}}`:                  "message.topic",
		`{"message":{"condition":"hush"}}`:              "message.condition",
		`{"message":{"data":{"k":"hush"}}}`:             "message.data",
		`{"message":{"data":null}}`:                     "message.data",
		`{"message":{"notification":"hush"}}`:           "message.notification",
		`{"message":{"android":null}}`:                  "message.android",
		`{"message":{"android":{"data":7}}}`:            "message.android.data",
		`{"message":{"android":{"ttl":"600"}}}`:         "message.android.ttl",
		`{"message":{"android":{"ttl":600}}}`:           "message.android.ttl",
		`{"message":{"android":{"ttl":"0s"}}}`:          "message.android.ttl",
		`{"message":{"android":{"ttl":"-1s"}}}`:         "message.android.ttl",
		`{"message":{"android":{"collapse_key":"7"}}}`:  "message.android.collapse_key",
		`{"message":{"android":{"collapse_key":101}}}`:  "message.android.collapse_key",
		`{"message":{"android":{"collapse_key":1.5}}}`:  "message.android.collapse_key",
		`{"message":{"android":{"urgency":"low"}}}`:     "message.android.urgency",
		`{"message":{"android":{"notification":[]}}}`:   "message.android.notification",
		`{"message":{"android":{"a":1,"ttl":"hush"} }}`: "message.android.ttl",
	} {
		err := Provider{}.CheckPayload(json.RawMessage(text), true)
		if field == "" && err != nil {
			t.Errorf("%s: %v", text, err)
		} else if field != "" {
			wantFault(t, text, err, field)
		}
	}
}

// The size is that of what goes out, with the longest time to live, and without the
// registration token.
func TestSize(t *testing.T) {
	frame := len(`{"message":{"android":{"ttl":"1296000s"},"data":""}}`)
	for size, field := range map[int]string{MaxPayload: "", MaxPayload + 1: "payload"} {
		text := `{ "message": {"data":"` + strings.Repeat("<", size-frame) + `"}}`
		err := Provider{}.CheckPayload(json.RawMessage(text), true)
		if field == "" && err != nil {
			t.Errorf("%d bytes: %v", size, err)
		} else if field != "" {
			wantFault(t, "", err, field)
		}
	}
}

// Checklist: push 60
func TestTTL(t *testing.T) {
	for _, c := range []struct {
		android string
		ttl     time.Duration
		want    string
	}{
		{`{}`, 10 * time.Minute, "600s"},
		{`{}`, 1500 * time.Millisecond, "1s"},
		{`{}`, 0, "1s"},
		{`{}`, 28 * 24 * time.Hour, "1296000s"},
		{`{"ttl":"60s"}`, 10 * time.Minute, "60s"},
		{`{"ttl":"60.9s"}`, 10 * time.Minute, "60s"},
		{`{"ttl":"999999999s"}`, 10 * time.Minute, "600s"},
	} {
		m, err := parse(json.RawMessage(`{"message":{"data":"x","android":` + c.android + `}}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.encode("t", c.ttl)
		want := `{"message":{"android":{"ttl":"` + c.want + `"},"data":"x","token":["t"]}}`
		if err != nil || string(text) != want {
			t.Errorf("%s, %v; want %s", text, err, want)
		}
	}
}

// What callers write never changes the recipient, and always makes one JSON object.
func FuzzOverride(f *testing.F) {
	f.Add([]byte(`{"message":{"data":"x","android":{"ttl":"5s","collapse_key":1}}}`))
	f.Add([]byte(`{"message":{"token":["x"],"notification":{}}}`))
	f.Add([]byte(`{"message":{"android":{}},"message":{"Token":1}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if (Provider{}).CheckPayload(payload, true) != nil {
			return
		}
		m, err := parse(payload)
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.encode("device", time.Minute)
		var sent struct {
			Message map[string]json.RawMessage `json:"message"`
		}
		if err != nil || json.Unmarshal(text, &sent) != nil || string(sent.Message["token"]) != `["device"]` || sent.Message["topic"] != nil {
			t.Errorf("%s, %v", text, err)
		}
		var android map[string]json.RawMessage
		if json.Unmarshal(sent.Message["android"], &android) != nil || !ttlForm.Match(android["ttl"]) {
			t.Errorf("%s has no time to live", text)
		}
		if len(text) > MaxPayload+len(`"token":["device"],`) {
			t.Errorf("%d bytes", len(text))
		}
	})
}
