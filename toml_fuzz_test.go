package sockudo

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// FuzzSockudoFile reads a file of Sockudo from any bytes. What it accepts is a
// configuration of the handler, and an error has text.
func FuzzSockudoFile(f *testing.F) {
	for _, pattern := range []string{"testdata/toml/*.*", "testdata/toml/page/*.toml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatal(files, err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, text := range []string{
		"a.b.c = [[1, {x = 2}], \"${X}\"]", "[[a]]\n[a.b]\n[[a]]\n[a.b]", "host = \"\"\"${X}\"\"\"\nmode = '${X}'", "{\"a\": [null, {\"b\": 1e9}]}",
		"[database.redis]\nsentinels = [1]\ncluster = 5\ncluster_nodes = [{}]\nsentinel_tls = {}", "[rate_limiter]\ndriver = 5\nredis = 5\n[rate_limiter.api_rate_limit]\ntrust_hops = \"x\"",
		"app_manager = 1\nadapter = []\ncache = \"x\"\nqueue = 1\nhistory = true\npush = 5\nwebhooks = 1\nssl = 1\nunix_socket = 1\ndatabase = 1\nmetrics = 1\ncors = 1",
		"[push]\nproviders = 5\ndefault_quotas = 1\npayload_redaction = 5\n[adapter.redis]\nnodes = [1]\ntls = 5\nredis_pub_options = 1",
	} {
		f.Add([]byte(text))
	}
	env := map[string]string{"X": "7", "WEB_PUSH_PUBLIC_KEY": "a{b", "WEB_PUSH_PRIVATE_KEY": "\\}"}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := readSockudo(text, "f", envOf(env))
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without text")
			}
			return
		}
		if _, err := json.Marshal(file.caddy()); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(file.Hub)
		if err != nil {
			t.Fatal(err)
		}
		h := new(Handler)
		if err := json.Unmarshal(b, h); err != nil {
			t.Fatalf("%v in %s", err, b)
		}
		_, _ = h.resolve(noFiles(), noEnv)
	})
}
