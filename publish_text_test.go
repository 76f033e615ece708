package sockudo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func copyTo(w io.Writer, resp *http.Response) (int64, error) { return io.Copy(w, resp.Body) }

// Placeholders are found where Caddy finds them, and in JSON they stay within their
// strings.
func TestEventText(t *testing.T) {
	value := func(name string) (string, error) {
		if name == "bad" {
			return "", fmt.Errorf("{%s} is bad", name)
		}
		return `<"` + name + "\n>", nil
	}
	for text, want := range map[string]string{
		"":                              "",
		"plain":                         "plain",
		"{a}":                           "<\"a\n>",
		"x{a}y{b}":                      "x<\"a\n>y<\"b\n>",
		`\{a\}`:                         "{a}",
		"{unclosed":                     "{unclosed",
		"{}":                            "{}",
		"[INFO] {a}":                    "[INFO] <\"a\n>",
		`{"k":"v","n":1.50, "x":null }`: `{"k":"v","n":1.50, "x":null }`,
		`{"k":"{a}"}`:                   `{"k":"\u003c\"a\n\u003e"}`,
		`["{a}-{b}","\"",7]`:            `["\u003c\"a\n\u003e-\u003c\"b\n\u003e","\"",7]`,
		`{"\\{a\\}":"\\"}`:              `{"{a}":"\\"}`,
	} {
		parsed, err := parseEventText(text, true)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := parsed.fill(value)
		if err != nil || got != want {
			t.Errorf("%s: got %s, want %s (%v)", text, got, want, err)
		}
		if parsed.json && !json.Valid([]byte(got)) {
			t.Errorf("%s has become %s", text, got)
		}
	}
	for _, text := range []string{"{bad}", `{"x":"{bad}"}`} {
		parsed, err := parseEventText(text, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.fill(value); err == nil {
			t.Errorf("%s is filled", text)
		}
	}
	if _, err := parseEventText(`{"a":{b}}`, true); err == nil || !strings.Contains(err.Error(), "placeholders stand in its strings") {
		t.Error(err)
	}
}

// No text makes the parser fail, and no value breaks out of its string.
func FuzzEventText(f *testing.F) {
	f.Add(`{"a":"{b}"}`, `"},"x":"`)
	f.Add(`{a}\{`, "v")
	f.Fuzz(func(t *testing.T, text, with string) {
		parsed, err := parseEventText(text, true)
		if err != nil {
			return
		}
		got, err := parsed.fill(func(string) (string, error) { return with, nil })
		if err != nil {
			t.Fatal(err)
		}
		if parsed.json && !json.Valid([]byte(got)) {
			t.Errorf("%q with %q has become %q", text, with, got)
		}
	})
}
