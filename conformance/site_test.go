package conformance

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page is empty: the browser's scenarios bring their own code.
const page = `<!doctype html>
<meta charset="utf-8">
<title>conformance</title>
<link rel="icon" href="data:,">
<script src="/LIBRARY"></script>
`

// writeSite makes the static site that stands beside the realtime server.
func writeSite(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files := map[string]string{
		"index.html":     strings.Replace(page, "LIBRARY", "pusher.js", 1),
		"encrypted.html": strings.Replace(page, "LIBRARY", "pusher-with-encryption.js", 1),
		"hello.txt":      "a static file\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle copies the browser builds of pusher-js into the site.
func bundle(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"pusher.js", "pusher-with-encryption.js"} {
		code, err := os.ReadFile(filepath.Join("node_modules", "pusher-js", "dist", "web", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), code, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// One site block serves files and sockets: what sockudo does not know goes on.
func TestSite(t *testing.T) {
	s := needOurs(t)
	for path, want := range map[string]struct {
		status int
		body   string
	}{
		"/hello.txt":         {200, "a static file\n"},
		"/":                  {200, "<title>conformance</title>"},
		"/nothing":           {404, ""},
		"/up":                {200, ""},
		"/applications.html": {404, ""},
	} {
		t.Run(path, func(t *testing.T) {
			res, err := http.Get(s.url(path))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != want.status || !strings.Contains(string(body), want.body) {
				t.Errorf("got %d %q, want %d with %q", res.StatusCode, body, want.status, want.body)
			}
		})
	}
}
