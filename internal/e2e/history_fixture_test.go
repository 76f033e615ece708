//go:build unix

package e2e

import (
	"cmp"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
)

// logStore is where a test keeps history.
type logStore struct {
	name string
	// block is the block of a server whose directory is dir.
	block func(dir, words string) string
}

// historyServers are the databases that the tests use. Each has an environment variable
// with another address.
var historyServers = map[string]struct{ driver, dsn string }{
	"postgres": {"pgx", cmp.Or(os.Getenv("TEST_POSTGRES_DSN"), "postgres://root@127.0.0.1:5432/test")},
	"mysql":    {"mysql", cmp.Or(os.Getenv("TEST_MYSQL_DSN"), "root@tcp(127.0.0.1:3306)/test")},
}

// sqliteHistory is a file in the directory of the server.
var sqliteHistory = logStore{"sqlite", func(dir, words string) string {
	return "history sqlite {\npath " + dir + "/history.db\n" + words + "\n}\n"
}}

// historyIn is a database with tables of the test's own, which are removed in the end.
// Servers that write to it are started after that. at is the address that they use, nil
// for that of the database.
func historyIn(t *testing.T, name string, at func(dsn string) string) logStore {
	t.Helper()
	server, prefix := historyServers[name], "e2e_"+strings.ToLower(rand.Text()[:10])
	t.Cleanup(func() { dropTables(t, server.driver, server.dsn, prefix) })
	dsn := server.dsn
	if at != nil {
		dsn = at(dsn)
	}
	return logStore{name, func(_, words string) string {
		return "history " + name + " {\ndsn " + dsn + "\ntable_prefix " + prefix + "\n" + words + "\n}\n"
	}}
}

func dropTables(t *testing.T, driver, dsn, prefix string) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT table_name FROM information_schema.tables WHERE table_name LIKE '" + prefix + "%'")
	if err != nil {
		t.Error(err)
		return
	}
	var tables []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Error(err)
		}
		tables = append(tables, name)
	}
	if err := rows.Close(); err != nil || len(tables) == 0 {
		t.Errorf("tables %s: %d, %v", prefix, len(tables), err)
	}
	for _, name := range tables {
		if _, err := db.Exec("DROP TABLE " + name); err != nil {
			t.Error(err)
		}
	}
}

// keepingText is the configuration of one server with history. block stands in the
// sockudo block.
func (c *caddy) keepingText(block string) string {
	return "{\nadmin " + c.admin + "\nmetrics\n}\nhttp://127.0.0.1:" + c.port + ` {
sockudo {
	drain_period 1s
	health_timeout 1s
	rate_limiter {
		enabled off
	}
	` + recoverable + block + `
	app app-id {
		key app-key
		secret app-secret
	}
}
}
`
}

// keeping starts a server with history.
func keeping(t *testing.T, block func(c *caddy) string) *node {
	t.Helper()
	n := &node{caddy: newCaddy(t), name: "server"}
	n.text = func(string, string) string { return n.keepingText(block(n.caddy)) }
	n.launch(n.text("", ""))
	n.up()
	return n
}

// reloadWith gives a server another block.
func (n *node) reloadWith(block string) {
	n.t.Helper()
	if _, err := n.adminCall("POST", "/load", "text/caddyfile", n.keepingText(block)); err != nil {
		n.t.Fatal(err)
	}
}

// keyed is an event with an id of its own, as publishers send it that try again.
func (c *caddy) keyed(channel, name, data, id string) (status int, answer string, err error) {
	body, err := json.Marshal(map[string]string{"name": name, "channel": channel, "data": data, "message_id": id})
	if err != nil {
		return 0, "", err
	}
	return c.call("POST", "/apps/app-id/events", "", string(body))
}

// row is one row of a page of history.
type row struct {
	Stream  string `json:"stream_id"`
	Serial  uint64
	ID      string `json:"message_id"`
	Message struct {
		Event, Name, Data string
	}
}

