package docs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// checks are what is done with a block, by its language.
var checks = map[string]func(t testing.TB, b block){
	"caddyfile":  checkCaddyfile,
	"json":       checkJSON,
	"http":       checkHTTP,
	"sh":         checkShell,
	"console":    checkConsole,
	"env":        checkEnvironment,
	"systemd":    checkUnit,
	"dockerfile": checkDockerfile,
	"yaml":       checkYAML,
	"js":         checkScript,
	"jsx":        checkScript,
	"ts":         checkScript,
	"html":       checkPage,
	"php":        checkPHP,
	"ruby":       checkRuby,
	"python":     checkPython,
	"go":         checkGo,
	"toml":       checkTOML,
	"kotlin":     checkCall,
	"swift":      checkCall,
	"proto":      checkProto,
}

// exempt is how many blocks have a reason not to be tried, or not to the end. A
// document that needs another one says why there, and is counted here.
var exempt = map[string]int{"not run": 3, "adapted": 12}

// TestBlocks tries every block of every document.
func TestBlocks(t *testing.T) {
	exempted, tried := map[string]int{}, map[string]int{}
	for _, doc := range documents(t) {
		found, faults := blocks(doc, read(t, doc))
		for _, f := range faults {
			t.Errorf("%s:%d: %s", doc, f.line, f.what)
		}
		for _, b := range found {
			for name := range exempt {
				if _, is := b.marks[name]; is {
					exempted[name]++
				}
			}
			tried[b.language]++
			t.Run(fmt.Sprintf("%s:%d %s", doc, b.line, b.language), func(t *testing.T) { check(t, b) })
		}
	}
	for name, want := range exempt {
		if exempted[name] != want {
			t.Errorf("%d blocks are marked %q, and %d are allowed", exempted[name], name, want)
		}
	}
	for _, language := range slices.Sorted(maps.Keys(tried)) {
		t.Logf("%3d %s", tried[language], language)
	}
}

// check does with one block what its language and its marks ask for.
func check(t testing.TB, b block) {
	if name, is := b.marks["tested"]; is {
		if !slices.Contains(tests(t), name) {
			t.Errorf("there is no %s here", name)
		}
		return
	}
	if _, is := b.marks["not run"]; is {
		return
	}
	try := checks[b.language]
	if try == nil {
		t.Fatalf("nobody tries the language %q:\n%s", b.language, b.text)
	}
	if strings.TrimSpace(b.text) == "" {
		t.Fatal("the block is empty")
	}
	try(t, b)
}
