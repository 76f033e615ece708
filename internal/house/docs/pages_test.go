package docs

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"path"
	"regexp"
	"strings"
	"testing"
)

// TestHeadings wants one title on each page, on its first line, and no level left out.
func TestHeadings(t *testing.T) {
	for _, doc := range documents(t) {
		lines := prose(t, doc)
		if !strings.HasPrefix(lines[0], "# ") {
			t.Errorf("%s does not begin with its title", doc)
		}
		level := 0
		for i, line := range lines {
			m := regexp.MustCompile(`^(#+) +\S`).FindStringSubmatch(line)
			if m == nil {
				continue
			}
			next := len(m[1])
			if next == 1 && i > 0 {
				t.Errorf("%s:%d: another title", doc, i+1)
			}
			if next > level+1 {
				t.Errorf("%s:%d: a heading of level %d below one of level %d", doc, i+1, next, level)
			}
			level = next
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestOrphans wants a way from the index to every page of docs/, and every page in the
// index itself.
func TestOrphans(t *testing.T) {
	listed := map[string]bool{"docs/README.md": true}
	for _, target := range links(t, "docs/README.md") {
		listed[target] = true
	}
	for _, doc := range documents(t) {
		if path.Dir(doc) == "docs" && !listed[doc] {
			t.Errorf("docs/README.md does not list %s", doc)
		}
	}
	// From the first page a reader sees, to what is not in docs/.
	reached, next := map[string]bool{}, []string{"README.md"}
	for len(next) > 0 {
		doc := next[0]
		next = next[1:]
		if reached[doc] || !strings.HasSuffix(doc, ".md") {
			continue
		}
		reached[doc] = true
		next = append(next, links(t, doc)...)
	}
	for _, doc := range documents(t) {
		if !reached[doc] && doc != "CHANGELOG.md" {
			t.Errorf("no link leads to %s", doc)
		}
	}
}

// links are the files of this repository that a page leads to.
func links(t *testing.T, doc string) (targets []string) {
	for _, m := range link.FindAllStringSubmatch(strings.Join(prose(t, doc), "\n"), -1) {
		target, _, _ := strings.Cut(m[1], "#")
		if target != "" && !strings.Contains(target, ":") {
			targets = append(targets, path.Join(path.Dir(doc), target))
		}
	}
	return targets
}

// prose are the lines of a document, with those of blocks emptied.
func prose(t *testing.T, doc string) []string {
	lines := strings.Split(read(t, doc), "\n")
	for _, b := range of(t, doc) {
		for i := range strings.Count(b.text, "\n") {
			lines[b.line+i] = ""
		}
	}
	return lines
}

// TestSigningVector signs what the HTTP API shows, and wants the signature beside it.
func TestSigningVector(t *testing.T) {
	text := read(t, "docs/http-api.md")
	m := regexp.MustCompile("(?s)### 1.6 A vector\n\nBody `([^`]+)`, secret `([^`]+)`, the text of 1.2:\n`([0-9a-f]{64})`").FindStringSubmatch(text)
	var signed string
	for _, b := range of(t, "docs/http-api.md") {
		if b.marks["tested"] == "TestSigningVector" {
			signed = strings.TrimSuffix(b.text, "\n")
		}
	}
	if m == nil || signed == "" {
		t.Fatal("the vector is not where it was")
	}
	sum := md5.Sum([]byte(m[1]))
	if want := "body_md5=" + hex.EncodeToString(sum[:]); !strings.HasSuffix(signed, want) {
		t.Errorf("the body has %s", want)
	}
	mac := hmac.New(sha256.New, []byte(m[2]))
	mac.Write([]byte(signed))
	if got := hex.EncodeToString(mac.Sum(nil)); got != m[3] {
		t.Errorf("the signature is %s", got)
	}
}
