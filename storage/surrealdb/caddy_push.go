package surrealdb

import (
	"context"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

// PushStoreModule keeps the records of push notifications in SurrealDB: devices,
// subscriptions and publishes. What it has accepted is as durable as the server. That should
// keep data in RocksDB or TiKV if several nodes share it.
type PushStoreModule struct {
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

	// TableName is the table of the records; it is made if there is none. It may hold
	// letters, digits and _ only, 100 at most. Default: sockudo_push.
	TableName string `json:"table_name,omitempty"`

	// TLS says how to encrypt, with wss:// only. Default: it trusts the authorities of
	// the system.
	TLS *words.TLS `json:"tls,omitempty"`

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
func (m *PushStoreModule) Provision(caddy.Context) error {
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

// Open connects to the server, and makes the table if there is none.
func (m *PushStoreModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, m.options, caddy.Log().Named("sockudo"))
}

var (
	_ storage.Spec[storage.PushStore] = (*PushStoreModule)(nil)
	_ storage.Slow                    = (*PushStoreModule)(nil)
)
