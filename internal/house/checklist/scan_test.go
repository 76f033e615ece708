package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	// The marker is put together here, so that this file claims nothing.
	const mark = "// Check" + "list: "
	for _, c := range []struct {
		name, file, text string
		want             string // part of the error, or else of the report
	}{
		{"go", "a_test.go", mark + "protocol 1, 2\n" + mark + "http-api 1\n// More.\nfunc TestA(t *testing.T) {", "protocol: 2 of"},
		{"scenario", "a.mjs", mark + "protocol 206\nscenario('x', () => {})", "protocol: 1 of"},
		{"twice", "a_test.go", mark + "protocol 1\nfunc TestA(\n" + mark + "protocol 1\nfunc TestB(", "protocol: 1 of"},
		{"beyond", "a_test.go", mark + "protocol 208\nfunc TestA(", "tested beyond the scope: 208"},
		{"no test", "a.go", mark + "protocol 1\nfunc TestA(", "protocol: 0 of"},
		{"form", "a_test.go", "// check" + "list: protocol 1\nfunc TestA(", "a_test.go:1: "},
		{"space", "a_test.go", mark + "protocol 1,2\nfunc TestA(", "is not of the form"},
		{"list", "a_test.go", mark + "protocols 1\nfunc TestA(", `no list "protocols"`},
		{"number", "a_test.go", mark + "protocol 999\nfunc TestA(", "no item 999"},
		{"astray", "a_test.go", "\n" + mark + "protocol 1\n\nfunc TestA(", "a_test.go:2: the claim is not directly above a test"},
		{"end", "a_test.go", mark + "protocol 1\n// x", "above nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			found, err := scan(dir)
			if err != nil {
				out.WriteString(err.Error())
			} else {
				report(&out, found)
			}
			if !strings.Contains(out.String(), c.want) {
				t.Errorf("got\n%s\nwant %q in it", out.String(), c.want)
			}
		})
	}
}

func TestScopesAreWithinTheirLists(t *testing.T) {
	for _, l := range lists {
		for n := range l.scope {
			if n < 1 || n > l.items {
				t.Errorf("%s has no item %d", l.name, n)
			}
		}
	}
}

func TestSpans(t *testing.T) {
	if got := spans([]int{1, 2, 3, 7, 9, 10}); got != "1-3, 7, 9-10" {
		t.Error(got)
	}
}
