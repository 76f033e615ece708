package apns_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/apns"
)

// Checklist: push 100
func TestRendersWithoutNulls(t *testing.T) {
	for _, c := range []struct {
		content push.Content
		want    string
	}{
		{push.Content{Title: "T", Body: "B"}, `{"headers":{"apns-push-type":"alert","apns-priority":"10"},"aps":{"alert":{"title":"T","body":"B"}}}`},
		{
			push.Content{Title: "T", Body: "B", Icon: "https://a/b", Sound: "s", CollapseKey: "k", Data: json.RawMessage(`{"a":{"b":[1]}}`)},
			`{"headers":{"apns-push-type":"alert","apns-priority":"10","apns-collapse-id":"k"},"aps":{"alert":{"title":"T","body":"B"},"sound":"s"},"data":{"a":{"b":[1]}}}`,
		},
		{push.Content{Title: "T", Data: json.RawMessage(`null`)}, `{"headers":{"apns-push-type":"alert","apns-priority":"10"},"aps":{"alert":{"title":"T"}}}`},
	} {
		got, err := apns.Provider{}.Render(&c.content)
		if err != nil || string(got) != c.want {
			t.Errorf("%s, %v", got, err)
		}
		if err := (apns.Provider{}).CheckPayload(got, false); err != nil {
			t.Error(err)
		}
	}
	for key, want := range map[string]string{
		strings.Repeat("k", 64): strings.Repeat("k", 64), strings.Repeat("k", 65): push.Hash(strings.Repeat("k", 65)),
		"line\nbreak": push.Hash("line\nbreak"), "schlüssel": push.Hash("schlüssel"), "k\t": push.Hash("k\t"),
	} {
		got, err := apns.Provider{}.Render(&push.Content{Title: "T", CollapseKey: key})
		if err != nil || !strings.Contains(string(got), `"apns-collapse-id":"`+want+`"`) {
			t.Errorf("%q: %s, %v", key, got, err)
		}
	}
}

// Checklist: push 108
func TestABodyIsBounded(t *testing.T) {
	padded := func(headers string, bytes int) json.RawMessage {
		const frame = `{"aps":{},"data":{"p":""}}`
		return json.RawMessage(fmt.Sprintf(`{"headers":{%s}, "aps" : {}, "data":{"p":"%s"}}`, headers, strings.Repeat("<", bytes-len(frame))))
	}
	for _, c := range []struct {
		headers string
		bytes   int
		fits    bool
	}{
		{"", 4096, true}, {"", 4097, false}, {`"apns-push-type":"voip"`, 4097, true}, {`"apns-push-type":"voip"`, 5120, true}, {`"apns-push-type":"voip"`, 5121, false},
	} {
		text := padded(c.headers, c.bytes)
		if err := (apns.Provider{}).CheckPayload(text, true); (err == nil) != c.fits {
			t.Errorf("%s %d: %v", c.headers, c.bytes, err)
		}
		// It stays as long when it has been through encoding/json on its way.
		through, err := json.Marshal(map[string]json.RawMessage{"p": text})
		if err != nil {
			t.Fatal(err)
		}
		through = through[len(`{"p":`) : len(through)-1]
		if err := (apns.Provider{}).CheckPayload(through, true); (err == nil) != c.fits {
			t.Errorf("%s %d, escaped: %v", c.headers, c.bytes, err)
		}
	}
}

func TestWrongOverridesAreNamed(t *testing.T) {
	for text, field := range map[string]string{
		`[]`: "payload", `null`: "payload", `"x"`: "payload", `{"headers":{}}`: "payload", `{}`: "payload", `{"headers":[],"aps":{}}`: "headers", `{"aps":"x"}`: "aps",
		`{"headers":{"apns-push-type":"loud"},"aps":{}}`: "headers.apns-push-type", `{"headers":{"apns-push-type":1},"aps":{}}`: "headers.apns-push-type",
		`{"headers":{"apns-priority":"7"},"aps":{}}`: "headers.apns-priority", `{"headers":{"apns-priority":10.5},"aps":{}}`: "headers.apns-priority",
		`{"headers":{"apns-priority":true},"aps":{}}`: "headers.apns-priority", `{"headers":{"apns-expiration":"soon"},"aps":{}}`: "headers.apns-expiration",
		`{"headers":{"apns-expiration":-1},"aps":{}}`: "headers.apns-expiration", `{"headers":{"apns-expiration":[]},"aps":{}}`: "headers.apns-expiration",
		`{"headers":{"apns-topic":7},"aps":{}}`: "headers.apns-topic", `{"headers":{"apns-topic":"a\r\nb: c"},"aps":{}}`: "headers.apns-topic",
		`{"headers":{"apns-collapse-id":{}},"aps":{}}`: "headers.apns-collapse-id",
	} {
		err := apns.Provider{}.CheckPayload(json.RawMessage(text), true)
		if fault, ok := errors.AsType[*push.FieldError](err); !ok || fault.Field != field {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, kind := range []string{
		"alert", "background", "voip", "complication", "fileprovider", "mdm", "liveactivity", "location", "pushtotalk", "widgets", "controls",
	} {
		text := fmt.Sprintf(`{"headers":{"apns-push-type":%q,"apns-priority":5,"apns-topic":null,"x-other":[]},"own":[1,null]}`, kind)
		if err := (apns.Provider{}).CheckPayload(json.RawMessage(text), true); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func FuzzOverride(f *testing.F) {
	for _, seed := range []string{
		`{"headers":{"apns-push-type":"voip","apns-priority":1,"apns-expiration":"5","apns-topic":"a.b","apns-collapse-id":"k"},"aps":{},"x":"\\u003c\u003c"}`,
		`{"aps":{"alert":"\u2028"}}`, `{"headers":null}`, `{"a":1e999}`, `{"a":1,"a":2}`, `[`, `{"\u0026":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if (apns.Provider{}).CheckPayload(text, true) != nil {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("%q has passed", text)
		}
		// What has passed once passes in the form that encoding/json gives it.
		again, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		if err := (apns.Provider{}).CheckPayload(again, true); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
