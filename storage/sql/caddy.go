package sql

import (
	"context"
	"net/url"
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
	caddy.RegisterModule(new(QueueModule))
	caddy.RegisterModule(new(CacheModule))
	caddy.RegisterModule(new(SQLiteHistoryModule))
	caddy.RegisterModule(new(PostgresHistoryModule))
	caddy.RegisterModule(new(MySQLHistoryModule))
	caddy.RegisterModule(new(SQLitePushModule))
	caddy.RegisterModule(new(PostgresPushModule))
	caddy.RegisterModule(new(MySQLPushModule))
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
func (m *SQLiteModule) Provision(caddy.Context) (err error) {
	m.path, err = inData(m.Path, "sockudo.db")
	return err
}

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

func (s *Server) open(ctx context.Context, d Dialect) (storage.AppManager, error) {
	o := s.options
	o.Dialect = d
	return OpenAppManager(ctx, o, s.TableName, caddy.Log().Named("sockudo"))
}

// inData is where a file is kept: as it is written, or in Caddy's data directory.
func inData(path, name string) (string, error) {
	path, err := words.Expand("path", path)
	if err != nil {
		return "", err
	}
	if path == "" {
		path = filepath.Join(caddy.AppDataDir(), "sockudo", name)
	}
	return filepath.Abs(path)
}

// QueueModule keeps jobs in a file, with nothing to install. What it has accepted
// outlives the process, however that ends. A changed bound or delay counts from
// the reload on.
type QueueModule struct {
	// Path is the file; it is made if there is none. Hubs may share one. Default:
	// sockudo/queue.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	// MaxBytes is the size of all payloads, in bytes; above it jobs are refused.
	// Default: 1073741824, which is 1GiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	// Reliability says how jobs that fail are tried again.
	Reliability *QueueReliability `json:"reliability,omitempty"`

	hub, path string
}

// QueueReliability says how jobs that fail are tried again.
type QueueReliability struct {
	words.Reliability

	// Capacity is the number of jobs in all states; above it jobs are refused.
	// Default: 1000000.
	Capacity int `json:"capacity,omitempty"`

	// Lease is how long a job belongs to the process that runs it without word from
	// that process; then it runs again. A process that has ended is noticed at once
	// when another opens the file. Default: 30s.
	Lease caddy.Duration `json:"lease,omitempty"`

	// LeaseRenew is the time between two words from a process; it is shorter than the
	// lease. Default: 10s.
	LeaseRenew caddy.Duration `json:"lease_renew,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*QueueModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.queues.sqlite", New: func() caddy.Module { return new(QueueModule) }}
}

// UnmarshalCaddyfile reads:
//
//	sqlite {
//		path FILE                      # sockudo/queue.db in Caddy's data directory
//		max_bytes SIZE                 # 1GiB
//		reliability {
//			max_attempts N             # 5
//			retry_base DURATION        # 1s
//			retry_max DURATION         # 60s
//			retry_jitter SHARE         # 0.2
//			deduplication_ttl DURATION # 5m
//			failed_retention N         # 10000
//			capacity N                 # 1000000
//			lease DURATION             # 30s
//			lease_renew DURATION       # 10s
//		}
//	}
func (m *QueueModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.ReadWith(d, words.Set{"path": words.Text(&m.Path), "max_bytes": words.Size(&m.MaxBytes)}, func(word string) (bool, error) {
		if word != "reliability" {
			return false, nil
		}
		if d.NextArg() {
			return true, d.ArgErr()
		}
		r := new(QueueReliability)
		m.Reliability = r
		set := r.Words()
		set["capacity"], set["lease"], set["lease_renew"] = words.Number(&r.Capacity), words.Duration(&r.Lease), words.Duration(&r.LeaseRenew)
		return true, words.Block(d, set, nil)
	})
}

// Provision finds the file.
func (m *QueueModule) Provision(caddy.Context) (err error) {
	m.path, err = inData(m.Path, "queue.db")
	return err
}

// Open opens the file.
func (m *QueueModule) Open(ctx context.Context) (storage.Queue, error) {
	return OpenQueue(ctx, m.path, m.options(), caddy.Log().Named("sockudo"))
}

// CacheModule keeps values in a file, so that they outlive the process. A write
// does not wait for the disk: a power failure may take the last moments.
type CacheModule struct {
	// Path is the file; it is made if there is none. Default: sockudo/cache-HUB.db in
	// Caddy's data directory. Two hubs must not share one.
	Path string `json:"path,omitempty"`

	// MaxEntries is the number of values; above it those that would expire soonest
	// are dropped. Default: 100000.
	MaxEntries int `json:"max_entries,omitempty"`

	// MaxBytes is the size of all keys and values, in bytes. Default: 67108864,
	// which is 64MiB.
	MaxBytes int64 `json:"max_bytes,omitempty"`

	path string
}

// CaddyModule returns the Caddy module information.
func (*CacheModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.caches.sqlite", New: func() caddy.Module { return new(CacheModule) }}
}

// UnmarshalCaddyfile reads:
//
//	sqlite {
//		path FILE      # sockudo/cache-HUB.db in Caddy's data directory
//		max_entries N  # 100000
//		max_bytes SIZE # 64MiB
//	}
func (m *CacheModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"path": words.Text(&m.Path), "max_entries": words.Number(&m.MaxEntries), "max_bytes": words.Size(&m.MaxBytes),
	})
}

// Provision checks the path.
func (m *CacheModule) Provision(caddy.Context) (err error) {
	if m.Path != "" {
		m.path, err = inData(m.Path, "")
	}
	return err
}

// ForHub names the hub, which has a file of its own unless one is written.
func (m *CacheModule) ForHub(name string) {
	if m.path == "" {
		m.path = filepath.Join(caddy.AppDataDir(), "sockudo", "cache-"+url.PathEscape(name)+".db")
	}
}

// Open opens the file.
func (m *CacheModule) Open(ctx context.Context) (storage.Cache, error) {
	return OpenCache(ctx, m.path, m.options())
}

// SQLiteHistoryModule keeps history in a file, with nothing to install. What it has
// accepted is on disk: it outlives the process, however that ends.
type SQLiteHistoryModule struct {
	// Path is the file of the database; it is made if there is none. Processes of one
	// machine may share one. Default: sockudo/history.db in Caddy's data directory.
	Path string `json:"path,omitempty"`

	HistoryTables

	path string
}

// HistoryTables are the tables with the history, and how long a change of them may take.
type HistoryTables struct {
	// TablePrefix begins the names of the two tables: NAME_logs and NAME_log_entries.
	// They are made if there are none. It may hold letters, digits and _ only, 40 at
	// most. Default: sockudo_history.
	TablePrefix string `json:"table_prefix,omitempty"`

	// WriteTimeout bounds one transaction, and one read: what takes longer fails.
	// Default: 5s.
	WriteTimeout caddy.Duration `json:"write_timeout,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*SQLiteHistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.sqlite", New: func() caddy.Module { return new(SQLiteHistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	sqlite {
//		path FILE              # sockudo/history.db in Caddy's data directory
//		table_prefix NAME      # sockudo_history
//		write_timeout DURATION # 5s
//	}
func (m *SQLiteHistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"path": words.Text(&m.Path), "table_prefix": words.Text(&m.TablePrefix), "write_timeout": words.Duration(&m.WriteTimeout),
	})
}

// Provision finds the file.
func (m *SQLiteHistoryModule) Provision(caddy.Context) (err error) {
	m.path, err = inData(m.Path, "history.db")
	return err
}

// PostgresHistoryModule keeps history in PostgreSQL, in tables of its own.
type PostgresHistoryModule struct{ HistoryServer }

// CaddyModule returns the Caddy module information.
func (*PostgresHistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.postgres", New: func() caddy.Module { return new(PostgresHistoryModule) }}
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
//		table_prefix NAME        # sockudo_history
//		write_timeout DURATION   # 5s
//	}
func (m *PostgresHistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// MySQLHistoryModule keeps history in MySQL or MariaDB, in tables of its own. The
// server's max_allowed_packet bounds the size of an entry.
type MySQLHistoryModule struct{ HistoryServer }

// CaddyModule returns the Caddy module information.
func (*MySQLHistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.mysql", New: func() caddy.Module { return new(MySQLHistoryModule) }}
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
//		table_prefix NAME        # sockudo_history
//		write_timeout DURATION   # 5s
//	}
func (m *MySQLHistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { return m.read(d) }

// HistoryServer is a database server and the tables with the history in it.
type HistoryServer struct {
	Login
	HistoryTables
}

func (s *HistoryServer) read(d *caddyfile.Dispenser) error {
	set := s.words()
	set["table_prefix"], set["write_timeout"] = words.Text(&s.TablePrefix), words.Duration(&s.WriteTimeout)
	return words.Read(d, set)
}

// Login says where a database server is, and who logs in.
type Login struct {
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

	// ConnectionPoolSize bounds the open connections. Default: 10.
	ConnectionPoolSize int `json:"connection_pool_size,omitempty"`

	server Server // which expands and checks the same words
}

func (l *Login) words() words.Set {
	return words.Set{
		"dsn": words.Text(&l.DSN), "host": words.Text(&l.Host), "port": words.Number(&l.Port),
		"username": words.Text(&l.Username), "password": words.Text(&l.Password), "database": words.Text(&l.Database),
		"connection_pool_size": words.Number(&l.ConnectionPoolSize),
	}
}

// Provision expands the placeholders.
func (l *Login) Provision(c caddy.Context) error {
	l.server = Server{
		DSN: l.DSN, Host: l.Host, Port: l.Port, Username: l.Username, Password: l.Password, Database: l.Database,
		ConnectionPoolSize: l.ConnectionPoolSize,
	}
	return l.server.Provision(c)
}

var (
	_    storage.Spec[storage.Queue] = (*QueueModule)(nil)
	_    storage.Spec[storage.Cache] = (*CacheModule)(nil)
	_, _ storage.Tuner               = (*Queue)(nil), (*Cache)(nil)

	_ storage.Spec[storage.History] = (*SQLiteHistoryModule)(nil)
	_ storage.Spec[storage.History] = (*PostgresHistoryModule)(nil)
	_ storage.Spec[storage.History] = (*MySQLHistoryModule)(nil)

	_ storage.Spec[storage.PushStore] = (*SQLitePushModule)(nil)
	_ storage.Spec[storage.PushStore] = (*PostgresPushModule)(nil)
	_ storage.Spec[storage.PushStore] = (*MySQLPushModule)(nil)

	_ storage.Spec[storage.AppManager] = (*SQLiteModule)(nil)
	_ storage.Spec[storage.AppManager] = (*PostgresModule)(nil)
	_ storage.Spec[storage.AppManager] = (*MySQLModule)(nil)
)
