package house

import (
	"encoding/json"
	"go/parser"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fence   = regexp.MustCompile("(?ms)^```.*?^```$")
	unused  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchor is the name that a heading gets on the web.
func anchor(text string) string {
	text = unused.ReplaceAllString(strings.ToLower(text), "")
	return strings.ReplaceAll(text, " ", "-")
}

// anchors are the names of all headings of a document.
func anchors(text []byte) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllSubmatch(fence.ReplaceAll(text, nil), -1) {
		names[anchor(string(m[1]))] = true
	}
	return names
}

// TestLinks follows every link of a document that stays in this repository.
func TestLinks(t *testing.T) {
	walk(t, func(name string) {
		text := fence.ReplaceAll(read(t, name), nil)
		for _, m := range link.FindAllSubmatch(text, -1) {
			target, part, _ := strings.Cut(string(m[1]), "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
			}
			info, err := os.Stat(filepath.Join(root, filepath.FromSlash(file)))
			switch {
			case err != nil:
				t.Errorf("%s: the link %s leads nowhere", name, m[1])
			case part != "" && (info.IsDir() || !anchors(read(t, file))[part]):
				t.Errorf("%s: the link %s leads to no heading", name, m[1])
			}
		}
	}, ".md")
}

// section is a reference of a comment to the documents. The HTTP API has its own
// numbers, and comments of realtime/rest mean those.
var section = regexp.MustCompile(`(HTTP API,? )?sections? ([0-9]+\.[0-9]+)( of the HTTP API)?`)

// TestSections looks up the sections that comments name.
func TestSections(t *testing.T) {
	numbers := map[string]map[string]bool{}
	for _, doc := range []string{"docs/protocol.md", "docs/http-api.md"} {
		numbers[doc] = map[string]bool{}
		for _, m := range heading.FindAllSubmatch(read(t, doc), -1) {
			number, _, _ := strings.Cut(string(m[1]), " ")
			numbers[doc][number] = true
		}
	}
	found := 0
	walk(t, func(name string) {
		if !strings.HasPrefix(name, "realtime/") && !strings.HasPrefix(name, "storage/") {
			return
		}
		for _, group := range parse(t, name, parser.ParseComments).Comments {
			text := strings.Join(strings.Fields(group.Text()), " ")
			for _, m := range section.FindAllStringSubmatch(text, -1) {
				found++
				doc := "docs/protocol.md"
				if m[1] != "" || m[3] != "" || strings.HasPrefix(name, "realtime/rest/") {
					doc = "docs/http-api.md"
				}
				if !numbers[doc][m[2]] {
					t.Errorf("%s: %s has no section %s", name, doc, m[2])
				}
			}
		}
	}, ".go")
	if found == 0 {
		t.Error("no comment names a section; this test finds nothing")
	}
}

// TestAdminRoutes wants every route of the admin API in docs/operations.md.
func TestAdminRoutes(t *testing.T) {
	text := string(read(t, "docs/operations.md"))
	routes := regexp.MustCompile(`"([A-Z]+ /sockudo/[^"]*)"`).FindAllSubmatch(read(t, "admin.go"), -1)
	if len(routes) == 0 {
		t.Error("no route found")
	}
	for _, m := range routes {
		if !strings.Contains(text, "`"+string(m[1])+"`") {
			t.Errorf("docs/operations.md does not mention %s", m[1])
		}
	}
}

// TestDependencies compares docs/dependencies.md with go.mod.
func TestDependencies(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var direct []string
	for _, r := range mod.Require {
		tool := false
		for _, have := range mod.Tool {
			tool = tool || strings.HasPrefix(have.Path, r.Path+"/")
		}
		if !r.Indirect || tool {
			direct = append(direct, r.Path)
		}
	}
	var described []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllSubmatch(read(t, "docs/dependencies.md"), -1) {
		described = append(described, string(m[1]))
	}
	for _, path := range direct {
		if !slices.Contains(described, path) {
			t.Errorf("docs/dependencies.md gives no reason for %s", path)
		}
	}
	for _, path := range described {
		if !slices.Contains(direct, path) {
			t.Errorf("docs/dependencies.md names %s, which go.mod does not use directly", path)
		}
	}
}
