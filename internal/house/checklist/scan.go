package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// claims are the places that claim an item, by list and number.
type claims map[string]map[int][]string

var (
	// claim is a line that claims items, and almost one that means to.
	claim  = regexp.MustCompile(`^// Checklist: ([a-z-]+) ([0-9]+(?:, [0-9]+)*)$`)
	almost = regexp.MustCompile(`(?i)^//\s*checklist\s*:`)
	// test starts a test: a function or a subtest in Go, a scenario in JavaScript,
	// or a row of a table that names one.
	test = regexp.MustCompile(`^(func (Test|Fuzz|Benchmark)|t\.Run\(|scenario\(|\{)`)
)

// scan reads all tests below dir.
func scan(dir string) (claims, error) {
	found := claims{}
	for _, l := range lists {
		found[l.name] = map[int][]string{}
	}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && name != dir):
			return filepath.SkipDir
		case d.IsDir() || !isTest(name):
			return nil
		}
		return found.file(name)
	})
	return found, err
}

func isTest(name string) bool {
	return strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".mjs")
}

// file takes the claims of one file.
func (c claims) file(name string) error {
	f, err := os.Open(name) //nolint:gosec // a file of this repository
	if err != nil {
		return err
	}
	defer f.Close()
	open := 0 // the line of a claim whose test has not come yet
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		switch {
		case almost.MatchString(text):
			if err := c.line(text, fmt.Sprintf("%s:%d", name, n)); err != nil {
				return err
			}
			open = n
		case open == 0 || strings.HasPrefix(text, "//"):
		case test.MatchString(text):
			open = 0
		default:
			return fmt.Errorf("%s:%d: the claim is not directly above a test", name, open)
		}
	}
	if open > 0 && lines.Err() == nil {
		return fmt.Errorf("%s:%d: the claim is above nothing", name, open)
	}
	return lines.Err()
}

// line takes the items of one claim.
func (c claims) line(text, place string) error {
	m := claim.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("%s: %q is not of the form \"// Checklist: protocol 1, 2\"", place, text)
	}
	i := slices.IndexFunc(lists, func(l list) bool { return l.name == m[1] })
	if i < 0 {
		return fmt.Errorf("%s: there is no list %q", place, m[1])
	}
	for number := range strings.SplitSeq(m[2], ", ") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > lists[i].items {
			return fmt.Errorf("%s: %s has no item %s", place, m[1], number)
		}
		c[m[1]][n] = append(c[m[1]][n], place)
	}
	return nil
}
