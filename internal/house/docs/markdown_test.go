package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is the directory of this repository.
const root = "../../.."

// block is a fenced block of a document.
type block struct {
	doc      string // the path of the document below the root
	line     int    // of the opening fence
	language string
	text     string
	marks    map[string]string // what the comments above say
}

// known are the marks that a comment can make.
var known = []string{"file", "within", "runs", "tested", "adapted", "not run"}

var (
	mark  = regexp.MustCompile(`^<!-- ([a-z ]+?)(?:: (.*\S))? -->$`)
	fence = regexp.MustCompile("^( *)(```+|~~~+)(.*)$")
	item  = regexp.MustCompile(`^ *([-*+]|[0-9]+[.)]) `)
)

// fault is something wrong with a document.
type fault struct {
	line int
	what string
}

// blocks reads a document. Code that is indented instead of fenced has no language
// and is a fault, as are a fence that nothing closes and a mark that nobody knows.
func blocks(doc, text string) (found []block, faults []fault) {
	lines := strings.Split(text, "\n")
	list := false
	for i := 0; i < len(lines); i++ {
		open := fence.FindStringSubmatch(lines[i])
		blank := i == 0 || strings.TrimSpace(lines[i-1]) == ""
		switch {
		case open != nil:
			b := block{doc: doc, line: i + 1, language: strings.TrimSpace(open[3])}
			end := i + 1
			for end < len(lines) && strings.TrimSpace(lines[end]) != open[2] {
				b.text += strings.TrimPrefix(lines[end], open[1]) + "\n"
				end++
			}
			if end == len(lines) {
				faults = append(faults, fault{i + 1, "nothing closes this fence"})
			}
			var wrong []fault
			b.marks, wrong = marksAbove(lines, i)
			found, faults = append(found, b), append(faults, wrong...)
			i = end
		case item.MatchString(lines[i]):
			list = true
		case strings.TrimSpace(lines[i]) != "" && !strings.HasPrefix(lines[i], " "):
			list = false
		case !list && blank && strings.HasPrefix(lines[i], "    "):
			faults = append(faults, fault{i + 1, "code is indented instead of fenced"})
		}
	}
	return found, faults
}

// marksAbove reads the comments directly above a line.
func marksAbove(lines []string, at int) (marks map[string]string, faults []fault) {
	marks = map[string]string{}
	for i := at - 1; i >= 0; i-- {
		m := mark.FindStringSubmatch(strings.TrimSpace(lines[i]))
		if i > 0 && lines[i] == "" && strings.HasPrefix(lines[i-1], "<!-- generated: ") || len(m) > 0 && m[1] == "generated" {
			continue // what the house writes; the marks stand above
		}
		if m == nil {
			break
		}
		marks[m[1]] = m[2]
		switch {
		case !slices.Contains(known, m[1]):
			faults = append(faults, fault{i + 1, "nobody knows the mark " + m[1]})
		case m[2] == "" && m[1] != "runs":
			faults = append(faults, fault{i + 1, "the mark " + m[1] + " says nothing"})
		}
	}
	return marks, faults
}

// documents are the paths of all documents, below the root.
func documents(t testing.TB) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			hidden := strings.HasPrefix(d.Name(), ".") && name != root
			if hidden || slices.Contains([]string{"node_modules", "dist", "testdata", "results"}, d.Name()) {
				return filepath.SkipDir
			}
		case strings.HasSuffix(name, ".md"):
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// of are the blocks of a document, which have been found to be well-formed elsewhere.
func of(t testing.TB, doc string) []block {
	t.Helper()
	found, _ := blocks(doc, read(t, doc))
	return found
}

// The reader has to find what it is there to refuse.
func TestMarkdown(t *testing.T) {
	text := "# A\n\n<!-- file: a.js -->\n```js\nlet a\n```\n\n- item\n\n    still the item\n\n  ```sh\n  ls\n  ```\n\nText.\n"
	found, faults := blocks("a.md", text)
	if len(found) != 2 || len(faults) != 0 {
		t.Fatalf("found %+v, %v", found, faults)
	}
	if b := found[0]; b.language != "js" || b.text != "let a\n" || b.line != 4 || b.marks["file"] != "a.js" {
		t.Errorf("read %+v", b)
	}
	if found[1].text != "ls\n" {
		t.Errorf("read %+v", found[1])
	}
	for name, text := range map[string]string{
		"open":      "```js\nlet a\n",
		"indented":  "Text:\n\n    code\n",
		"mark":      "<!-- nott run: why -->\n```js\n```\n",
		"no reason": "<!-- not run -->\n```js\n```\n",
	} {
		if _, faults := blocks("a.md", text); len(faults) == 0 {
			t.Errorf("%s: no fault", name)
		}
	}
}
