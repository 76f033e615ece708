package docs

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
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

	// The command asks the admin API, which listens elsewhere here.
	publish := strings.Replace(g.file(t, "publish-command.sh"), "./caddy sockudo publish", "caddy sockudo publish --address localhost:"+strconv.Itoa(s.admin), 1)
	cmd := command(t, "bash", "-euo", "pipefail", "-c", publish)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(caddyBinary(t))+":"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := p.line(); got != "Order 7" {
		t.Errorf("the page shows %s", got)
	}
	g.file(t, "publish.mjs")
	g.script(t, "publish.mjs")
	if got := p.line(); got != "Order 8" {
		t.Errorf("the page shows %s", got)
	}
	g.file(t, "publish.sh")
	cmd = command(t, "bash", "-euo", "pipefail", "publish.sh")
	cmd.Dir = g.dir
	if out, err := cmd.Output(); err != nil || string(out) != "{}" {
		t.Fatalf("%v, %s", err, out)
	}
	if got := p.line(); got != "Order 9" {
		t.Errorf("the page shows %s", got)
	}
}
