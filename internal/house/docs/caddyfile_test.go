package docs

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what examples may use besides

	sockudo "github.com/sockudo/caddy-sockudo"
	"github.com/sockudo/caddy-sockudo/internal/pushtest"
)

// app is what a fragment of a document needs around it to be a whole.
const app = "app app-id {\n\t\t\tkey app-key\n\t\t\tsecret {env.APP_SECRET}\n\t\t}"

// secrets are the variables that documents take secrets from.
func secrets(t testing.TB) {
	for _, name := range []string{"APP_SECRET", "OLD_APP_SECRET", "DATABASE_URL", "DATABASE_PASSWORD", "REDIS_PASSWORD", "SCYLLADB_PASSWORD", "SURREALDB_PASSWORD", "SOKETI_DEFAULT_APP_SECRET", "REVERB_APP_SECRET", "PUSHER_APP_SECRET"} {
		t.Setenv(name, "a secret of some length")
	}
	t.Setenv("POD_NAME", "realtime-7d4b9c-x2x7k")
	t.Setenv("VAPID_PRIVATE_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE")
}

// checkCaddyfile adapts and provisions a Caddyfile, as it stands there; only servers
// that exist here under another name are called by that.
func checkCaddyfile(t testing.TB, b block) {
	secrets(t)
	text := b.text
	if strings.Contains(text, "{env.SOCKUDO_DEFAULT_APP_SECRET}") {
		t.Setenv("SOCKUDO_DEFAULT_APP_SECRET", "a secret of some length") // which says something by itself elsewhere
	}
	if formatted := caddyfileFormat(text); formatted != text {
		t.Errorf("caddy fmt makes of it:\n%s", formatted)
	}
	if within := b.marks["within"]; within != "" {
		if within != "sockudo" {
			t.Fatalf("nobody knows what is around a fragment of %s", within)
		}
		text = "example.com {\n\tsockudo {\n" + indent(text, "\t\t") + indent(app, "\t\t") + "\n\t}\n}\n"
		text = caddyfileFormat(text)
	}
	if strings.Contains(text, "/etc/caddy/secrets/") {
		text = strings.NewReplacer(
			"/etc/caddy/secrets/fcm.json", pushtest.NewFCM(t).ServiceAccountFile(t), "/etc/caddy/secrets/apns.p8", keyFile(t),
		).Replace(text)
	}
	for name, here := range servers(t) {
		text = strings.ReplaceAll(text, name, here)
	}
	var err error
	if b.marks["adapted"] != "" {
		_, err = adapt(b.doc, []byte(text))
	} else {
		err = load(b.doc, []byte(text))
	}
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// servers are those that scripts/setup starts, by the names that documents give them.
func servers(t testing.TB) map[string]string {
	t.Helper()
	redis, err := url.Parse(cmp.Or(os.Getenv("TEST_REDIS_URL"), "redis://127.0.0.1:6379"))
	if err != nil {
		t.Fatal(err)
	}
	nats := strings.TrimPrefix(cmp.Or(os.Getenv("TEST_NATS_URL"), "127.0.0.1:4222"), "nats://")
	return map[string]string{
		"redis.internal:6379": redis.Host, "redis:6379": redis.Host, "/run/secrets/app-secret": secretFile(t),
		"nats-1.internal nats-2.internal": nats,
	}
}

// secretFile has the secret of an app.
func secretFile(t testing.TB) string {
	file := filepath.Join(t.TempDir(), "app-secret")
	write(t, file, "a secret of some length\n")
	return file
}

// keyFile has a key as Apple hands them out.
func keyFile(t testing.TB) string {
	file := filepath.Join(t.TempDir(), "apns.p8")
	write(t, file, pushtest.NewAPNs(t).Key(t).PEM)
	return file
}

func indent(text, by string) string {
	return by + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n"+by) + "\n"
}

func caddyfileFormat(text string) string { return string(caddyfile.Format([]byte(text))) }

// elsewhere are examples that need variables and servers, and the tests that run them.
var elsewhere = map[string]string{"examples/production.caddyfile": "TestProductionExample"}

// TestExamples loads every Caddyfile of the examples that is not run elsewhere.
func TestExamples(t *testing.T) {
	secrets(t)
	found := 0
	for _, name := range examples(t, "Caddyfile", ".caddyfile") {
		if elsewhere[name] != "" {
			continue
		}
		found++
		checkCaddyfile(t, block{doc: name, text: read(t, name)})
	}
	if found == 0 {
		t.Error("no example found")
	}
}

// examples are the files of examples/ whose names end so.
func examples(t testing.TB, ends ...string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, "examples"), func(name string, d fs.DirEntry, err error) error {
		for _, end := range ends {
			if err == nil && !d.IsDir() && strings.HasSuffix(name, end) {
				rel, _ := filepath.Rel(root, name)
				names = append(names, filepath.ToSlash(rel))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
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
	for _, name := range documents(t) {
		var above string
		for _, b := range of(t, name) {
			if b.language == "caddyfile" {
				above = b.text
			}
			if !strings.Contains(b.text, `"handler": "sockudo"`) {
				continue
			}
			found++
			var shown, whole any
			if err := json.Unmarshal([]byte(b.text), &shown); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			adapted, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(above), map[string]any{"filename": name})
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(adapted, &whole); err != nil {
				t.Fatal(err)
			}
			if meant := handler(whole); !reflect.DeepEqual(meant, shown) {
				text, _ := json.MarshalIndent(meant, "", "\t")
				t.Errorf("%s: the Caddyfile means\n%s\nand not\n%s", name, text, b.text)
			}
		}
	}
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
	config, err := adapt(name, text)
	if err != nil {
		return err
	}
	return caddy.Validate(config)
}

// adapt does what caddy adapt does, and reads the handlers of this module as Caddy
// does before it provisions them.
func adapt(name string, text []byte) (config *caddy.Config, err error) {
	adapted, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		return nil, fmt.Errorf("line %d: %s", w.Line, w.Message)
	}
	decoder := json.NewDecoder(bytes.NewReader(adapted))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&config); err != nil {
		return nil, err
	}
	var whole any
	if err := json.Unmarshal(adapted, &whole); err != nil {
		return nil, err
	}
	if h, is := handler(whole).(map[string]any); is {
		delete(h, "handler") // which Caddy takes out as well
		text, err := json.Marshal(h)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, new(sockudo.Handler)); err != nil {
			return nil, err
		}
	}
	return config, nil
}