// page is one page of the history of a channel.
type page struct {
	Items      []row
	More       bool   `json:"has_more"`
	Next       string `json:"next_cursor"`
	Continuity struct {
		Complete  bool
		Truncated bool   `json:"truncated_by_retention"`
		Oldest    uint64 `json:"oldest_available_serial"`
		Newest    uint64 `json:"newest_available_serial"`
		Retained  int    `json:"retained_messages"`
	}
}

// page reads a page of the history of a channel, the oldest rows first.
func (c *caddy) page(channel, cursor string, limit int) (p page, status int, err error) {
	query := fmt.Sprintf("direction=oldest_first&limit=%d", limit)
	if cursor != "" {
		query = "cursor=" + url.QueryEscape(cursor) + "&" + query
	}
	status, text, err := c.call("GET", "/apps/app-id/channels/"+channel+"/history", query, "")
	if err == nil && status == http.StatusOK {
		err = json.Unmarshal([]byte(text), &p)
	}
	return p, status, err
}

// rows reads the whole history of a channel, page by page, and checks that its serials
// have no gap.
func (c *caddy) rows(channel string) (rows []row) {
	c.t.Helper()
	for cursor := ""; ; {
		p, status, err := c.page(channel, cursor, 100)
		if err != nil || status != http.StatusOK {
			c.t.Fatalf("history of %s after %d rows: %d, %v", channel, len(rows), status, err)
		}
		rows = append(rows, p.Items...)
		if cursor = p.Next; !p.More {
			break
		}
	}
	for i, r := range rows {
		if r.Serial != rows[0].Serial+uint64(i) || r.Stream != rows[0].Stream {
			c.t.Fatalf("row %d of %s has serial %d of %s, and the first %d of %s", i, channel, r.Serial, r.Stream, rows[0].Serial, rows[0].Stream)
		}
	}
	return rows
}

// datas are the data of rows, which is what tests number.
func datas(rows []row) (all []string) {
	for _, r := range rows {
		all = append(all, r.Message.Data)
	}
	return all
}

// inOrder says what is wrong with numbered data such as "p0-3", where each publisher has
// sent its numbers one after the other: want are how many each has sent.
func inOrder(all []string, want map[string]int) (lost, repeated, reordered int) {
	next, seen := map[string]int{}, map[string]bool{}
	for _, data := range all {
		who, text, _ := strings.Cut(data, "-")
		n := 0
		if _, err := fmt.Sscan(text, &n); err != nil {
			continue
		}
		switch {
		case seen[data]:
			repeated++
			continue
		case n < next[who]:
			reordered++
		}
		seen[data], next[who] = true, max(next[who], n+1)
	}
	for who, sent := range want {
		for n := range sent {
			if !seen[fmt.Sprint(who, "-", n)] {
				lost++
			}
		}
	}
	return lost, repeated, reordered
}

// received are the frames of events with a name that came to a socket, in their order.
func (k *conn) received(names ...string) (frames []v2Frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, text := range k.frames {
		var f v2Frame
		if json.Unmarshal([]byte(text), &f) == nil && slices.Contains(names, f.Event) {
			frames = append(frames, f)
		}
	}
	return frames
}

// v2Frame is what a V2 client gets.
type v2Frame struct {
	Event, Name, Channel string
	Data                 any
	MessageID            string `json:"message_id"`
	StreamID             string `json:"stream_id"`
	Serial               uint64
}

// dialV2 connects as a V2 client.
func (c *caddy) dialV2() *conn {
	c.t.Helper()
	k, err := c.tryDial("http", "/app/app-key?protocol=2")
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// joinV2 subscribes a V2 client, and waits until that has succeeded. more are further
// members of the request.
func (k *conn) joinV2(channel, more string) {
	k.t.Helper()
	k.send(`{"event":"sockudo:subscribe","data":{"channel":"` + channel + `"` + more + `}}`)
	k.await("sockudo_internal:subscription_succeeded", `"channel":"`+channel+`"`)
}
