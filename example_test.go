package sockudo

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// The example is formatted, loads, serves its page on the loopback address, and
// fetches nothing from elsewhere.
func TestExample(t *testing.T) {
	source, err := os.ReadFile("examples/Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(caddyfile.Format(source), source) {
		t.Error("examples/Caddyfile is not formatted: caddy fmt --overwrite examples/Caddyfile")
	}
	contains(t, string(source), "bind 127.0.0.1", "http://localhost:6001")
	config, warnings, err := adapt(string(source))
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if !json.Valid(config) {
		t.Error("no JSON")
	}

	s := newServer(t)
	port := freePort(t)
	s.mustLoad("", strings.ReplaceAll(string(source), ":6001", ":"+port))
	for path, part := range map[string]string{
		"/": `<script type="module" src="app.js">`, "/app.js": "import { Client } from './pusher.js'", "/pusher.js": "class Client",
		"/sign.js": "HMAC", "/style.css": "prefers-color-scheme: dark", "/up": "OK",
	} {
		status, body := request(t, "GET", "http://localhost:"+port+path, nil)
		if status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
		contains(t, body, part)
		for _, elsewhere := range []string{"https://", "//cdn", "@import"} {
			if strings.Contains(body, elsewhere) {
				t.Errorf("%s has %s in it", path, elsewhere)
			}
		}
	}
	dial(t, "localhost:"+port, "/app/app-key?protocol=7")
}
