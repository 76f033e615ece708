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

// AppManagerModule keeps apps in SurrealDB. It reads the table of Sockudo.
type AppManagerModule struct {
	// URL is where the server is: ws://HOST:PORT, or wss:// with TLS; http:// and
	// https:// mean the same, requests go over a WebSocket in any case. Default:
	// ws://127.0.0.1:8000.
	URL string `json:"url,omitempty"`

	// Namespace holds the database. Default: sockudo.
	Namespace string `json:"namespace,omitempty"`

	// Database holds the table. Default: sockudo.
	Database string `json:"database,omitempty"`

	// Username signs in. Default: root.
	Username string `json:"username,omitempty"`

	// Password signs in. It had best be a placeholder such as {env.SURREAL_PASS} or
	// {file./run/secrets/surrealdb}. Default: root.
	Password string `json:"password,omitempty"`

	// AuthLevel is where the user is defined: "root", "namespace" or "database".
	// Default: root.
	AuthLevel string `json:"auth_level,omitempty"`

	// TableName is the table of the apps; it is made if there is none. Default:
	// applications.
	TableName string `json:"table_name,omitempty"`

	// TLS says how to encrypt, with wss:// only. Default: it trusts the authorities of
	// the system.
	TLS *words.TLS `json:"tls,omitempty"`

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
	return words.ReadWith(d, words.Set{
		"url": words.Text(&m.URL), "namespace": words.Text(&m.Namespace), "database": words.Text(&m.Database),
		"username": words.Text(&m.Username), "password": words.Text(&m.Password),
		"auth_level": words.Text(&m.AuthLevel), "table_name": words.Text(&m.TableName),
	}, func(word string) (bool, error) {
		if word != "tls" {
			return false, nil
		}
		return true, words.ReadTLS(d, &m.TLS)
	})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AppManagerModule) Provision(caddy.Context) error {
	err := words.ExpandAll(
		words.Field{Name: "url", Text: m.URL, To: &m.options.URL},
		words.Field{Name: "namespace", Text: m.Namespace, To: &m.options.Namespace},
		words.Field{Name: "database", Text: m.Database, To: &m.options.Database},
		words.Field{Name: "username", Text: m.Username, To: &m.options.Username},
		words.Field{Name: "password", Text: m.Password, To: &m.options.Password},
		words.Field{Name: "auth_level", Text: m.AuthLevel, To: &m.options.AuthLevel},
		words.Field{Name: "table_name", Text: m.TableName, To: &m.options.Table},
	)
	if err != nil {
		return err
	}
	m.options.TLS, err = m.TLS.Options("tls")
	return err
}

// Validate checks what can be checked without the server.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "surrealdb" }

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

// OpenTimeout allows for an index that has to be made.
func (*AppManagerModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open connects to the server, and makes the table if there is none.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

// HistoryModule keeps the histories of channels in SurrealDB.
type HistoryModule struct {
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

	// TablePrefix is what the names of the four tables begin with; they are made if
	// there are none. Default: sockudo_history.
	TablePrefix string `json:"table_prefix,omitempty"`

	// TLS says how to encrypt, with wss:// only. Default: it trusts the authorities of
	// the system.
	TLS *words.TLS `json:"tls,omitempty"`

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
	return words.ReadWith(d, words.Set{
		"url": words.Text(&m.URL), "namespace": words.Text(&m.Namespace), "database": words.Text(&m.Database),
		"username": words.Text(&m.Username), "password": words.Text(&m.Password),
		"auth_level": words.Text(&m.AuthLevel), "table_prefix": words.Text(&m.TablePrefix),
	}, func(word string) (bool, error) {
		if word != "tls" {
			return false, nil
		}
		return true, words.ReadTLS(d, &m.TLS)
	})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *HistoryModule) Provision(caddy.Context) error {
	err := words.ExpandAll(
		words.Field{Name: "url", Text: m.URL, To: &m.options.URL},
		words.Field{Name: "namespace", Text: m.Namespace, To: &m.options.Namespace},
		words.Field{Name: "database", Text: m.Database, To: &m.options.Database},
		words.Field{Name: "username", Text: m.Username, To: &m.options.Username},
		words.Field{Name: "password", Text: m.Password, To: &m.options.Password},
		words.Field{Name: "auth_level", Text: m.AuthLevel, To: &m.options.AuthLevel},
		words.Field{Name: "table_prefix", Text: m.TablePrefix, To: &m.options.TablePrefix},
	)
	if err != nil {
		return err
	}
	m.options.TLS, err = m.TLS.Options("tls")
	return err
}

// Validate checks what can be checked without the server.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*HistoryModule) Driver() string { return "surrealdb" }

// Key identifies the tables and the login.
func (m *HistoryModule) Key() string {
	o := m.options.withDefaults()
	return fmt.Sprintf("%s\x00%q", keyOf(o.Options), o.TablePrefix)
}

// OpenTimeout allows for tables that have to be made.
func (*HistoryModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open connects to the server, and makes the tables if there are none.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options, caddy.Log().Named("sockudo"))
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
	_ storage.Spec[storage.History]    = (*HistoryModule)(nil)
	_ storage.Slow                     = (*HistoryModule)(nil)
)
