package sockudo

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

var update = flag.Bool("update", false, "write the expected results of adapting")

const goldenSeparator = "----------\n"

// TestAdapt compares the JSON of Caddyfiles with what is expected, and checks
// that Caddy accepts it.
//
// Checklist: configuration 1
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source, want, _ := strings.Cut(string(text), goldenSeparator)
			config, warnings, err := adapt(source)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				t.Error(w.String())
			}
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			if *update {
				if err := os.WriteFile(name, []byte(source+goldenSeparator+got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
			validate(t, config)
		})
	}
}

func validate(t *testing.T, config []byte) {
	t.Helper()
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Error(err)
	}
	if hubs := allHubs(); len(hubs) > 0 {
		t.Errorf("%d hubs are left over", len(hubs))
	}
}

// TestAdaptTwice reads the JSON of a Caddyfile back.
func TestAdaptTwice(t *testing.T) {
	h := mustParse(t, fullBlock(t))
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	again := new(Handler)
	if err := json.Unmarshal(b, again); err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, c) {
		t.Errorf("%s\n%s", b, c)
	}
}

// fullBlock is the block of testdata that has every word.
func fullBlock(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/adapt/full.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "sockudo {\n")
	block, _, ok := strings.Cut(block, "\n\t}\n}\n"+goldenSeparator)
	if !ok {
		t.Fatal("no block in testdata")
	}
	return block
}
