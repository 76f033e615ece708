package surrealdb

import (
	"context"
	"fmt"
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

// Login says where a server is, and who signs in.
type Login struct {
	// URL is where the server is: ws://HOST:PORT, or wss:// with TLS; http:// and
	// https:// mean the same, requests go over a WebSocket in any case. Default:
	// ws://127.0.0.1:8000.
	URL string `json:"url,omitempty"`

	// Namespace holds the database. Default: sockudo.
	Namespace string `json:"namespace,omitempty"`

	// Database holds the tables. Default: sockudo.
	Database string `json:"database,omitempty"`

	// Username signs in. Default: root.
	Username string `json:"username,omitempty"`

	// Password signs in. It had best be a placeholder such as {env.SURREAL_PASS} or
	// {file./run/secrets/surrealdb}. Default: root.
	Password string `json:"password,omitempty"`

	// AuthLevel is where the user is defined: "root", "namespace" or "database".
	// Default: root.
	AuthLevel string `json:"auth_level,omitempty"`

	// TLS says how to encrypt, with wss:// only. Default: it trusts the authorities of
	// the system.
	TLS *words.TLS `json:"tls,omitempty"`
}

// read reads the words of a driver, of which one is its own.
func (l *Login) read(d *caddyfile.Dispenser, own string, value *string) error {
	return words.ReadWith(d, words.Set{
		"url": words.Text(&l.URL), "namespace": words.Text(&l.Namespace), "database": words.Text(&l.Database),
		"username": words.Text(&l.Username), "password": words.Text(&l.Password), "auth_level": words.Text(&l.AuthLevel),
		own: words.Text(value),
	}, words.OrTLS(d, &l.TLS))
}

// expand expands the placeholders and reads the files of TLS.
func (l *Login) expand(to *Options, own words.Field) (err error) {
	err = words.ExpandAll(
		words.Field{Name: "url", Text: l.URL, To: &to.URL},
		words.Field{Name: "namespace", Text: l.Namespace, To: &to.Namespace},
		words.Field{Name: "database", Text: l.Database, To: &to.Database},
		words.Field{Name: "username", Text: l.Username, To: &to.Username},
		words.Field{Name: "password", Text: l.Password, To: &to.Password},
		words.Field{Name: "auth_level", Text: l.AuthLevel, To: &to.AuthLevel},
		own,
	)
	if err == nil {
		to.TLS, err = l.TLS.Options("tls")
	}
	return err
}

// Driver is the driver's word in the configuration.
func (*Login) Driver() string { return "surrealdb" }

// OpenTimeout allows for tables and indexes that have to be made.
func (*Login) OpenTimeout() time.Duration { return OpenTimeout }

// AppManagerModule keeps apps in SurrealDB. It reads the table of Sockudo.
type AppManagerModule struct {
	Login

	// TableName is the table of the apps; it is made if there is none. Default:
	// applications.
	TableName string `json:"table_name,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.surrealdb", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads:
//
//	surrealdb {
//		url URL                  # ws://127.0.0.1:8000
//		namespace NAME           # sockudo
//		database NAME            # sockudo
//		username NAME            # root
//		password TEXT            # root
//		auth_level LEVEL         # root, or namespace or database: where the user is defined
//		table_name NAME          # applications
//		tls {                    # for wss://
//			ca FILE              # the authorities of the system
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

// Validate checks what can be checked without the server.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Key identifies the table and the login.
func (m *AppManagerModule) Key() string { return keyOf(m.options) }

func keyOf(o Options) string {
	o = o.withDefaults()
	if u, err := o.endpoint(); err == nil {
		o.URL = u.String()
	}
	secure := o.TLS
	o.TLS = nil
	return fmt.Sprintf("%#v\x00%#v", o, secure)
}

// Open connects to the server, and makes the table if there is none.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

// HistoryModule keeps the histories of channels in SurrealDB.
type HistoryModule struct {
	Login

	// TablePrefix is what the names of the four tables begin with; they are made if
	// there are none. Default: sockudo_history.
	TablePrefix string `json:"table_prefix,omitempty"`

	options HistoryOptions
}

// CaddyModule returns the Caddy module information.
func (*HistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.surrealdb", New: func() caddy.Module { return new(HistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	surrealdb {
//		url URL                  # ws://127.0.0.1:8000
//		namespace NAME           # sockudo
//		database NAME            # sockudo
//		username NAME            # root
//		password TEXT            # root
//		auth_level LEVEL         # root, or namespace or database: where the user is defined
//		table_prefix NAME        # sockudo_history
//		tls {                    # for wss://
//			ca FILE              # the authorities of the system
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
	return m.expand(&m.options.Options, words.Field{Name: "table_prefix", Text: m.TablePrefix, To: &m.options.TablePrefix})
}

// Validate checks what can be checked without the server.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Key identifies the tables and the login.
func (m *HistoryModule) Key() string {
	o := m.options.withDefaults()
	return fmt.Sprintf("%s\x00%q", keyOf(o.Options), o.TablePrefix)
}

// Open connects to the server, and makes the tables if there are none.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options, caddy.Log().Named("sockudo"))
}

// PushStoreModule keeps the records of push notifications in SurrealDB: devices,
// subscriptions and publishes. What it has accepted is as durable as the server. That should
// keep data in RocksDB or TiKV if several nodes share it.
type PushStoreModule struct {
	Login

	// TableName is the table of the records; it is made if there is none. It may hold
	// letters, digits and _ only, 100 at most. Default: sockudo_push.
	TableName string `json:"table_name,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (*PushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.surrealdb", New: func() caddy.Module { return new(PushStoreModule) }}
}

// UnmarshalCaddyfile reads:
//
//	surrealdb {
//		url URL                  # ws://127.0.0.1:8000
//		namespace NAME           # sockudo
//		database NAME            # sockudo
//		username NAME            # root
//		password TEXT            # root
//		auth_level LEVEL         # root, or namespace or database: where the user is defined
//		table_name NAME          # sockudo_push
//		tls {                    # for wss://
//			ca FILE              # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//	}
func (m *PushStoreModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, "table_name", &m.TableName)
}

// Provision expands the placeholders and reads the files of TLS.
func (m *PushStoreModule) Provision(caddy.Context) error {
	return m.expand(&m.options, words.Field{Name: "table_name", Text: m.TableName, To: &m.options.Table})
}

// Validate checks what can be checked without the server.
func (m *PushStoreModule) Validate() error { return checkPush(m.options) }

// Key identifies the table and the login.
func (m *PushStoreModule) Key() string { return keyOf(ofPush(m.options)) }

// Open connects to the server, and makes the table if there is none.
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
