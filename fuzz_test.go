package sockudo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// noFiles is what placeholders stand for while fuzzing: nothing of this machine.
func noFiles() *caddy.Replacer {
	r := caddy.NewEmptyReplacer()
	r.Set("env.X", "7")
	r.Set("system.hostname", "on")
	return r
}

// seeds are the Caddyfiles of testdata.
func seeds(f *testing.F) (sources, objects []string) {
	f.Helper()
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		source, object, _ := strings.Cut(string(text), goldenSeparator)
		sources, objects = append(sources, source), append(objects, object)
	}
	return sources, objects
}

// FuzzCaddyfile reads a directive from any tokens. What it accepts must survive
// the way through JSON unchanged.
func FuzzCaddyfile(f *testing.F) {
	sources, _ := seeds(f)
	for _, source := range sources {
		if _, block, ok := strings.Cut(source, "sockudo {"); ok {
			f.Add("sockudo {" + block)
		}
	}
	f.Add("sockudo a b")
	f.Add("sockudo {\nrate_limiter \"memory\" {\nlimits {\n}\nmax_keys 5\n}\n}")
	f.Add("sockudo {\npush on\npush_rule a* {\nevent_filter x\nsuppress_if_present\n}\n}")
	f.Add("sockudo {\npush {\nstorage memory\nprovider wns\nprovider fcm {\nproject_id {env.X}\n}\nretry {\nmax_attempts {env.X}\n}\n}\n}")
	f.Add("sockudo {\nusage {env.X}\napp {env.X} {\nkey k\nsecret {file.x}\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := caddyfile.Tokenize([]byte(text), "Caddyfile")
		if err != nil {
			return
		}
		h := new(Handler)
		if err := h.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
			return
		}
		b, err := json.Marshal(h)
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		checkDecoded(t, b)
	})
}

// checkDecoded reads JSON that came from a Caddyfile.
func checkDecoded(t *testing.T, b []byte) {
	t.Helper()
	h := new(Handler)
	if err := json.Unmarshal(b, h); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	again, err := json.Marshal(h)
	if err != nil || string(again) != string(b) {
		t.Fatalf("%v\n%s\n%s", err, b, again)
	}
	_, _ = h.resolve(noFiles(), noEnv)
}

// FuzzJSONConfig reads any JSON, and resolves what it accepts.
func FuzzJSONConfig(f *testing.F) {
	_, objects := seeds(f)
	for _, object := range objects {
		f.Add([]byte(object))
	}
	f.Add([]byte(`{"name":"x","apps":[{"id":"a","key":"k","secret":"s","policy":{"limits":{"max_connections":"5"}}}],"rate_limiter":{"max_keys":5}}`))
	f.Add([]byte(`{"push":{"providers":{"webpush":{"vapid_subject":"{env.X}"}},"storage":{"driver":"memory"},"default_quotas":{"fanout_max":"none"}},"push_rules":[{"channel_pattern":"a*","event_filter":["x"],"suppress_if_present":{"delay_seconds":1}}]}`))
	f.Add([]byte(`{"usage":"{env.X}","activity_timeout":60000000000,"cors":{"origins":["*"]},"cache":{"driver":"memory","max_bytes":1}}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		h := new(Handler)
		if err := json.Unmarshal(b, h); err == nil {
			_, _ = h.resolve(noFiles(), noEnv)
			_, _ = h.fingerprint()
		}
		_ = json.Unmarshal(b, new(App))
	})
}
