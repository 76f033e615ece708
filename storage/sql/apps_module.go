package sql

import (
	"context"
	"errors"
	"fmt"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Validate checks the name of the table.
func (m *SQLiteModule) Validate() error { return checkTableIfAny(m.TableName) }

// Driver is the driver's word in the configuration.
func (*SQLiteModule) Driver() string { return string(SQLite) }

// Key identifies the file and the table.
func (m *SQLiteModule) Key() string { return m.path + "\x00" + m.TableName }

// Driver is the driver's word in the configuration.
func (*PostgresModule) Driver() string { return string(Postgres) }

// Open connects to the server.
func (m *PostgresModule) Open(ctx context.Context) (storage.AppManager, error) {
	return m.open(ctx, Postgres)
}

// Driver is the driver's word in the configuration.
func (*MySQLModule) Driver() string { return string(MySQL) }

// Open connects to the server.
func (m *MySQLModule) Open(ctx context.Context) (storage.AppManager, error) {
	return m.open(ctx, MySQL)
}

// Validate checks what can be checked without the server.
func (s *Server) Validate() error {
	switch {
	case s.DSN != "" && (s.Host != "" || s.Port != 0 || s.Username != "" || s.Password != "" || s.Database != ""):
		return errors.New("dsn must not be written beside host, port, username, password or database")
	case s.Port < 0 || s.Port > 65535:
		return fmt.Errorf("port %d is not from 1 to 65535", s.Port)
	case s.ConnectionPoolSize < 0:
		return fmt.Errorf("connection_pool_size %d must not be negative", s.ConnectionPoolSize)
	}
	return checkTableIfAny(s.TableName)
}

// Key identifies the server, the login and the table.
func (s *Server) Key() string {
	return fmt.Sprintf("%q %q", fmt.Sprintf("%#v", s.options), s.TableName)
}

func checkTableIfAny(table string) error {
	if table == "" {
		return nil
	}
	return checkTable(table)
}
