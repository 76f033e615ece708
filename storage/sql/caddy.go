package sql

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

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

// Validate checks the bounds.
func (m *QueueModule) Validate() error {
	r := m.Reliability
	if r == nil {
		r = new(QueueReliability)
	}
	o := m.options().withDefaults()
	if err := words.NotNegative(map[string]int64{
		"max_bytes": m.MaxBytes, "capacity": int64(r.Capacity), "lease": int64(r.Lease), "lease_renew": int64(r.LeaseRenew),
	}); err != nil {
		return err
	}
	if o.Renew >= o.Lease {
		return fmt.Errorf("lease_renew %v must be shorter than lease %v", o.Renew, o.Lease)
	}
	return r.Check()
}

// Driver is the driver's word in the configuration.
func (*QueueModule) Driver() string { return string(SQLite) }

// ForHub names the hub, whose jobs are not those of others in the same file.
func (m *QueueModule) ForHub(name string) { m.hub = name }

// Key identifies the file and the hub.
func (m *QueueModule) Key() string { return m.path + "\x00" + m.hub }

// Open opens the file.
func (m *QueueModule) Open(ctx context.Context) (storage.Queue, error) {
	return OpenQueue(ctx, m.path, m.options(), caddy.Log().Named("sockudo"))
}

func (m *QueueModule) options() QueueOptions {
	o := QueueOptions{Scope: m.hub + "/", MaxBytes: m.MaxBytes}
	r := m.Reliability
	if r == nil {
		return o
	}
	o.MaxJobs, o.MaxAttempts = r.Capacity, words.Or(r.MaxAttempts, 0)
	o.Retry = storage.Retry{Base: time.Duration(r.RetryBase), Max: time.Duration(r.RetryMax), Jitter: words.NoneIfZero(r.RetryJitter)}
	o.DeduplicationTTL = time.Duration(words.NoneIfZero(r.DeduplicationTTL))
	o.MaxDeadLetters = words.NoneIfZero(r.FailedRetention)
	o.Lease, o.Renew = time.Duration(r.Lease), time.Duration(r.LeaseRenew)
	return o
}

// Tune takes the bounds and delays of a newer configuration.
func (q *Queue) Tune(spec any) error {
	m, ok := spec.(*QueueModule)
	if !ok {
		return fmt.Errorf("%T does not tune a queue in SQLite", spec)
	}
	q.SetOptions(m.options())
	return nil
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

// Validate checks the bounds.
func (m *CacheModule) Validate() error {
	return words.NotNegative(map[string]int64{"max_entries": int64(m.MaxEntries), "max_bytes": m.MaxBytes})
}

// Driver is the driver's word in the configuration.
func (*CacheModule) Driver() string { return string(SQLite) }

// ForHub names the hub, which has a file of its own unless one is written.
func (m *CacheModule) ForHub(name string) {
	if m.path == "" {
		m.path = filepath.Join(caddy.AppDataDir(), "sockudo", "cache-"+url.PathEscape(name)+".db")
	}
}

// Key identifies the file.
func (m *CacheModule) Key() string { return m.path }

// Open opens the file.
func (m *CacheModule) Open(ctx context.Context) (storage.Cache, error) {
	return OpenCache(ctx, m.path, m.options())
}

func (m *CacheModule) options() CacheOptions {
	return CacheOptions{MaxEntries: m.MaxEntries, MaxBytes: m.MaxBytes}
}

// Tune takes the bounds of a newer configuration.
func (c *Cache) Tune(spec any) error {
	m, ok := spec.(*CacheModule)
	if !ok {
		return fmt.Errorf("%T does not tune a cache in SQLite", spec)
	}
	c.SetOptions(m.options())
	return nil
}

var (
	_    storage.Spec[storage.Queue] = (*QueueModule)(nil)
	_    storage.Spec[storage.Cache] = (*CacheModule)(nil)
	_, _ storage.Tuner               = (*Queue)(nil), (*Cache)(nil)

	_ storage.Spec[storage.AppManager] = (*SQLiteModule)(nil)
	_ storage.Spec[storage.AppManager] = (*PostgresModule)(nil)
	_ storage.Spec[storage.AppManager] = (*MySQLModule)(nil)
)
