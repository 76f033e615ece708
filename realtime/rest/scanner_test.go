package rest

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// depthOf is the nesting of a valid JSON text.
func depthOf(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

// checkAgainst compares validJSON and the walker with encoding/json.
func checkAgainst(t *testing.T, text []byte) {
	trimmed := bytes.Trim(text, " \t\r\n")
	got, want := validJSON(trimmed), json.Valid(trimmed)
	if want && depthOf(trimmed) > maxDepth {
		want = false
	}
	if got != want {
		t.Fatalf("validJSON(%q) is %v, want %v", trimmed, got, want)
	}
	if !got || !utf8.Valid(trimmed) {
		return
	}
	switch trimmed[0] {
	case '{':
		checkMembers(t, trimmed)
	case '[':
		checkElements(t, trimmed)
	case '"':
		var want string
		if err := json.Unmarshal(trimmed, &want); err != nil {
			t.Fatal(err)
		}
		if got, ok := textOf(trimmed); !ok || got != want {
			t.Fatalf("textOf(%q) is %q, want %q", trimmed, got, want)
		}
	}
}

func checkMembers(t *testing.T, object []byte) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	walked := map[string]string{}
	w := walk(object)
	for name, value, ok := w.member(); ok; name, value, ok = w.member() {
		walked[string(name)] = string(value)
		checkAgainst(t, value)
	}
	if len(walked) != len(members) {
		t.Fatalf("%q: walked %v", object, walked)
	}
	for name, value := range members {
		if walked[name] != string(value) {
			t.Fatalf("%q: member %q is %q, want %q", object, name, walked[name], value)
		}
	}
}

func checkElements(t *testing.T, list []byte) {
	t.Helper()
	var elements []json.RawMessage
	if err := json.Unmarshal(list, &elements); err != nil {
		t.Fatal(err)
	}
	w, i := walk(list), 0
	for value, ok := w.element(); ok; value, ok = w.element() {
		if i >= len(elements) || string(value) != string(elements[i]) {
			t.Fatalf("%q: element %d is %q", list, i, value)
		}
		checkAgainst(t, value)
		i++
	}
	if i != len(elements) {
		t.Fatalf("%q: walked %d elements", list, i)
	}
}

var jsonSeeds = []string{
	``, ` `, `{}`, `[]`, `""`, `0`, `-0`, `01`, `-`, `1.`, `1.5e+3`, `1e`, `.5`, `true`, `tru`, `null`, `nullx`, `{"a":1}`, `{"a":1,}`, `{"a" : [ 1 , {"b":"\"}"} ] }`,
	`{"a":1 "b":2}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{a:1}`, `"\u12g4"`, `"\u12"`, `"\x"`, `"\`, `"`, `"a` + "\n" + `"`, "\"\x7f\xff\"", `"\\"`, `"\\\""`, `"\ud800"`, `"\ud83d\ude00"`,
	`{"\u0061":1,"a":2}`, `[[[[]]]]`, `[[]`, `[]]`, `{"a":{"b":{"c":[{},{}]}}}`, "\x00", "{\"a\":\x00}", strings.Repeat("[", 600), strings.Repeat("[", 512) + strings.Repeat("]", 512), strings.Repeat("[", 513) + strings.Repeat("]", 513),
}

func TestJSON(t *testing.T) {
	for _, text := range jsonSeeds {
		checkAgainst(t, []byte(text))
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonSeeds {
		f.Add([]byte(text))
	}
	f.Fuzz(checkAgainst)
}

// The time to read a body grows with its length and with nothing else, whatever
// it consists of.
func TestJSONLinear(t *testing.T) {
	const size = 4 << 20
	for name, text := range map[string]string{
		"escapes":       `{"a":"` + strings.Repeat(`\n`, size/2) + `"}`,
		"quotes":        `{"a":"` + strings.Repeat(`\"`, size/2) + `"}`,
		"backslashes":   `{"a":"` + strings.Repeat(`\\`, size/2) + `"}`,
		"far backslash": `{"a":"` + strings.Repeat(`x`, size) + `\n"}`,
		"many members":  `{"a":[` + strings.Repeat(`"",`, size/3) + `0]}`,
		"spaces":        `{"a":` + strings.Repeat(` `, size) + `0}`,
		"digits":        `{"a":` + strings.Repeat(`1`, size) + `}`,
		"open brackets": `{"a":` + strings.Repeat(`[`, size),
	} {
		start := time.Now()
		if validJSON([]byte(text)) {
			w := walk([]byte(text))
			for _, value, ok := w.member(); ok; _, value, ok = w.member() {
				if isArray(value) {
					list := walk(value)
					for _, ok := list.element(); ok; _, ok = list.element() { //nolint:revive // the walk is what is measured
					}
				}
			}
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
