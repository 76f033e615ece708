package sockudo

import (
	"database/sql"
	"path/filepath"
	"testing"
)

// TestSoketiTable reads the table that soketi has, once it is changed as
// docs/migrate-soketi.md says.
func TestSoketiTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apps.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"CREATE TABLE apps (id VARCHAR(255) NOT NULL, `key` VARCHAR(255) NOT NULL, secret VARCHAR(255) NOT NULL, max_connections INTEGER(10) NOT NULL, enable_client_messages TINYINT(1) NOT NULL, enabled TINYINT(1) NOT NULL, max_backend_events_per_sec INTEGER(10) NOT NULL, max_client_events_per_sec INTEGER(10) NOT NULL, max_read_req_per_sec INTEGER(10) NOT NULL, webhooks JSON, PRIMARY KEY (id))",
		`INSERT INTO apps VALUES ('a', 'a-key', 'a-secret', -1, 1, 1, -1, -1, -1, '[{"url":"https://hooks.example.com/","event_types":["channel_occupied"]}]')`,
		"ALTER TABLE apps RENAME COLUMN max_backend_events_per_sec TO max_backend_events_per_second",
		"ALTER TABLE apps RENAME COLUMN max_client_events_per_sec TO max_client_events_per_second",
		"ALTER TABLE apps RENAME COLUMN max_read_req_per_sec TO max_read_requests_per_second",
		"UPDATE apps SET max_connections = MAX(max_connections, 0), max_backend_events_per_second = MAX(max_backend_events_per_second, 0), max_client_events_per_second = MAX(max_client_events_per_second, 0), max_read_requests_per_second = MAX(max_read_requests_per_second, 0)",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%v in %s", err, statement)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, port := newServer(t), freePort(t)
	s.mustLoad("", site(port, "sockudo {\nenv_overrides off\nrate_limiter {\nenabled off\n}\napp_manager sqlite {\npath "+file+"\ntable_name apps\n}\n}"))
	live := dial(t, "127.0.0.1:"+port, "/app/a-key")
	live.subscribe("orders")
	live.subscribe("orders")
	if err := backend(port, "a", "a-key", "a-secret").Trigger("orders", "paid", "7"); err != nil {
		t.Fatal(err)
	}
	live.expect(`"paid"`)
}
