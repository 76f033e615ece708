//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/redistest"
)

const (
	// bound is how long a cluster may take for what it does by itself. It is far more
	// than it takes, since nothing is to depend on how busy the machine is.
	bound = 90 * time.Second
	// quick are times of a cluster whose nodes notice soon that another is gone.
	quick = "cluster_health {\nheartbeat 500ms\nnode_timeout 3s\ncleanup 200ms\n}\n"
	// patient are those of nodes that never give each other up while a test runs.
	patient = "cluster_health {\nnode_timeout 1h\n}\n"
	// room is the presence channel that every test looks at.
	room = "presence-room"
	// inApp stands before what belongs into the app's block.
	inApp = "# in the app:"
)

// cluster is three nodes that an engine joins. They share a cache in Redis, which no
// test disturbs.
type cluster struct {
	t     *testing.T
	nodes []*node
	store *redistest.Server
}

// node is one of them.
type node struct {
	*caddy
	name  string
	text  func(adapter, more string) string
	at    string // its adapter block
	loads int
}

// startCluster starts three nodes. adapter is the adapter block of each, and more
// what else stands in the sockudo block, in which STORE is the address of the cache.
func startCluster(t *testing.T, adapter func(i int) string, more string) *cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	c := &cluster{t: t, store: redistest.Start(t)}
	more, ofApp, _ := strings.Cut(strings.ReplaceAll(more, "STORE", c.store.Addr()), inApp)
	if !strings.Contains(more, "rate_limiter") {
		more += "rate_limiter {\nenabled off\n}\n"
	}
	for i := range 3 {
		n := &node{caddy: newCaddy(t), name: fmt.Sprint("n", i), at: adapter(i)}
		n.text = func(adapter, further string) string {
			return "{\nadmin " + n.admin + "\nmetrics\n}\nhttp://127.0.0.1:" + n.port + " {\nsockudo {\nnode_id " + n.name + "\ndrain_period 1s\nhealth_timeout 1s\n" + more + adapter + `
cache redis {
	address ` + c.store.Addr() + `
}
presence {
	max_members 1000
}
` + further + `
app app-id {
	key app-key
	secret app-secret
	enable_client_messages on
	enable_watchlist_events on
	enable_user_authentication on
` + ofApp + `
}
}
}
`
		}
		c.nodes = append(c.nodes, n)
		n.launch(n.text(n.at, ""))
	}
	for _, n := range c.nodes {
		n.up()
	}
	c.together()
	return c
}

// up waits until a node is ready.
func (n *node) up() {
	n.t.Helper()
	n.until("node that is ready", func() error {
		status, err := n.status("/up")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("/up: %d", status)
		}
		return err
	})
}

// until waits until look has nothing to say.
func (n *node) until(what string, look func() error) {
	n.t.Helper()
	until(n.t, n.name+": "+what, look)
}

func until(t *testing.T, what string, look func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(bound); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = look(); err == nil {
			return
		}
	}
	t.Fatalf("no %s: %v", what, err)
}

// reload gives a node its configuration again with something changed, and another
// adapter if one is named.
func (n *node) reload(adapter string) {
	n.t.Helper()
	if adapter != "" {
		n.at = adapter
	}
	n.loads++
	if _, err := n.adminCall("POST", "/load", "text/caddyfile", n.text(n.at, fmt.Sprintf("max_connections %d\nactivity_timeout %ds", 10000+n.loads, 60+n.loads))); err != nil {
		n.t.Fatalf("%s: %v", n.name, err)
	}
}

func (n *node) signal(signal syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(signal); err != nil {
		n.t.Fatal(err)
	}
}

// kill ends the process at once.
func (n *node) kill() {
	n.t.Helper()
	n.signal(syscall.SIGKILL)
	<-n.exited
}

