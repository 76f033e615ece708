package sockudo

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// running is a command that goes on while a test does.
type running struct {
	t         *testing.T
	out, errs outputBuffer
	done      chan error
	interrupt context.CancelFunc
}

func (s *server) begin(args ...string) *running {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	r := &running{t: s.t, done: make(chan error, 1), interrupt: cancel}
	cmd := newTyped(ctx, &r.out, &r.errs, args...)
	go func() { r.done <- cmd.Execute() }()
	s.t.Cleanup(cancel)
	return r
}

// writes waits until the command has written a text, somewhere.
func (r *running) writes(part string) {
	r.t.Helper()
	eventually(r.t, part, func() bool { return strings.Contains(r.out.String()+r.errs.String(), part) })
}

func (r *running) ends(code int) {
	r.t.Helper()
	if err := <-r.done; exitCode(err) != code {
		r.t.Errorf("it ends with %v, want %d: %s%s", err, code, r.out.String(), r.errs.String())
	}
}

// A tail goes on over a reload, and ends when it has seen enough.
func TestTailCommand(t *testing.T) {
	s, port := newServer(t), freePort(t)
	config := site(port, "sockudo {\n"+twoAppsBlock+"}")
	s.mustLoad("", config)
	listening := func(n int32) {
		eventually(t, "who listens", func() bool { return findHub(defaultHub).tails.Load() == n })
	}
	plain := s.begin("tail", "--app", "a", "--kind", "published", "--address", s.admin)
	lines := s.begin("tail", "--app", "a", "--channel", "ro*", "--no-data", "--json", "--count", "2", "--address", s.admin)
	listening(2)
	publish(t, port, "a-secret", "first")
	plain.writes(`"first"`)
	lines.writes(`"published"`)
	s.mustLoad("", config+"\n:"+freePort(t)+" {\nrespond ok\n}\n")
	plain.writes("connecting again")
	plain.writes("Connected again.")
	lines.writes("Connected again.")
	listening(2)
	publish(t, port, "a-secret", "second")
	lines.ends(0)
	var all []realtime.Happening
	for line := range strings.Lines(lines.out.String()) {
		var h realtime.Happening
		if err := json.Unmarshal([]byte(line), &h); err != nil || h.Kind != realtime.Published || h.Data != "" || h.Size == 0 {
			t.Errorf("%v in %s", err, line)
		}
		all = append(all, h)
	}
	if len(all) != 2 {
		t.Errorf("%d lines: %s", len(all), lines.out.String())
	}
	plain.writes(`"second"`)
	contains(t, plain.out.String(), "published         app=a  channel=room  event=e  \"first\"")
	plain.interrupt()
	plain.ends(0)
	if got := s.typed("tail", "--count", "1", "--timeout", "50ms"); got.code != exitTimeout || !strings.Contains(got.err, "0 of 1 have come in time") {
		t.Errorf("%+v", got)
	}
	if got := s.typed("tail", "--timeout", "50ms"); got.code != 0 {
		t.Errorf("%+v", got)
	}
	for want, args := range map[int][]string{
		exitFailed: {"tail", "--kind", "nothing"}, exitMissing: {"tail", "--app", "none"}, exitUnreachable: {"tail", "--address", "127.0.0.1:1", "--hub", "default"},
	} {
		args = append([]string{args[0], "--address", s.admin}, args[1:]...)
		if got := typeIn(t, "", args...); got.code != want {
			t.Errorf("%v ends with %d, want %d: %s", args, got.code, want, got.err)
		}
	}
}

