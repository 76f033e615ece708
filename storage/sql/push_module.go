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
func (t *PushTables) Validate() error {
	if err := words.NotNegative(map[string]int64{"write_timeout": int64(t.WriteTimeout)}); err != nil {
		return err
	}
	return checkPrefix(t.prefix())
}

func (t *PushTables) prefix() string { return cmp.Or(t.TablePrefix, pushPrefix) }

func (t *PushTables) tuning() PushOptions {
	return PushOptions{TablePrefix: t.TablePrefix, Timeout: time.Duration(t.WriteTimeout)}
}

// Driver is the driver's word in the configuration.
func (*SQLitePushModule) Driver() string { return string(SQLite) }

// Key identifies the file and the tables.
func (m *SQLitePushModule) Key() string { return m.path + "\x00" + m.prefix() }

// Open opens the file.
func (m *SQLitePushModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, Options{Dialect: SQLite, Path: m.path}, m.tuning())
}

// Validate checks what can be checked without the server.
func (s *PushServer) Validate() error {
	if err := s.server.Validate(); err != nil {
		return err
	}
	return s.PushTables.Validate()
}

// Key identifies the server, the login and the tables.
func (s *PushServer) Key() string { return fmt.Sprintf("%s %q", s.server.Key(), s.prefix()) }

func (s *PushServer) open(ctx context.Context, d Dialect) (storage.PushStore, error) {
	o := s.server.options
	o.Dialect = d
	return OpenPushStore(ctx, o, s.tuning())
}

// Driver is the driver's word in the configuration.
func (*PostgresPushModule) Driver() string { return string(Postgres) }

// Open connects to the server.
func (m *PostgresPushModule) Open(ctx context.Context) (storage.PushStore, error) {
	return m.open(ctx, Postgres)
}

// Driver is the driver's word in the configuration.
func (*MySQLPushModule) Driver() string { return string(MySQL) }

// Open connects to the server.
func (m *MySQLPushModule) Open(ctx context.Context) (storage.PushStore, error) {
	return m.open(ctx, MySQL)
}

// Tune takes the bound of a newer configuration.
func (s *PushStore) Tune(spec any) error {
	var t *PushTables
	switch m := spec.(type) {
	case *SQLitePushModule:
		t = &m.PushTables
	case *PostgresPushModule:
		t = &m.PushTables
	case *MySQLPushModule:
		t = &m.PushTables
	default:
		return fmt.Errorf("%T does not tune a push store in a database", spec)
	}
	s.SetTimeout(t.tuning().Timeout)
	return nil
}

var _ storage.Tuner = (*PushStore)(nil)
