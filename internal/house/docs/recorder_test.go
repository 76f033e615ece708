package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
)

// recorder is a test that is meant to fail.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Error(...any)          { r.failed = true }
func (r *recorder) Errorf(string, ...any) { r.failed = true }

func (r *recorder) Fatal(...any) {
	r.failed = true
	runtime.Goexit()
}

func (r *recorder) Fatalf(string, ...any) { r.Fatal() }

// refused reports whether a check fails.
func refused(t testing.TB, check func(t testing.TB)) bool {
	r, done := &recorder{TB: t}, make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.failed
}

// TestRefusals shows that each check can fail.
func TestRefusals(t *testing.T) {
	wrong := map[string]string{
		"caddyfile":  ":80 {\n\tsockudo {\n\t\tapp a\n\t}\n}\n",
		"json":       "{\"a\": 1,}\n",
		"http":       "FETCH / HTTP\n",
		"sh":         "frobnicate\n",
		"console":    "$ frobnicate\nand its output\n",
		"env":        "NOBODY_KNOWS=1\n",
		"systemd":    "[Service]\nLimitNOFIEL=1\n",
		"dockerfile": "FORM caddy\n",
		"yaml":       "a: [\n",
		"js":         "let = = 1\n",
		"jsx":        "<p>\n",
		"ts":         "let a: = 1\n",
		"html":       "<!doctype html>\n<div>\n",
		"php":        "$a = ;\n",
		"ruby":       "def\n",
		"python":     "def\n",
		"go":         "pusher.Client{Sicret: \"\"}\n",
		"toml":       "sockudo = \n",
		"kotlin":     "fun none() {}\n",
		"swift":      "func none() {}\n",
		"proto":      "message A {\n  string a = 1;\n  string b = 1;\n}\n",
	}
	for language, try := range checks {
		t.Run(language, func(t *testing.T) {
			text := wrong[language]
			if text == "" {
				t.Fatal("nobody has shown that this check can fail")
			}
			b := block{doc: "docs/configuration.md", language: language, text: text}
			if !refused(t, func(t testing.TB) { try(t, b) }) {
				t.Errorf("it passes: %s", text)
			}
		})
	}
	for _, text := range []string{
		"caddy sockudo frobnicate\n", "caddy sockudo status --frobnicate\n", "caddy frobnicate\n", "go run ./cmd/caddy run --frob x\n", "make frobnicate\n",
		"go test ./frobnicate\n", "curl localhost:6001/up\n", "if\n",
	} {
		if !refused(t, func(t testing.TB) { checkShell(t, block{text: text}) }) {
			t.Errorf("it passes: %s", text)
		}
	}
}

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// tests are the names of the tests in this directory.
func tests(t testing.TB) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}
