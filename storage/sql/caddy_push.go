package sql

import (
	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// SQLitePushModule keeps the records of push notifications in a file, with nothing to
// install: devices, subscriptions and publishes. What it has accepted is on disk: it
// outlives the process, however that ends.
type SQLitePushModule struct {
	// Path is the file of the database; it is made if there is none. Processes of one
	// machine may share one. Default: sockudo/push.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	PushTables

	path string
}

// PushTables are the tables with the records of push notifications, and how long a change
// of them may take.
type PushTables struct {
	// TablePrefix is the name of the table, beside which there is NAME_schema. They are
	// made if there are none; tables of another schema version are refused. It may hold
	// letters, digits and _ only, 40 at most. Default: sockudo_push.
	TablePrefix string `json:"table_prefix,omitempty"`

	// WriteTimeout bounds one transaction, and one read: what takes longer fails.
	// Default: 5s.
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*SQLitePushModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.sqlite", New: func() caddy.Module { return new(SQLitePushModule) }}
}

// UnmarshalCaddyfile reads:
//
//	sqlite {
//		path FILE              # sockudo/push.db in Caddy's data directory
//		table_prefix NAME      # sockudo_push
//		write_timeout DURATION # 5s
//	}
func (m *SQLitePushModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"path": words.Text(&m.Path), "table_prefix": words.Text(&m.TablePrefix), "write_timeout": words.Duration(&m.WriteTimeout),
	})
}

// Provision finds the file.
func (m *SQLitePushModule) Provision(caddy.Context) (err error) {
	m.path, err = inData(m.Path, "push.db")
	return err
}

// PostgresPushModule keeps the records of push notifications in PostgreSQL, in tables of
// its own.
type PostgresPushModule struct{ PushServer }

// CaddyModule returns the Caddy module information.
func (*PostgresPushModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.postgres", New: func() caddy.Module { return new(PostgresPushModule) }}
}

// UnmarshalCaddyfile reads:
//
//	postgres {
//		dsn URL                  # postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=require, or:
//		host NAME                # localhost
//		port N                   # 5432
//		username NAME            # postgres
//		password TEXT
//		database NAME            # sockudo
//		connection_pool_size N   # 10
//		table_prefix NAME        # sockudo_push
//		write_timeout DURATION   # 5s
//	}
func (m *PostgresPushModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// MySQLPushModule keeps the records of push notifications in MySQL or MariaDB, in tables of
// its own. The server's max_allowed_packet bounds the size of a record.
type MySQLPushModule struct{ PushServer }

// CaddyModule returns the Caddy module information.
func (*MySQLPushModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.mysql", New: func() caddy.Module { return new(MySQLPushModule) }}
}

// UnmarshalCaddyfile reads:
//
//	mysql {
//		dsn TEXT                 # USER:PASSWORD@tcp(HOST:3306)/DATABASE?tls=true, or:
//		host NAME                # localhost
//		port N                   # 3306
//		username NAME            # root
//		password TEXT
//		database NAME            # sockudo
//		connection_pool_size N   # 10
//		table_prefix NAME        # sockudo_push
//		write_timeout DURATION   # 5s
//	}
func (m *MySQLPushModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// PushServer is a database server and the tables with the records of push notifications in
// it.
type PushServer struct {
	Login
	PushTables
}

func (s *PushServer) read(d *caddyfile.Dispenser) error {
	set := s.words()
	set["table_prefix"], set["write_timeout"] = words.Text(&s.TablePrefix), words.Duration(&s.WriteTimeout)
	return words.Read(d, set)
}
