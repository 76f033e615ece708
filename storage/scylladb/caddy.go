package scylladb

import (
	"context"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	caddy.RegisterModule(new(AppManagerModule))
	caddy.RegisterModule(new(HistoryModule))
	caddy.RegisterModule(new(PushStoreModule))
}

// Login says where a cluster is, who logs in, and where tables are.
type Login struct {
	// Nodes are HOST or HOST:PORT of some nodes of one data centre, the nearest; they
	// know the others. All nodes listen on one port. Default: 127.0.0.1:9042.
	Nodes []string `json:"nodes,omitempty"`

	// Keyspace is where the tables are; it is made if there is none. Default: sockudo.
	Keyspace string `json:"keyspace,omitempty"`

	// Username logs in. Default: none.
	Username string `json:"username,omitempty"`

	// Password logs in. It had best be a placeholder such as {env.SCYLLADB_PASSWORD} or
	// {file./run/secrets/scylladb}. Default: none.
	Password string `json:"password,omitempty"`

	// ReplicationClass is that of a keyspace that is made. Default: SimpleStrategy.
	ReplicationClass string `json:"replication_class,omitempty"`

	// ReplicationFactor is how many nodes keep a record, in a keyspace that is made.
	// One node alone wants 1. Default: 3.
	ReplicationFactor int `json:"replication_factor,omitempty"`

	// TLS encrypts the connections to the nodes. Default: plain text.
	TLS *words.TLS `json:"tls,omitempty"`
}

// read reads the words of a driver, of which one is its own.
func (l *Login) read(d *caddyfile.Dispenser, own string, value *string) error {
	return words.ReadWith(d, words.Set{
		"nodes": words.List(&l.Nodes), "keyspace": words.Text(&l.Keyspace), own: words.Text(value),
		"username": words.Text(&l.Username), "password": words.Text(&l.Password),
		"replication_class": words.Text(&l.ReplicationClass), "replication_factor": words.Number(&l.ReplicationFactor),
	}, words.OrTLS(d, &l.TLS))
}

// expand expands the placeholders and reads the files of TLS.
func (l *Login) expand(to *Options, own words.Field) (err error) {
	to.ReplicationFactor = l.ReplicationFactor
	if to.Nodes, err = words.Addresses("nodes", l.Nodes, defaultPort); err != nil {
		return err
	}
	if to.TLS, err = l.TLS.Options("tls"); err != nil {
		return err
	}
	return words.ExpandAll(
		words.Field{Name: "keyspace", Text: l.Keyspace, To: &to.Keyspace},
		own,
		words.Field{Name: "username", Text: l.Username, To: &to.Username},
		words.Field{Name: "password", Text: l.Password, To: &to.Password},
		words.Field{Name: "replication_class", Text: l.ReplicationClass, To: &to.ReplicationClass},
	)
}

// Driver is the driver's word in the configuration.
func (*Login) Driver() string { return "scylladb" }

// OpenTimeout allows for a keyspace and tables that have to be made.
func (*Login) OpenTimeout() time.Duration { return OpenTimeout }

// AppManagerModule keeps apps in ScyllaDB, or in Apache Cassandra. It reads the
// table of Sockudo.
type AppManagerModule struct {
	Login

	// TableName is the table of the apps; it is made if there is none. Beside it there
	// is a table whose name ends in _keys. Default: applications.
	TableName string `json:"table_name,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.scylladb", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads:
//
//	scylladb {
//		nodes HOST:PORT...         # 127.0.0.1:9042
//		keyspace NAME              # sockudo
//		table_name NAME            # applications
//		username NAME
//		password TEXT
//		replication_class NAME     # SimpleStrategy
//		replication_factor N       # 3
//		tls {                      # plain text without it
//			ca FILE                # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//	}
func (m *AppManagerModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, "table_name", &m.TableName)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AppManagerModule) Provision(caddy.Context) error {
	return m.expand(&m.options, words.Field{Name: "table_name", Text: m.TableName, To: &m.options.Table})
}

// Validate checks what can be checked without the cluster.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Key identifies the table and the login.
func (m *AppManagerModule) Key() string { return m.options.key() }

// Open connects to the cluster, and makes what is missing there.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

// HistoryModule keeps the history of channels in ScyllaDB, or in Apache Cassandra.
type HistoryModule struct {
	Login

	// TablePrefix is the name of the table of logs. Beside it there is a table whose name
	// ends in _due. Both are made if there are none. Default: sockudo_history.
	TablePrefix string `json:"table_prefix,omitempty"`

	options HistoryOptions
}

// CaddyModule returns the Caddy module information.
func (*HistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.scylladb", New: func() caddy.Module { return new(HistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	scylladb {
//		nodes HOST:PORT...         # 127.0.0.1:9042
//		keyspace NAME              # sockudo
//		table_prefix NAME          # sockudo_history
//		username NAME
//		password TEXT
//		replication_class NAME     # SimpleStrategy
//		replication_factor N       # 3
//		tls {                      # plain text without it
//			ca FILE                # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//	}
func (m *HistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, "table_prefix", &m.TablePrefix)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *HistoryModule) Provision(caddy.Context) error {
	return m.expand(&m.options.Options, words.Field{Name: "table_prefix", Text: m.TablePrefix, To: &m.options.Prefix})
}

// Validate checks what can be checked without the cluster.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Key identifies the tables and the login.
func (m *HistoryModule) Key() string { return m.options.key() }

// Open connects to the cluster, and makes what is missing there.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options, caddy.Log().Named("sockudo"))
}

// PushStoreModule keeps the records of push notifications in ScyllaDB, or in Apache
// Cassandra: devices, subscriptions and publishes. All that an app has is one partition.
type PushStoreModule struct {
	Login

	// TablePrefix is the name of the table of records. Beside it there is a table whose name
	// ends in _due. Both are made if there are none. Default: sockudo_push.
	TablePrefix string `json:"table_prefix,omitempty"`

	options PushOptions
}

// CaddyModule returns the Caddy module information.
func (*PushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.scylladb", New: func() caddy.Module { return new(PushStoreModule) }}
}

// UnmarshalCaddyfile reads:
//
//	scylladb {
//		nodes HOST:PORT...         # 127.0.0.1:9042
//		keyspace NAME              # sockudo
//		table_prefix NAME          # sockudo_push
//		username NAME
//		password TEXT
//		replication_class NAME     # SimpleStrategy
//		replication_factor N       # 3
//		tls {                      # plain text without it
//			ca FILE                # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//	}
func (m *PushStoreModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, "table_prefix", &m.TablePrefix)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *PushStoreModule) Provision(caddy.Context) error {
	return m.expand(&m.options.Options, words.Field{Name: "table_prefix", Text: m.TablePrefix, To: &m.options.Prefix})
}

// Validate checks what can be checked without the cluster.
func (m *PushStoreModule) Validate() error { return m.options.withDefaults().check() }

// Key identifies the tables and the login.
func (m *PushStoreModule) Key() string { return m.options.withDefaults().key() }

// Open connects to the cluster, and makes what is missing there.
func (m *PushStoreModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, m.options, caddy.Log().Named("sockudo"))
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
	_ storage.Spec[storage.History]    = (*HistoryModule)(nil)
	_ storage.Slow                     = (*HistoryModule)(nil)
	_ storage.Spec[storage.PushStore]  = (*PushStoreModule)(nil)
	_ storage.Slow                     = (*PushStoreModule)(nil)
)
