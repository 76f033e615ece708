package conformance

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// withConsole is a server with a debug console, which ends with the test.
func withConsole(t *testing.T) *server {
	t.Helper()
	if testing.Short() || os.Getenv("CONFORMANCE_TARGET") != "" {
		t.Skip("our own server, which is no part of a short run")
	}
	s, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stopped(s); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log.since(0, 8<<10))
		}
	})
	s.conf.Extra = "console {\npublish on\nmax_sessions 50\n}\ndrain_period 0s"
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// The page in Chromium. With CONSOLE_IMAGES=DIRECTORY it makes the pictures of
// docs/console.md too.
func TestConsole(t *testing.T) {
	s := withConsole(t)
	needNode(t)
	if _, err := os.Stat(chromium()); err != nil {
		t.Fatalf("a Chromium is needed, apt-get install chromium or CHROMIUM_PATH: %v", err)
	}
	scenarios(t, s, "console.mjs")
}

// An open console, over HTTP/1.1 and over HTTP/2, does not keep Caddy from ending.
func TestConsoleDoesNotHoldUpTheEnd(t *testing.T) {
	s := withConsole(t)
	res, err := http.Post("http://"+s.host+":"+strconv.Itoa(s.conf.Admin)+"/sockudo/hubs/default/console", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var link struct{ Token string }
	if err := json.NewDecoder(res.Body).Decode(&link); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	defer client.CloseIdleConnections()
	streams := map[string]*bufio.Scanner{}
	for proto, base := range map[string]string{"HTTP/1.1": s.url(""), "HTTP/2.0": "https://localhost:" + strconv.Itoa(s.conf.TLS)} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/_sockudo/api/stream?page="+url.QueryEscape(proto), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+link.Token)
		res, err := client.Do(r)
		for range 500 { // until Caddy has made its certificate
			if err == nil {
				break
			}
			wait.For(t.Context(), 20*time.Millisecond)
			res, err = client.Do(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		lines := bufio.NewScanner(res.Body)
		if res.StatusCode != http.StatusOK || res.Proto != proto || !lines.Scan() {
			t.Fatalf("%s %s: %s %v", proto, res.Proto, res.Status, lines.Err())
		}
		streams[proto] = lines
	}
	if err := s.stop(); err != nil { // also if it takes long
		t.Error(err)
	}
	for proto, lines := range streams {
		last := ""
		for lines.Scan() {
			last = lines.Text()
		}
		if last != `{"end":"reload"}` {
			t.Errorf("the last line over %s is %q", proto, last)
		}
	}
}
