package webpush

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

func TestRender(t *testing.T) {
	long := strings.Repeat("k", 33)
	for _, c := range []struct {
		content push.Content
		want    string
	}{
		{push.Content{Title: "T", Body: "B"}, `{"headers":{"urgency":"normal"},"notification":{"title":"T","body":"B"}}`},
		{push.Content{Title: "T", Data: []byte(`null`)}, `{"headers":{"urgency":"normal"},"notification":{"title":"T"}}`},
		{
			push.Content{Title: "T", Body: "B", Icon: "https://example.com/i.png", Sound: "ping", CollapseKey: "order-1_A", Data: []byte(`{"b": 1, "a": {"c": "<&>"}}`)},
			`{"headers":{"urgency":"normal","topic":"order-1_A"},"notification":{"title":"T","body":"B","image":"https://example.com/i.png"},"data":{"b":1,"a":{"c":"<&>"}}}`,
		},
		// By sha256sum and base64, without this package.
		{push.Content{Title: "T", CollapseKey: "order 1"}, `{"headers":{"urgency":"normal","topic":"` + hashedTopic["order 1"] + `"},"notification":{"title":"T"}}`},
		{push.Content{Title: "T", CollapseKey: long}, `{"headers":{"urgency":"normal","topic":"` + hashedTopic[long] + `"},"notification":{"title":"T"}}`},
		{push.Content{Title: "T", CollapseKey: long[:32]}, `{"headers":{"urgency":"normal","topic":"` + long[:32] + `"},"notification":{"title":"T"}}`},
	} {
		got, err := Provider{}.Render(&c.content)
		if err != nil || string(got) != c.want {
			t.Errorf("%+v: %v\n got %s\nwant %s", c.content, err, got, c.want)
		}
		if err := (Provider{}).CheckPayload(got, false); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	if _, err := (Provider{}).Render(&push.Content{Data: []byte(`{`)}); fieldOf(err) != "data" {
		t.Errorf("broken data: %v", err)
	}
}

// hashedTopic has what openssl makes of collapse keys.
var hashedTopic = map[string]string{
	"order 1":               "89bw1VsFP96wEWwur_106RE7L9GdfQZ1",
	strings.Repeat("k", 33): "k-B-Ic3qTbEsMAY56qyzZP5p8FrjwOye",
}

// sized is a payload whose message has a number of bytes.
func sized(n int, headers string) json.RawMessage {
	frame := `{"notification":{"body":""}}`
	return json.RawMessage(`{` + headers + `"notification":{"body":"` + strings.Repeat("x", n-len(frame)) + `"}}`)
}

// The bound is that of what is encrypted, whatever the headers and however JSON has
// been written.
//
// Checklist: push 104
func TestSize(t *testing.T) {
	for _, headers := range []string{``, `"headers":{},`, `"headers":{"ttl":60,"urgency":"high","topic":"x"},`, "\n  "} {
		for _, override := range []bool{false, true} {
			if err := (Provider{}).CheckPayload(sized(3993, headers), override); err != nil {
				t.Errorf("3993 bytes with %q: %v", headers, err)
			}
			if err := (Provider{}).CheckPayload(sized(3994, headers), override); fieldOf(err) != "payload" {
				t.Errorf("3994 bytes with %q: %v", headers, err)
			}
		}
	}
	plain := []byte(`{"a<b":"` + strings.Repeat("<", 1000) + `&>\u00e9 \" \\u003c","c":"` + strings.Repeat("é", 10) + `"}`)
	again, err := json.Marshal(json.RawMessage(plain)) // escapes what need not be
	if err != nil || bytes.Equal(again, plain) {
		t.Fatal(err)
	}
	first, err1 := readMessage(plain)
	second, err2 := readMessage(again)
	if err1 != nil || err2 != nil || !bytes.Equal(first.plaintext, plain) || !bytes.Equal(second.plaintext, plain) {
		t.Errorf("%v, %v:\n%s\n%s\n%s", err1, err2, plain, first.plaintext, second.plaintext)
	}
}

func TestOverride(t *testing.T) {
	minute := time.Minute
	zero := time.Duration(0)
	for text, want := range map[string]message{
		`{}`: {plaintext: []byte(`{}`), urgency: "normal"},
		`{"notification":{"title":"T","badge":"b"},"z":[1, 2],"a":null}`:                                  {plaintext: []byte(`{"notification":{"title":"T","badge":"b"},"z":[1,2],"a":null}`), urgency: "normal"},
		`{"a":1,"headers":{"ttl":60,"urgency":"high","topic":"A-_9"},"b":2}`:                              {plaintext: []byte(`{"a":1,"b":2}`), ttl: &minute, urgency: "high", topic: "A-_9"},
		`{"headers":{"ttl":"60","urgency":"very-low","topic":null}}`:                                      {plaintext: []byte(`{}`), ttl: &minute, urgency: "very-low"},
		`{"headers":{"ttl":0,"urgency":"low"},"x":1}`:                                                     {plaintext: []byte(`{"x":1}`), ttl: &zero, urgency: "low"},
		` {"headers":null,"x":{"headers":{"topic":"!"}}} `:                                                {plaintext: []byte(`{"x":{"headers":{"topic":"!"}}}`), urgency: "normal"},
		`{"headers":{"ttl":null,"urgency":null,"topic":"` + strings.Repeat("t", 32) + `"},"Headers":"x"}`: {plaintext: []byte(`{"Headers":"x"}`), urgency: "normal", topic: strings.Repeat("t", 32)},
	} {
		got, err := readMessage([]byte(text))
		if err != nil || string(got.plaintext) != string(want.plaintext) || got.urgency != want.urgency || got.topic != want.topic ||
			(got.ttl == nil) != (want.ttl == nil) || got.ttl != nil && *got.ttl != *want.ttl {
			t.Errorf("%s: %v\n got %+v\nwant %+v", text, err, got, want)
		}
		if err := (Provider{}).CheckPayload([]byte(text), true); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, field := range map[string]string{
		``: "payload", `null`: "payload", `[]`: "payload", `"x"`: "payload", `{`: "payload", `{"a":1`: "payload", `{"a":1}}`: "payload", `{} {}`: "payload", `{"a":}`: "payload",
		`{"a":1,}`: "payload", `{a:1}`: "payload",
		`{"headers":[]}`: "headers", `{"headers":"x"}`: "headers", `{"headers":{"x-y":1}}`: "headers", `{"headers":{},"headers":{}}`: "headers",
		`{"headers":{"ttl":-1}}`: "headers.ttl", `{"headers":{"ttl":1.5}}`: "headers.ttl", `{"headers":{"ttl":1e3}}`: "headers.ttl", `{"headers":{"ttl":""}}`: "headers.ttl",
		`{"headers":{"ttl":"1h"}}`: "headers.ttl", `{"headers":{"ttl":true}}`: "headers.ttl", `{"headers":{"ttl":[60]}}`: "headers.ttl", `{"headers":{"ttl":2147483648}}`: "headers.ttl",
		`{"headers":{"ttl":" 60"}}`: "headers.ttl", `{"headers":{"ttl":"+60"}}`: "headers.ttl",
		`{"headers":{"urgency":"urgent"}}`: "headers.urgency", `{"headers":{"urgency":"High"}}`: "headers.urgency", `{"headers":{"urgency":""}}`: "headers.urgency",
		`{"headers":{"urgency":1}}`: "headers.urgency",
		`{"headers":{"topic":""}}`:  "headers.topic", `{"headers":{"topic":"a b"}}`: "headers.topic", `{"headers":{"topic":"a+b"}}`: "headers.topic", `{"headers":{"topic":"é"}}`: "headers.topic",
		`{"headers":{"topic":1}}`: "headers.topic", `{"headers":{"topic":"` + strings.Repeat("t", 33) + `"}}`: "headers.topic", `{"headers":{"topic":"a\r\nX: y"}}`: "headers.topic",
	} {
		if err := (Provider{}).CheckPayload([]byte(text), true); fieldOf(err) != field {
			t.Errorf("%s: %v, want a fault of %q", text, err, field)
		}
	}
}

func TestLifetime(t *testing.T) {
	for _, c := range []struct {
		left    time.Duration
		headers string
		want    int64
	}{
		{time.Hour, ``, 3600},
		{time.Second, ``, 1},
		{1999 * time.Millisecond, ``, 1},
		{60 * 24 * time.Hour, ``, 2419200},
		{time.Hour, `"headers":{"ttl":60},`, 60},
		{time.Hour, `"headers":{"ttl":0},`, 0},
		{time.Hour, `"headers":{"ttl":2147483647},`, 3600},
		{-time.Second, ``, 0},
	} {
		m, err := readMessage(sized(100, c.headers))
		if err != nil || m.lifetime(c.left) != c.want {
			t.Errorf("%v with %s: %d, %v; want %d", c.left, c.headers, m.lifetime(c.left), err, c.want)
		}
	}
}

// What is let in can be sent: a message that fits, without the headers, and headers
// that are one line each.
func FuzzPayload(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"headers":{"ttl":"60","urgency":"high","topic":"x"},"notification":{"title":"\u003c\u2028é"},"data":{"a":[1,{"headers":1}]}}`,
		`{"headers":{"ttl":1e3}}`, `{"headers":{"topic":"a\nb"}}`, `{"a\u003c":"\\u003c\\\u003c"}`, `{"a":1} x`, `{"a":"\`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m, err := readMessage(payload)
		if err != nil {
			if fieldOf(err) == "" {
				t.Fatalf("%v names no member", err)
			}
			return
		}
		var all, rest map[string]any
		if json.Unmarshal(payload, &all) != nil || json.Unmarshal(m.plaintext, &rest) != nil || len(m.plaintext) > MaxPlaintext {
			t.Fatalf("%q is let in as %q", payload, m.plaintext)
		}
		delete(all, "headers")
		if len(all) != len(rest) {
			t.Fatalf("%q became %q", payload, m.plaintext)
		}
		first, err1 := json.Marshal(all)
		second, err2 := json.Marshal(rest)
		if err1 != nil || err2 != nil || !bytes.Equal(first, second) {
			t.Fatalf("%q became %q", payload, m.plaintext)
		}
		for _, value := range []string{m.topic, m.urgency, strconv.FormatInt(m.lifetime(time.Hour), 10)} {
			if len(value) > 32 || strings.Trim(value, topicAlphabet) != "" {
				t.Fatalf("%q has a header %q", payload, value)
			}
		}
	})
}
