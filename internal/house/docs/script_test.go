package docs

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// packages is where scripts/setup installs the npm packages that the documents use.
func packages(t testing.TB) string {
	t.Helper()
	sum := sha256.Sum256([]byte(read(t, "internal/house/docs/package-lock.json")))
	dir, err := filepath.Abs(filepath.Join(root, ".cache", "docs-"+hex.EncodeToString(sum[:6])))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("run scripts/setup docs: %v", err)
	}
	return dir
}

// workshop is a directory in which Node finds the packages.
func workshop(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(packages(t), "run-") //nolint:usetesting // below the packages
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// checkScript compiles a script, as a module, and finds the packages it imports.
func checkScript(t testing.TB, b block) {
	dir := packages(t)
	cmd := command(t, filepath.Join(dir, "node_modules", ".bin", "esbuild"), "--loader="+b.language, "--format=esm", "--jsx=automatic", "--log-level=warning")
	cmd.Stdin = strings.NewReader(b.text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range regexp.MustCompile(`(?m)^import [^'\n]*'([^'\n./][^'\n]*)'`).FindAllStringSubmatch(b.text, -1) {
		name := m[1]
		if strings.HasPrefix(name, "node:") || strings.HasPrefix(name, "@/") || strings.HasPrefix(name, "react") || strings.HasPrefix(name, "next") {
			continue // the frameworks are too large for a test
		}
		if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(name))); err != nil {
			t.Errorf("the package %s is not installed, so nobody has tried this", name)
		}
	}
}

var (
	scripts = regexp.MustCompile(`(?s)<script([^>]*)>(.*?)</script>`)
	tags    = regexp.MustCompile(`(?s)<!--.*?-->|<(/?)([a-zA-Z][a-zA-Z0-9-]*)([^>]*)>`)
	void    = regexp.MustCompile(`^(?i:area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)$`)
	// optional are elements that HTML closes by itself.
	optional = regexp.MustCompile(`^(?i:html|head|body|p|li|td|tr|th)$`)
)

// checkPage wants the elements of a page closed, and compiles its scripts.
func checkPage(t testing.TB, b block) {
	if !strings.HasPrefix(strings.ToLower(b.text), "<!doctype html>\n") {
		t.Error("a page begins with <!doctype html>")
	}
	for _, m := range scripts.FindAllStringSubmatch(b.text, -1) {
		if strings.TrimSpace(m[2]) != "" {
			checkScript(t, block{language: "js", text: m[2]})
		}
	}
	var open []string
	for _, m := range tags.FindAllStringSubmatch(scripts.ReplaceAllString(b.text, ""), -1) {
		name := strings.ToLower(m[2])
		switch {
		case name == "" || void.MatchString(name) || optional.MatchString(name):
		case m[1] == "":
			open = append(open, name)
		case len(open) == 0 || open[len(open)-1] != name:
			t.Fatalf("</%s> closes nothing; open are %q", name, open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("nothing closes %q", open)
	}
}

// interpreter runs one that checks what it reads.
func interpreter(t testing.TB, text, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("run scripts/setup: %v", err)
	}
	cmd := command(t, name, args...)
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}

func checkPHP(t testing.TB, b block) {
	text := b.text
	if !strings.HasPrefix(text, "<?php") {
		text = "<?php\n" + text
	}
	interpreter(t, text, "php", "-l")
}

func checkRuby(t testing.TB, b block) { interpreter(t, b.text, "ruby", "-wc") }

func checkPython(t testing.TB, b block) {
	interpreter(t, b.text, "python3", "-c", "import ast, sys; ast.parse(sys.stdin.read())")
}

// checkGo compiles a file, or an expression with the SDK.
func checkGo(t testing.TB, b block) {
	text := b.text
	if !strings.Contains(text, "package ") {
		text = "package p\n\nimport \"github.com/pusher/pusher-http-go/v5\"\n\nvar _ = " + text
	}
	file := filepath.Join(t.TempDir(), "snippet.go")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "go", "vet", file)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}
