package conformance

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	loads    = 10
	perLoad  = 40 // messages of each sequence between two loads
	pace     = 2 * time.Millisecond
	baseName = 100 // the limit of the first load, in bytes
)

// load gives Caddy a configuration through its admin API.
func (s *server) load(t *testing.T, c caddyfile) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.host+":"+strconv.Itoa(c.Admin)+"/load", strings.NewReader(c.String()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	req.Close = true // the admin endpoint is replaced by the load itself
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// reloadNames are the channels of one test.
type reloadNames struct {
	HTTP     string `json:"http"`
	Client   string `json:"client"`
	Presence string `json:"presence"`
}

// TestReload loads configurations while messages flow. Not one may be lost,
// repeated or out of order, and not one connection may end.
func TestReload(t *testing.T) {
	s := needOurs(t)
	names := reloadNames{"reload-http", "private-reload", "presence-reload"}
	node, report := startListener(t, s, names)
	sockets := map[string]*socket{
		"ws":  openSocket(t, s.socketURL(s.app.Key)),
		"wss": openSocket(t, s.secureURL(s.app.Key)),
	}
	for name, c := range sockets {
		c.join(t, s.app, names.HTTP, "")
		c.join(t, s.app, names.Client, "")
		c.join(t, s.app, names.Presence, member(name))
	}
	sender := openSocket(t, s.socketURL(s.app.Key))
	sender.join(t, s.app, names.Client, "")

	flow := startFlow(t, s, sender, names)
	for i := range loads {
		flow.reach(t, (i+1)*perLoad)
		loadLimit(t, s, flow, baseName+i)
	}
	last := flow.finish(t)
	t.Cleanup(func() { s.load(t, s.conf) })

	t.Run("sockets", func(t *testing.T) {
		for name, c := range sockets {
			checkSocket(t, name, c, names, last)
		}
		if got := sender.all("client-n", ""); len(got) > 0 {
			t.Errorf("the sender heard %d of its own client events", len(got))
		}
	})
	t.Run("pusher-js", func(t *testing.T) { checkListener(t, node, report, last) })
	t.Run("refused load", func(t *testing.T) { refusedLoad(t, s, sockets["ws"], names) })
	t.Logf("%d messages in each sequence, %d publishes tried again", last, flow.publisher.retried)
}

// startListener starts pusher-js and returns a way to ask what it saw.
func startListener(t *testing.T, s *server, names reloadNames) (*client, func() seen) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"channels": names})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONFORMANCE_RELOAD", string(text))
	c := runClient(t, s, "reload.mjs", 2*time.Minute)
	var ready struct{ Ready bool }
	if err := c.next(&ready); err != nil || !ready.Ready {
		t.Fatalf("pusher-js is not ready: %v\n%s", err, c.stderr.since(0, 4<<10))
	}
	return c, func() (r seen) {
		t.Helper()
		if _, err := io.WriteString(c.in, "report\n"); err != nil {
			t.Fatal(err)
		}
		if err := c.next(&r); err != nil {
			t.Fatalf("%v\n%s", err, c.stderr.since(0, 4<<10))
		}
		return r
	}
}

// seen is the report of clients/reload.mjs.
type seen struct {
	States, IDs, Members, Joined []string
	Errors                       []any
	HTTP, Client                 []int
}

// loadLimit loads a configuration with another limit and checks that it holds,
// while the flow goes on.
func loadLimit(t *testing.T, s *server, f *flow, limit int) {
	t.Helper()
	c := s.conf
	c.MaxEventName = limit
	if status, answer := s.load(t, c); status != http.StatusOK {
		t.Fatalf("load with a limit of %d: %d %s", limit, status, answer)
	}
	p := newPublisher(s)
	for length, want := range map[int]int{limit: http.StatusOK, limit + 1: http.StatusBadRequest} {
		body, err := json.Marshal(event{Name: strings.Repeat("n", length), Channel: "limit", Data: "{}"})
		if err != nil {
			t.Fatal(err)
		}
		status, answer, err := p.post(s.app, "/events", body)
		if err != nil || status != want {
			t.Errorf("limit %d: a name of %d bytes is answered %d %s %v, want %d", limit, length, status, answer, err, want)
		}
	}
}

// checkSocket holds what a socket without a library heard against 1..last.
func checkSocket(t *testing.T, name string, c *socket, names reloadNames, last int) {
	t.Helper()
	_, err1 := c.await("n", names.HTTP, last, 10*time.Second)
	_, err2 := c.await("client-n", names.Client, last, 10*time.Second)
	if err1 != nil || err2 != nil {
		t.Errorf("%s: waiting for the last messages: %v, %v", name, err1, err2)
	}
	checkSequence(t, name+", over HTTP", numbers(t, c.all("n", names.HTTP)), last)
	checkSequence(t, name+", client events", numbers(t, c.all("client-n", names.Client)), last)
	if gone := c.all("pusher_internal:member_removed", ""); len(gone) > 0 {
		t.Errorf("%s: %d members are said to be gone: %s", name, len(gone), gone[0].Raw)
	}
	if errs := c.all("pusher:error", ""); len(errs) > 0 {
		t.Errorf("%s: %s", name, errs[0].Raw)
	}
}

// checkListener does the same for pusher-js, and looks at its connection.
func checkListener(t *testing.T, node *client, report func() seen, last int) {
	t.Helper()
	end := time.Now().Add(10 * time.Second)
	r := report()
	for (len(r.HTTP) < last || len(r.Client) < last) && time.Now().Before(end) {
		time.Sleep(20 * time.Millisecond)
		r = report()
	}
	checkSequence(t, "pusher-js, over HTTP", r.HTTP, last)
	checkSequence(t, "pusher-js, client events", r.Client, last)
	if want := []string{"connected"}; !slices.Equal(r.States, want) {
		t.Errorf("states of the connection: %v, want %v", r.States, want)
	}
	if len(r.IDs) != 1 || len(r.Errors) != 0 || len(r.Joined) != 3 {
		t.Errorf("socket ids %v, errors %v, subscriptions %v", r.IDs, r.Errors, r.Joined)
	}
	slices.Sort(r.Members)
	if want := []string{"+ws", "+wss"}; !slices.Equal(r.Members, want) {
		t.Errorf("members came and went: %v, want %v", r.Members, want)
	}
	if err := node.in.Close(); err != nil {
		t.Error(err)
	}
}

// refusedLoad proves that a misspelt word is refused by name and changes nothing.
func refusedLoad(t *testing.T, s *server, c *socket, names reloadNames) {
	t.Helper()
	bad := s.conf
	bad.Extra = "max_conections 7"
	status, answer := s.load(t, bad)
	if status == http.StatusOK || !strings.Contains(answer, "max_conections") {
		t.Errorf("a misspelt word was answered %d %s", status, answer)
	}
	if err := newPublisher(s).publish(event{Name: "still", Channel: names.HTTP, Data: "{}"}); err != nil {
		t.Error(err)
	}
	c.wait(t, "still", names.HTTP, 1)
}
