package docs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestGettingStarted does what the page says: the two files, the server, the browser,
// and each way to publish.
func TestGettingStarted(t *testing.T) {
	g := unpack(t, "docs/getting-started.md", nil)
	s := start(t, g.dir, g.file(t, "Caddyfile"))
	g.put(t, s)
	p := open(t, s.here("http://localhost:6001/"))
	p.subscribed("orders")

	g.file(t, "publish.sh")
	cmd := command(t, "bash", "-euo", "pipefail", "publish.sh")
	cmd.Dir = g.dir
	if out, err := cmd.Output(); err != nil || string(out) != "{}" {
		t.Fatalf("%v, %s", err, out)
	}
	if got := p.line(); got != "Order 7" {
		t.Errorf("the page shows %s", got)
	}
	g.file(t, "publish.mjs")
	g.script(t, "publish.mjs")
	if got := p.line(); got != "Order 8" {
		t.Errorf("the page shows %s", got)
	}
	publishByCommand(t, g, s, p)
}

// publishByCommand runs the lines of the guide that begin with caddy sockudo.
func publishByCommand(t *testing.T, g *guide, s *server, p *page) {
	text := g.files["publish-command.sh"]
	if text == "" {
		return
	}
	cmd := command(t, "bash", "-euo", "pipefail", "-c", s.here(text))
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(caddyBinary(t))+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := p.line(); got != "Order 9" {
		t.Errorf("the page shows %s", got)
	}
}