func TestPublishAndSubscribeCommands(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\n"+twoAppsBlock+"}"))
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("a-secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "http://127.0.0.1:" + port
	lines := s.begin("subscribe", url, "room", "private-room", "presence-room", "--key", "a-key", "--secret-file", secret, "--user-id", "ada", "--user-info", `{"name":"Ada"}`, "--json", "--count", "3", "--timeout", "30s")
	plain := s.begin("subscribe", url, "room", "--key", "a-key")
	lines.writes("Subscribed to presence-room.")
	plain.writes("Subscribed to room.")
	if got, want := s.must("presence", "presence-room", "--app", "a"), "USER  CONNECTIONS HERE  INFO\nada   1                 {\"name\":\"Ada\"}\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := s.must("presence", "presence-room", "--app", "a", "--json"), `{"app_id":"a","channel":"presence-room","members":[{"user_id":"ada","user_info":{"name":"Ada"},"connections":1}]}`+"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := s.must("publish", "--app", "a", "--channel", "room", "--channel", "private-room", "--event", "greeting", "--data", `{"text":"hi"}`),
		"Published to private-room, which has 1 subscriptions.\nPublished to room, which has 2 subscriptions.\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, []byte("from \x1b[31ma file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, s.must("publish", "--app", "a", "--channel", "room", "--event", "greeting", "--data", "@"+file, "--json"), `"room":{`, `"subscription_count":2`)
	lines.ends(0)
	want := []string{
		`{"event":"greeting","channel":"private-room","data":"{\"text\":\"hi\"}"}`,
		`{"event":"greeting","channel":"room","data":"from \u001b[31ma file"}`,
		`{"event":"greeting","channel":"room","data":"{\"text\":\"hi\"}"}`,
	}
	if got := strings.Split(strings.TrimSpace(lines.out.String()), "\n"); len(got) != 3 || got[len(got)-1] != want[1] {
		t.Errorf("got %q\nwant %q, in some order", got, want)
	}
	contains(t, lines.out.String(), want...)
	plain.writes(`from \x1b[31ma file`)
	contains(t, plain.out.String(), `  room  greeting  {"text":"hi"}`+"\n")
	testSubscribeEnds(t, s, plain, url)
	for want, args := range map[int][][]string{
		exitFailed: {
			{"publish", "--app", "a", "--channel", "bad channel", "--event", "e", "--data", "x"},
			{"publish", "--app", "a", "--event", "e", "--data", "x"},
			{"publish", "--app", "a", "--channel", "c", "--event", "e", "--data", "@/nowhere"},
			{"publish", "--app", "a", "--channel", "c", "--event", strings.Repeat("e", 500), "--data", "x"},
		},
		exitMissing: {{"publish", "--app", "none", "--channel", "c", "--event", "e", "--data", "x"}},
	} {
		for _, args := range args {
			if got := s.typed(args...); got.code != want {
				t.Errorf("%v ends with %d, want %d: %s", args, got.code, want, got.err)
			}
		}
	}
}

// testSubscribeEnds tests what ends a subscription, and what does not.
func testSubscribeEnds(t *testing.T, s *server, plain *running, url string) {
	t.Helper()
	for want, args := range map[int][][]string{
		exitFailed: {
			{url, "private-x", "--key", "a-key"},
			{url, "--key", "a-key"},
			{url, "x"},
			{"ftp://x", "x", "--key", "a-key"},
			{"nonsense", "x", "--key", "a-key"},
			{url, "bad channel", "--key", "a-key", "--timeout", "20s", "--count", "1"},
			{url, "x", "--key", "a-key", "--user-info", "1"},
			{url, "x", "--key", "a-key", "--count", "-1"},
		},
		exitMissing:     {{url, "x", "--key", "none", "--timeout", "20s"}},
		exitUnreachable: {{"ws://127.0.0.1:1", "x", "--key", "a-key"}},
		exitTimeout:     {{url, "x", "--key", "a-key", "--count", "1", "--timeout", "300ms"}},
		0:               {{url, "x", "--key", "a-key", "--timeout", "300ms"}},
	} {
		for _, args := range args {
			if got := typeIn(t, "", append([]string{"subscribe"}, args...)...); got.code != want {
				t.Errorf("%v ends with %d, want %d: %s", args, got.code, want, got.err)
			}
		}
	}
	// A drain sends clients away for a moment, and a kick for good.
	s.must("drain", "--wait")
	plain.writes("connecting again")
	s.must("drain", "--resume")
	eventually(t, "the client", func() bool { return strings.Count(plain.errs.String(), "Subscribed to room.") == 2 })
	var page ConnectionPage
	if err := json.Unmarshal([]byte(s.must("connections", "--json")), &page); err != nil || len(page.Connections) != 1 {
		t.Fatalf("%+v, %v", page, err)
	}
	s.must("connections", "close", page.Connections[0].SocketID)
	plain.ends(exitFailed)
}

func TestDrainCommand(t *testing.T) {
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\ndrain_period 500ms\n"+appBlock+"}"))
	var sockets []*socket
	for range 8 {
		sockets = append(sockets, dial(t, "127.0.0.1:"+port, "/app/demo-key"))
	}
	if got := s.typed("drain", "--wait", "--timeout", "1ns"); got.code != exitTimeout {
		t.Errorf("%+v", got)
	}
	got := s.typed("drain", "--wait")
	if got.code != 0 || got.out != "Hub default is drained: no socket is left, and none is admitted.\n" {
		t.Errorf("%+v", got)
	}
	for _, one := range sockets {
		one.expectClose(4200)
	}
	if got := s.must("drain", "--resume"); got != "Hub default admits sockets.\n" {
		t.Error(got)
	}
	var state HubState
	if err := json.Unmarshal([]byte(s.must("drain", "--json")), &state); err != nil || !state.Draining {
		t.Errorf("%+v, %v", state, err)
	}
	for _, args := range [][]string{{"drain", "--wait", "--resume"}, {"drain", "--timeout", "-1s"}, {"drain", "x"}} {
		if got := s.typed(args...); got.code != exitFailed {
			t.Errorf("%v: %+v", args, got)
		}
	}
}
