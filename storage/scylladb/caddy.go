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

// AppManagerModule keeps apps in ScyllaDB, or in Apache Cassandra. It reads the
// table of Sockudo.
type AppManagerModule struct {
	// Nodes are HOST or HOST:PORT of some nodes of one data centre, the nearest; they
	// know the others. All nodes listen on one port. Default: 127.0.0.1:9042.
	Nodes []string `json:"nodes,omitempty"`

	// Keyspace is where the table is; it is made if there is none. Default: sockudo.
	Keyspace string `json:"keyspace,omitempty"`

	// TableName is the table of the apps; it is made if there is none. Beside it there
	// is a table whose name ends in _keys. Default: applications.
	TableName string `json:"table_name,omitempty"`

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
	return words.ReadWith(d, words.Set{
		"nodes": words.List(&m.Nodes), "keyspace": words.Text(&m.Keyspace), "table_name": words.Text(&m.TableName),
		"username": words.Text(&m.Username), "password": words.Text(&m.Password),
		"replication_class": words.Text(&m.ReplicationClass), "replication_factor": words.Number(&m.ReplicationFactor),
	}, func(word string) (bool, error) {
		if word != "tls" {
			return false, nil
		}
		return true, words.ReadTLS(d, &m.TLS)
	})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AppManagerModule) Provision(caddy.Context) (err error) {
	m.options.ReplicationFactor = m.ReplicationFactor
	if m.options.Nodes, err = words.Addresses("nodes", m.Nodes, defaultPort); err != nil {
		return err
	}
	if m.options.TLS, err = m.TLS.Options("tls"); err != nil {
		return err
	}
	return words.ExpandAll(
		words.Field{Name: "keyspace", Text: m.Keyspace, To: &m.options.Keyspace},
		words.Field{Name: "table_name", Text: m.TableName, To: &m.options.Table},
		words.Field{Name: "username", Text: m.Username, To: &m.options.Username},
		words.Field{Name: "password", Text: m.Password, To: &m.options.Password},
		words.Field{Name: "replication_class", Text: m.ReplicationClass, To: &m.options.ReplicationClass},
	)
}

// Validate checks what can be checked without the cluster.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "scylladb" }

// Key identifies the table and the login.
func (m *AppManagerModule) Key() string { return m.options.key() }

// OpenTimeout allows for a keyspace and tables that have to be made.
func (*AppManagerModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open connects to the cluster, and makes what is missing there.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

// HistoryModule keeps the history of channels in ScyllaDB, or in Apache Cassandra.
type HistoryModule struct {
	// Nodes are HOST or HOST:PORT of some nodes of one data centre, the nearest; they
	// know the others. All nodes listen on one port. Default: 127.0.0.1:9042.
	Nodes []string `json:"nodes,omitempty"`

	// Keyspace is where the tables are; it is made if there is none. Default: sockudo.
	Keyspace string `json:"keyspace,omitempty"`

	// TablePrefix is the name of the table of logs. Beside it there is a table whose name
	// ends in _due. Both are made if there are none. Default: sockudo_history.
	TablePrefix string `json:"table_prefix,omitempty"`

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
	return words.ReadWith(d, words.Set{
		"nodes": words.List(&m.Nodes), "keyspace": words.Text(&m.Keyspace), "table_prefix": words.Text(&m.TablePrefix),
		"username": words.Text(&m.Username), "password": words.Text(&m.Password),
		"replication_class": words.Text(&m.ReplicationClass), "replication_factor": words.Number(&m.ReplicationFactor),
	}, func(word string) (bool, error) {
		if word != "tls" {
			return false, nil
		}
		return true, words.ReadTLS(d, &m.TLS)
	})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *HistoryModule) Provision(caddy.Context) (err error) {
	m.options.ReplicationFactor = m.ReplicationFactor
	if m.options.Nodes, err = words.Addresses("nodes", m.Nodes, defaultPort); err != nil {
		return err
	}
	if m.options.TLS, err = m.TLS.Options("tls"); err != nil {
		return err
	}
	return words.ExpandAll(
		words.Field{Name: "keyspace", Text: m.Keyspace, To: &m.options.Keyspace},
		words.Field{Name: "table_prefix", Text: m.TablePrefix, To: &m.options.Prefix},
		words.Field{Name: "username", Text: m.Username, To: &m.options.Username},
		words.Field{Name: "password", Text: m.Password, To: &m.options.Password},
		words.Field{Name: "replication_class", Text: m.ReplicationClass, To: &m.options.ReplicationClass},
	)
}

// Validate checks what can be checked without the cluster.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*HistoryModule) Driver() string { return "scylladb" }

// Key identifies the tables and the login.
func (m *HistoryModule) Key() string { return m.options.key() }

// OpenTimeout allows for a keyspace and tables that have to be made.
func (*HistoryModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open connects to the cluster, and makes what is missing there.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options, caddy.Log().Named("sockudo"))
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
	_ storage.Spec[storage.History]    = (*HistoryModule)(nil)
	_ storage.Slow                     = (*HistoryModule)(nil)
)
