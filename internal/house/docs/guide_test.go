package docs

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// guide is a document whose files stand in a directory, ready to be run.
type guide struct {
	dir    string
	files  map[string]string
	blocks []block
}

// unpack writes the files of a guide into a directory in which Node finds the packages,
// with the ports of a server that runs already, if it is given.
func unpack(t *testing.T, doc string, s *server) *guide {
	t.Helper()
	g := &guide{dir: workshop(t), files: map[string]string{}, blocks: of(t, doc)}
	for _, b := range g.blocks {
		name := b.marks["file"]
		if name == "" {
			continue
		}
		if _, twice := g.files[name]; twice {
			t.Fatalf("%s:%d: another file %s", doc, b.line, name)
		}
		g.files[name] = b.text
	}
	g.put(t, s)
	return g
}

// put writes the files, with the ports of a server.
func (g *guide) put(t *testing.T, s *server) {
	t.Helper()
	for name, text := range g.files {
		if s != nil {
			text = s.here(text)
		}
		file := filepath.Join(g.dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, file, text)
	}
}

// file is one that the guide must have.
func (g *guide) file(t *testing.T, name string) string {
	t.Helper()
	text := g.files[name]
	if text == "" {
		t.Fatalf("the guide has no file %s", name)
	}
	return text
}

// script runs a module of the guide, or of a test, in its directory.
func (g *guide) script(t *testing.T, name string, environment ...string) string {
	t.Helper()
	cmd := command(t, "node", name)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), append(environment, "NODE_NO_WARNINGS=1")...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("node %s: %v\n%s", name, err, out)
	}
	return string(out)
}

// serve runs routes of a guide, and files of public/ in its directory, until the test
// ends.
func (g *guide) serve(t *testing.T, port int, routes map[string]string, environment ...string) {
	t.Helper()
	code, err := os.ReadFile(filepath.Join("testdata", "backend.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(g.dir, "backend.mjs"), string(code))
	settings, err := json.Marshal(map[string]any{"port": port, "routes": routes})
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "node", "backend.mjs", string(settings))
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), environment...)
	errors := new(output)
	cmd.Stderr = errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(errors)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%v %s\n%s", err, line, errors)
	}
}

// bundle makes one script of a module and what it imports.
func (g *guide) bundle(t *testing.T, entry, to string, defines ...string) {
	t.Helper()
	args := []string{entry, "--bundle", "--format=iife", "--jsx=automatic", "--log-level=error", "--outfile=" + to}
	for _, one := range defines {
		args = append(args, "--define:"+one)
	}
	cmd := command(t, filepath.Join(packages(t), "node_modules", ".bin", "esbuild"), args...)
	cmd.Dir = g.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// variables are those of a file in the form NAME=VALUE.
func variables(text string) (all [][2]string) {
	for line := range strings.Lines(text) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(name, "#") {
			all = append(all, [2]string{name, strings.Trim(value, `"`)})
		}
	}
	return all
}

// happening is what a page says.
type happening struct {
	Event, Channel, Line, Error string
	Status                      int
}

// page is one that is open in Chromium.
type page struct {
	t    *testing.T
	out  *bufio.Scanner
	seen []happening
	// refused says that the page is meant to ask for what it does not get.
	refused bool
}

// open opens a page in Chromium, until the test ends.
func open(t *testing.T, url string, cookies ...[2]string) *page {
	t.Helper()
	dir := workshop(t)
	driver, err := os.ReadFile(filepath.Join("testdata", "page.mjs"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "page.mjs"), string(driver))
	if cookies == nil {
		cookies = [][2]string{}
	}
	settings, err := json.Marshal(map[string]any{
		"url":            url,
		"cookies":        cookies,
		"library":        filepath.Join(packages(t), "node_modules", "pusher-js", "dist", "web", "pusher.min.js"),
		"executablePath": chromium(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "node", "page.mjs", string(settings))
	cmd.Dir = dir
	errors := new(output)
	cmd.Stderr = errors
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		_ = cmd.Wait()
		if t.Failed() && errors.String() != "" {
			t.Log(errors)
		}
	})
	p := &page{t: t, out: bufio.NewScanner(out)}
	if got := p.await(func(h happening) bool { return h.Status != 0 }); got.Status != 200 {
		t.Fatalf("the page is %d", got.Status)
	}
	return p
}

func chromium(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM_PATH"); path != "" {
		return path
	}
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("run scripts/setup chromium: %v", err)
	}
	return path
}

// await takes the first thing of a kind that has happened and nobody has taken, or reads
// on until it happens.
func (p *page) await(is func(happening) bool) happening {
	p.t.Helper()
	if i := slices.IndexFunc(p.seen, is); i >= 0 {
		h := p.seen[i]
		p.seen = slices.Delete(p.seen, i, i+1)
		return h
	}
	for p.out.Scan() {
		var h happening
		if err := json.Unmarshal(p.out.Bytes(), &h); err != nil {
			p.t.Fatal(err)
		}
		if h.Error != "" && !(p.refused && strings.Contains(h.Error, "403")) {
			p.t.Errorf("the page says %s", h.Error)
		}
		if is(h) {
			return h
		}
		p.seen = append(p.seen, h)
	}
	p.t.Fatalf("the page has ended; before that came %+v", p.seen)
	return happening{}
}

// subscribed waits until the page has a channel.
func (p *page) subscribed(channel string) {
	p.t.Helper()
	p.await(func(h happening) bool {
		return strings.HasSuffix(h.Event, "subscription_succeeded") && h.Channel == channel
	})
}

// line waits for the next line of the page's list.
func (p *page) line() string {
	p.t.Helper()
	return p.await(func(h happening) bool { return h.Line != "" }).Line
}
