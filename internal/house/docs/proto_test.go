package docs

import (
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// protoLine is a line of a Protobuf schema: the begin of a block, its end, values of an
// enumeration in one line, or a field.
var protoLine = regexp.MustCompile(`^(?:(?:message|oneof) \w+ \{|enum \w+ \{ (?:[A-Z]+ = \d+; )+\}|\}|(?:[\w.]+|map<\w+, \w+>) \w+ = (\d+);)$`)

// checkProto reads a schema line by line. No two fields of a message have one number.
func checkProto(t testing.TB, b block) {
	var numbers []map[string]bool // of the messages around a line; those of a oneof are its message's
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		m := protoLine.FindStringSubmatch(line)
		switch {
		case line == "" || strings.HasPrefix(line, "syntax ") || strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "package "):
		case m == nil:
			t.Errorf("no line of a schema: %q", line)
		case strings.HasPrefix(line, "message "):
			numbers = append(numbers, map[string]bool{})
		case strings.HasPrefix(line, "oneof ") && len(numbers) > 0:
			numbers = append(numbers, numbers[len(numbers)-1])
		case line == "}" && len(numbers) > 0:
			numbers = numbers[:len(numbers)-1]
		case m[1] == "":
		case len(numbers) == 0:
			t.Errorf("outside of a message: %q", line)
		case numbers[len(numbers)-1][m[1]]:
			t.Errorf("the number is taken: %q", line)
		default:
			numbers[len(numbers)-1][m[1]] = true
		}
	}
	if len(numbers) > 0 {
		t.Errorf("%d blocks are not closed", len(numbers))
	}
}

// The document shows what is said of a file of Sockudo with these faults.
func TestFaultsOfSockudosFiles(t *testing.T) {
	const file = "port = 6001\n\n[adapter]\ndriver = \"redis\"\n\n[adapter.redis]\nprefx = \"x\"\n[history]\nenabled = 7\n"
	_, _, err := caddyconfig.GetAdapter("sockudo").Adapt([]byte(file), map[string]any{"filename": "sockudo.toml"})
	if err == nil {
		t.Fatal("the file is taken")
	}
	shown := ""
	found, _ := blocks("docs/configuration.md", read(t, "docs/configuration.md"))
	for _, b := range found {
		if b.marks["tested"] == "TestFaultsOfSockudosFiles" {
			shown = b.text
		}
	}
	for line := range strings.Lines(shown) {
		if line = strings.TrimSpace(line); !strings.Contains(err.Error(), line) {
			t.Errorf("the document has %q, and the adapter says %v", line, err)
		}
	}
	if shown == "" {
		t.Error("the document shows nothing")
	}
}
