package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what examples may use besides

	_ "github.com/sockudo/caddy-sockudo" // the directive that examples are about
)

// block is a fenced block of a document. One that nobody should try stands below
// an HTML comment that says so.
var block = regexp.MustCompile("(?ms)^(<!-- not run -->\\n)?```(caddyfile|json)\\n(.*?)^```$")

// elsewhere are examples that need servers, and the tests that run them.
var elsewhere = map[string]string{"examples/production.caddyfile": "TestProductionExample"}

// TestCaddyfiles adapts and provisions every Caddyfile of the documents and every
// example that needs no servers, as they stand there.
func TestCaddyfiles(t *testing.T) {
	for _, name := range []string{"APP_SECRET", "DATABASE_URL"} {
		t.Setenv(name, "a secret of some length")
	}
	t.Setenv("VAPID_PRIVATE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE")
	found := 0
	each := func(name string, text []byte) {
		found++
		t.Run(name, func(t *testing.T) {
			if err := load(name, text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
	walk(t, func(name string) {
		for i, m := range block.FindAllSubmatch(read(t, name), -1) {
			if len(m[1]) == 0 && string(m[2]) == "caddyfile" {
				each(fmt.Sprintf("%s block %d", name, i+1), m[3])
			}
		}
	}, ".md")
	walk(t, func(name string) {
		if strings.HasPrefix(name, "examples/") && elsewhere[name] == "" {
			each(name, read(t, name))
		}
	}, "Caddyfile", ".caddyfile")
	if found == 0 {
		t.Error("no Caddyfile found")
	}
}

// TestLoadRefuses shows that the test above can fail.
func TestLoadRefuses(t *testing.T) {
	const good = ":80 {\n\tsockudo {\n\t\tapp a {\n\t\t\tkey k\n\t\t\tsecret s\n\t\t}\n\t}\n}\n"
	if err := load("good", []byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"misspelt":    strings.Replace(good, "secret", "secrte", 1),
		"incomplete":  strings.Replace(good, "\t\t\tsecret s\n", "", 1),
		"unset":       strings.Replace(good, "secret s", "secret {env.HOUSE_UNSET}", 1),
		"unformatted": strings.Replace(good, "\t\tapp", "app", 1),
	} {
		if load(name, []byte(text)) == nil {
			t.Errorf("%s: loaded", name)
		}
	}
}

// TestJSON wants the handlers that the documents show as JSON to be what the
// Caddyfile above each of them means.
func TestJSON(t *testing.T) {
	found := 0
	walk(t, func(name string) {
		var above []byte
		for _, m := range block.FindAllSubmatch(read(t, name), -1) {
			if string(m[2]) == "caddyfile" {
				above = m[3]
				continue
			}
			if !bytes.Contains(m[3], []byte(`"handler": "sockudo"`)) {
				continue
			}
			found++
			var shown any
			if err := json.Unmarshal(m[3], &shown); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(above, map[string]any{"filename": name})
			if err != nil {
				t.Fatal(err)
			}
			var whole any
			if err := json.Unmarshal(adapted, &whole); err != nil {
				t.Fatal(err)
			}
			if meant := handler(whole); !reflect.DeepEqual(meant, shown) {
				text, _ := json.MarshalIndent(meant, "", "\t")
				t.Errorf("%s: the Caddyfile means\n%s\nand not\n%s", name, text, m[3])
			}
		}
	}, ".md")
	if found == 0 {
		t.Error("no handler found")
	}
}

// handler is the first handler of this module in a configuration.
func handler(tree any) any {
	switch v := tree.(type) {
	case map[string]any:
		if v["handler"] == "sockudo" {
			return v
		}
		for _, one := range v {
			if h := handler(one); h != nil {
				return h
			}
		}
	case []any:
		for _, one := range v {
			if h := handler(one); h != nil {
				return h
			}
		}
	}
	return nil
}

// load does what caddy validate does. A file that caddy fmt would change is an
// error too.
func load(name string, text []byte) error {
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		return fmt.Errorf("line %d: %s", w.Line, w.Message)
	}
	var config *caddy.Config
	decoder := json.NewDecoder(bytes.NewReader(adapted))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return err
	}
	return caddy.Validate(config)
}