// freeze stops the process in its tracks. The function that it returns lets it go
// on, as does the end of the test.
func (n *node) freeze() (thaw func()) {
	n.t.Helper()
	process := n.cmd.Process
	n.signal(syscall.SIGSTOP)
	thaw = func() { _ = process.Signal(syscall.SIGCONT) }
	n.t.Cleanup(thaw)
	return thaw
}

// others are the names of the nodes that a node knows. One that it does not know
// completely has a question mark.
func (n *node) others() (string, error) {
	text, err := n.adminCall("GET", "/sockudo/hubs/default/nodes", "", "")
	if err != nil {
		return "", err
	}
	var list []struct {
		Node     string `json:"node_id"`
		Complete bool   `json:"complete"`
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return "", err
	}
	var names []string
	for _, other := range list {
		if !other.Complete {
			other.Node += "?"
		}
		names = append(names, other.Node)
	}
	return strings.Join(names, " "), nil
}

// knows waits until a node knows exactly these.
func (n *node) knows(names ...string) {
	n.t.Helper()
	n.until("knowledge of the others", func() error {
		got, err := n.others()
		if want := strings.Join(names, " "); err == nil && got != want {
			err = fmt.Errorf("it knows %q, want %q", got, want)
		}
		return err
	})
}

// together waits until every node knows all others.
func (c *cluster) together() {
	c.t.Helper()
	for i, n := range c.nodes {
		var names []string
		for k, other := range c.nodes {
			if k != i {
				names = append(names, other.name)
			}
		}
		n.knows(names...)
	}
}

// call makes a signed call to the HTTP API.
func (c *caddy) call(method, path, query, body string) (int, string, error) {
	target := signed(method, path, []byte(body))
	if query != "" { // its words stand behind those of the signature
		target = signedQuery(method, path, query)
	}
	req, err := http.NewRequest(method, "http://127.0.0.1:"+c.port+target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := publishClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

// state is what the HTTP API of a node tells of the cluster: all channels with their
// subscriptions, and the users of room.
func (n *node) state() (string, error) {
	var all string
	for _, q := range []struct{ path, query string }{
		{"/apps/app-id/channels", "info=subscription_count"},
		{"/apps/app-id/channels/" + room, "info=subscription_count,user_count"},
		{"/apps/app-id/channels/" + room + "/users", ""},
	} {
		status, text, err := n.call("GET", q.path, q.query, "")
		if err != nil {
			return "", err
		}
		var answer struct {
			Channels map[string]any   `json:"channels,omitempty"`
			Users    []map[string]any `json:"users,omitempty"`
			Occupied any              `json:"occupied,omitempty"`
			Count    any              `json:"subscription_count,omitempty"`
			Members  any              `json:"user_count,omitempty"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
			return "", fmt.Errorf("%s: %d %s %w", q.path, status, text, err)
		}
		slices.SortFunc(answer.Users, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		sorted, err := json.Marshal(answer) // maps are written in order
		if err != nil {
			return "", err
		}
		all += string(sorted) + "\n"
	}
	return all, nil
}

// agree waits until all nodes tell the same of the cluster, with these users in
// room, who are so many subscriptions.
func (c *cluster) agree(nodes []*node, subscriptions int, users ...string) {
	c.t.Helper()
	slices.Sort(users)
	until(c.t, "agreement of the nodes", func() error {
		var first string
		for i, n := range nodes {
			state, err := n.state()
			if err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
			if i == 0 {
				first = state
			}
			if state != first {
				return fmt.Errorf("%s says\n%sand %s\n%s", nodes[0].name, first, n.name, state)
			}
		}
		var list []string
		for _, user := range users {
			list = append(list, `{"id":"`+user+`"}`)
		}
		want := fmt.Sprintf(`{"occupied":true,"subscription_count":%d,"user_count":%d}`+"\n"+`{"users":[%s]}`, subscriptions, len(users), strings.Join(list, ","))
		if len(users) > 0 && !strings.Contains(first, want) {
			return fmt.Errorf("all say\n%swant\n%s", first, want)
		}
		return nil
	})
}
