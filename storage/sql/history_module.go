package sql

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Validate checks the name of the tables and the bound.
func (t *HistoryTables) Validate() error {
	if err := words.NotNegative(map[string]int64{"write_timeout": int64(t.WriteTimeout)}); err != nil {
		return err
	}
	return checkPrefix(t.prefix())
}

func (t *HistoryTables) prefix() string { return cmp.Or(t.TablePrefix, historyPrefix) }

func (t *HistoryTables) tuning() HistoryOptions {
	return HistoryOptions{TablePrefix: t.TablePrefix, Timeout: time.Duration(t.WriteTimeout)}
}

// Driver is the driver's word in the configuration.
func (*SQLiteHistoryModule) Driver() string { return string(SQLite) }

// Key identifies the file and the tables.
func (m *SQLiteHistoryModule) Key() string { return m.path + "\x00" + m.prefix() }

// Open opens the file.
func (m *SQLiteHistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, Options{Dialect: SQLite, Path: m.path}, m.tuning())
}

// Validate checks what can be checked without the server.
func (s *HistoryServer) Validate() error {
	if err := s.server.Validate(); err != nil {
		return err
	}
	return s.HistoryTables.Validate()
}

// Key identifies the server, the login and the tables.
func (s *HistoryServer) Key() string { return fmt.Sprintf("%s %q", s.server.Key(), s.prefix()) }

func (s *HistoryServer) open(ctx context.Context, d Dialect) (storage.History, error) {
	o := s.server.options
	o.Dialect = d
	return OpenHistory(ctx, o, s.tuning())
}

// Driver is the driver's word in the configuration.
func (*PostgresHistoryModule) Driver() string { return string(Postgres) }

// Open connects to the server.
func (m *PostgresHistoryModule) Open(ctx context.Context) (storage.History, error) {
	return m.open(ctx, Postgres)
}

// Driver is the driver's word in the configuration.
func (*MySQLHistoryModule) Driver() string { return string(MySQL) }

// Open connects to the server.
func (m *MySQLHistoryModule) Open(ctx context.Context) (storage.History, error) {
	return m.open(ctx, MySQL)
}

// Tune takes the bound of a newer configuration.
func (h *History) Tune(spec any) error {
	var t *HistoryTables
	switch m := spec.(type) {
	case *SQLiteHistoryModule:
		t = &m.HistoryTables
	case *PostgresHistoryModule:
		t = &m.HistoryTables
	case *MySQLHistoryModule:
		t = &m.HistoryTables
	default:
		return fmt.Errorf("%T does not tune a history in a database", spec)
	}
	h.SetTimeout(t.tuning().Timeout)
	return nil
}

var _ storage.Tuner = (*History)(nil)
