package sockudo

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// tailReader reads a tail of the admin API.
type tailReader struct {
	t     *testing.T
	lines *bufio.Scanner
	close func()
}

// tail begins to listen, and returns when everything is heard that happens from then on.
func (s *server) tail(query string) *tailReader {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/sockudo/hubs/default/tail?"+query, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := persist(func() (*http.Response, error) { return http.DefaultTransport.RoundTrip(r) })
	if err != nil {
		s.t.Fatal(err)
	}
	r2 := &tailReader{s.t, bufio.NewScanner(resp.Body), func() { cancel(); _ = resp.Body.Close() }}
	s.t.Cleanup(r2.close)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		s.t.Fatal(resp.Status, resp.Header)
	}
	if line := r2.next(); !line.Alive {
		s.t.Fatalf("the first line is %+v", line)
	}
	return r2
}

func (r *tailReader) next() (line TailLine) {
	r.t.Helper()
	if !r.lines.Scan() {
		r.t.Fatalf("the tail has ended: %v", r.lines.Err())
	}
	if err := json.Unmarshal(r.lines.Bytes(), &line); err != nil {
		r.t.Fatalf("%v in %s", err, r.lines.Text())
	}
	return line
}

// A tail hears what its filter lets through, and ends with the admin endpoint and with the hub. Neither
// waits for it.
func TestAdminTail(t *testing.T) {
	s, port := newServer(t), freePort(t)
	config := site(port, "sockudo {\napp a {\nkey a-key\nsecret a-secret\n}\n}")
	s.mustLoad("", config)
	published, quiet := s.tail("app=a&channel=ro*&kinds=published"), s.tail("data=false&kinds=published,connected")
	c := dial(t, "127.0.0.1:"+port, "/app/a-key")
	c.subscribe("room")
	publish(t, port, "a-secret", "payload-canary")
	if line := published.next(); line.Kind != realtime.Published || line.Channel != "room" || line.App != "a" || !line.Here || line.Data != `"payload-canary"` {
		t.Errorf("heard %+v", line.Happening)
	}
	if line := quiet.next(); line.Kind != realtime.Connected || line.SocketID != c.id {
		t.Errorf("heard %+v", line.Happening)
	}
	if line := quiet.next(); line.Kind != realtime.Published || line.Data != "" || line.Size != len(`"payload-canary"`) {
		t.Errorf("heard %+v", line.Happening)
	}
	for query, want := range map[string]int{"kinds=nothing": 400, "channel=a*b": 400, "data=maybe": 400, "app=none": 404} {
		if got := s.call("GET", "/sockudo/hubs/default/tail?"+query, nil); got != want {
			t.Errorf("%s answers %d, want %d", query, got, want)
		}
	}
	s.mustLoad("", config+"\n:"+freePort(t)+" {\nrespond ok\n}\n")
	for _, tail := range []*tailReader{published, quiet} {
		if line := tail.next(); line.Ended != endedByReload {
			t.Errorf("ended with %+v", line)
		}
	}
	eventually(t, "the end of the old admin endpoint", func() bool { return strings.Contains(s.logged(), "stopped previous server") })
	again := s.tail("app=a")
	publish(t, port, "a-secret", "second")
	if line := again.next(); line.Data != `"second"` {
		t.Errorf("after the reload came %+v", line.Happening)
	}
	s.mustLoad("", ":"+port+" {\nrespond ok\n}\n")
	for {
		if line := again.next(); line.Ended != "" {
			break
		}
	}
	if again.lines.Scan() {
		t.Errorf("after the last line comes %s", again.lines.Text())
	}
}

// Of those who listen there is a bounded number, and whoever goes makes room.
func TestAdminTailBound(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\n"+appBlock+"}"))
	var all []*tailReader
	for range maxTails {
		all = append(all, s.tail(""))
	}
	if got := s.call("GET", "/sockudo/hubs/default/tail", nil); got != http.StatusTooManyRequests {
		t.Errorf("one more answers %d", got)
	}
	for _, one := range all {
		one.close()
	}
	eventually(t, "the end of all", func() bool { return findHub(defaultHub).tails.Load() == 0 })
	s.tail("")
}
