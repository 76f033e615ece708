package sql

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	caddy.RegisterModule(new(SQLiteModule))
	caddy.RegisterModule(new(PostgresModule))
	caddy.RegisterModule(new(MySQLModule))
}

// SQLiteModule keeps apps in a file, with nothing to install.
type SQLiteModule struct {
	// Path is the file of the database; it is made if there is none. Default:
	// sockudo/sockudo.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	// TableName is the table of the apps. Default: applications.
	TableName string `json:"table_name,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*SQLiteModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.sqlite", New: func() caddy.Module { return new(SQLiteModule) }}
}

// UnmarshalCaddyfile reads:
//
//	sqlite {
//		path FILE       # sockudo/sockudo.db in Caddy's data directory
//		table_name NAME # applications
//	}
func (m *SQLiteModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{"path": words.Text(&m.Path), "table_name": words.Text(&m.TableName)})
}

// Provision finds the file.
func (m *SQLiteModule) Provision(caddy.Context) error {
	path, err := words.Expand("path", m.Path)
	if err != nil {
		return err
	}
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), "sockudo", "sockudo.db")
	}
	m.path, err = filepath.Abs(path)
	return err
}

// Validate checks the name of the table.
func (m *SQLiteModule) Validate() error { return checkTableIfAny(m.TableName) }

// Driver is the driver's word in the configuration.
func (*SQLiteModule) Driver() string { return string(SQLite) }

// Key identifies the file and the table.
func (m *SQLiteModule) Key() string { return m.path + "\x00" + m.TableName }

// Open opens the file.
func (m *SQLiteModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, Options{Dialect: SQLite, Path: m.path}, m.TableName, caddy.Log().Named("sockudo"))
}

// PostgresModule keeps apps in PostgreSQL. It reads the table of Sockudo.
type PostgresModule struct{ Server }

// CaddyModule returns the Caddy module information.
func (*PostgresModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.postgres", New: func() caddy.Module { return new(PostgresModule) }}
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
//		table_name NAME          # applications
//		connection_pool_size N   # 10
//	}
func (m *PostgresModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// Driver is the driver's word in the configuration.
func (*PostgresModule) Driver() string { return string(Postgres) }

// Open connects to the server.
func (m *PostgresModule) Open(ctx context.Context) (storage.AppManager, error) {
	return m.open(ctx, Postgres)
}

// MySQLModule keeps apps in MySQL or MariaDB. It reads the table of Sockudo.
type MySQLModule struct{ Server }

// CaddyModule returns the Caddy module information.
func (*MySQLModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.mysql", New: func() caddy.Module { return new(MySQLModule) }}
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
//		table_name NAME          # applications
//		connection_pool_size N   # 10
//	}
func (m *MySQLModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// Driver is the driver's word in the configuration.
func (*MySQLModule) Driver() string { return string(MySQL) }

// Open connects to the server.
func (m *MySQLModule) Open(ctx context.Context) (storage.AppManager, error) {
	return m.open(ctx, MySQL)
}

// Server is a database server and the table of the apps in it.
type Server struct {
	// DSN is the whole address, in the form of the driver. It excludes host, port,
	// username, password and database. Default: none.
	DSN string `json:"dsn,omitempty"`

	// Host is the name or address of the server. Default: localhost.
	Host string `json:"host,omitempty"`

	// Port is that of the server. Default: 5432 for postgres, 3306 for mysql.
	Port int `json:"port,omitempty"`

	// Username logs in. Default: postgres, or root for mysql.
	Username string `json:"username,omitempty"`

	// Password logs in. It had best be a placeholder such as {env.DATABASE_PASSWORD}
	// or {file./run/secrets/db}. Default: none.
	Password string `json:"password,omitempty"`

	// Database is the name of the database. Default: sockudo.
	Database string `json:"database,omitempty"`

	// TableName is the table of the apps. Default: applications.
	TableName string `json:"table_name,omitempty"`

	// ConnectionPoolSize bounds the open connections. Default: 10.
	ConnectionPoolSize int `json:"connection_pool_size,omitempty"`

	options Options
}

func (s *Server) read(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"dsn": words.Text(&s.DSN), "host": words.Text(&s.Host), "port": words.Number(&s.Port),
		"username": words.Text(&s.Username), "password": words.Text(&s.Password), "database": words.Text(&s.Database),
		"table_name": words.Text(&s.TableName), "connection_pool_size": words.Number(&s.ConnectionPoolSize),
	})
}

// Provision expands the placeholders.
func (s *Server) Provision(caddy.Context) error {
	s.options = Options{Port: s.Port, MaxConnections: s.ConnectionPoolSize}
	return words.ExpandAll(
		words.Field{Name: "dsn", Text: s.DSN, To: &s.options.DSN},
		words.Field{Name: "host", Text: s.Host, To: &s.options.Host},
		words.Field{Name: "username", Text: s.Username, To: &s.options.Username},
		words.Field{Name: "password", Text: s.Password, To: &s.options.Password},
		words.Field{Name: "database", Text: s.Database, To: &s.options.Database},
	)
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

func (s *Server) open(ctx context.Context, d Dialect) (storage.AppManager, error) {
	o := s.options
	o.Dialect = d
	return OpenAppManager(ctx, o, s.TableName, caddy.Log().Named("sockudo"))
}

func checkTableIfAny(table string) error {
	if table == "" {
		return nil
	}
	return checkTable(table)
}

var (
	_ storage.Spec[storage.AppManager] = (*SQLiteModule)(nil)
	_ storage.Spec[storage.AppManager] = (*PostgresModule)(nil)
	_ storage.Spec[storage.AppManager] = (*MySQLModule)(nil)
)
