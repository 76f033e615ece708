package delta

import (
	"encoding/json"
	"strings"
	"testing"
)

func quoted(text string) json.RawMessage {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return b
}

func TestKeysAreFoundAtPaths(t *testing.T) {
	tags := map[string]string{"region": "eu", "a.b": "dotted", "empty": ""}
	m := Message{
		Event: "tick", Channel: "ticker", UserID: "u1",
		Data: quoted(`{ "symbol" : "BTC", "n": 1.50, "on":true, "off":false, "null":null, "list":[1], "event":"inner",
			"deep":{"x]":"}{", "a":{"b":"\u0041\u00e9"}, "data":"own"}, "twice":1, "twice":2, "esc\u0061ped":"yes", "long":"` + strings.Repeat("k", 257) + `",
			"edge":"` + strings.Repeat("k", 256) + `", "quote":"a\"b", "slash":"a\\b", "line":"a\nb", "nothing":"" }`),
		Tag:    func(name string) (string, bool) { value, ok := tags[name]; return value, ok },
		Extras: json.RawMessage(`{"headers":{"tenant":"acme"}}`),
	}
	for path, want := range map[string]string{
		"symbol": "BTC", "data.symbol": "BTC", "n": "1.50", "data.on": "true", "off": "false",
		"data.deep.a.b": "Aé", "deep.a.b": "", "data.deep.data": "own", "data.twice": "2", "escaped": "yes",
		"null": "", "list": "", "data.list.0": "", "deep": "", "data.symbol.x": "", "missing": "", "data.missing.x": "",
		"long": "", "edge": strings.Repeat("k", 256), "quote": "", "slash": "", "line": "", "nothing": "",
		"event": "tick", "data.event": "inner", "event.x": "", "channel": "ticker", "user_id": "u1", "name": "",
		"tags.region": "eu", "tags.a.b": "dotted", "tags.x": "", "tags": "", "tags.empty": "",
		"extras.headers.tenant": "acme", "extras": "", "extras.x": "", "message_id": "", "data": "",
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := p.KeyAt(m); key != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", path, key, ok, want)
		}
	}
}

// TestDataIsSearchedInEveryForm covers what publishers and clients put there.
func TestDataIsSearchedInEveryForm(t *testing.T) {
	for _, one := range []struct {
		path string
		data json.RawMessage
		want string
	}{
		{"data.s", json.RawMessage(`{"s":"BTC"}`), "BTC"},
		{"s", json.RawMessage(`{"s":"BTC"}`), "BTC"},
		{"data", quoted("BTC"), "BTC"},
		{"data", quoted(`"BTC"`), "BTC"},
		{"data", quoted("42"), "42"},
		{"data", json.RawMessage("42"), "42"},
		{"data", quoted(" 42 "), "42"},
		{"data", quoted("no JSON"), "no JSON"},
		{"data.s", quoted("no JSON"), ""},
		{"data.s", quoted(`{"s":"BTC"`), ""},
		{"data.s", json.RawMessage(`{"s":"BTC"`), ""},
		{"data.s", quoted(`["s"]`), ""},
		{"data.s", nil, ""},
		{"s", nil, ""},
		{"data.s", quoted(`{"s":"BTC","filler":"` + strings.Repeat("x", 64<<10-40) + `"}`), "BTC"},
		{"data.s", quoted(`{"s":"BTC","filler":"` + strings.Repeat("x", 64<<10) + `"}`), ""},
		{"data.s", json.RawMessage(`{"s":"BTC","filler":"` + strings.Repeat("x", 64<<10) + `"}`), ""},
	} {
		p, err := ParsePath(one.path)
		if err != nil {
			t.Fatal(err)
		}
		if key, ok := p.KeyAt(Message{Data: one.data}); key != one.want || ok != (one.want != "") {
			t.Errorf("%s in %.40s: %q, %v, want %q", one.path, one.data, key, ok, one.want)
		}
	}
	if _, ok := (Path{}).KeyAt(Message{Event: "e", Data: quoted("x")}); ok {
		t.Error("a key without a path")
	}
}

func TestPathsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		".":                            "empty name",
		"a.":                           "empty name",
		".a":                           "empty name",
		"a..b":                         "empty name",
		strings.Repeat("a", 257):       "257 bytes",
		strings.Repeat("a.", 16) + "a": "17 names",
	} {
		if _, err := ParsePath(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v, want %q", text, err, want)
		}
	}
	for text, set := range map[string]bool{"": false, "a": true, strings.Repeat("a.", 15) + "a": true} {
		if p, err := ParsePath(text); err != nil || p.Set() != set {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}
