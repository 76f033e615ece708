package docs

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// checkYAML parses all documents of a block; TestKubernetes and TestCompose know more
// of those in examples/.
func checkYAML(t testing.TB, b block) {
	if len(yamls(t, b.text)) == 0 {
		t.Error("nothing in it")
	}
}

func yamls(t testing.TB, text string) (all []map[string]any) {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var one map[string]any
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if one != nil {
			all = append(all, one)
		}
	}
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
