package nats

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

func init() { caddy.RegisterModule(new(AdapterModule)) }

// AdapterModule carries events between nodes by way of NATS. Each hub has a
// connection of its own.
type AdapterModule struct {
	// Servers are addresses of one cluster of NATS: HOST, HOST:PORT, nats://… or tls://…
	// for TLS. The servers name the others. Default: nats://127.0.0.1:4222.
	Servers []string `json:"servers,omitempty"`

	// Prefix begins the names of all subjects. Nodes with equal prefixes are one
	// cluster. Default: "sockudo_adapter:".
	Prefix string `json:"prefix,omitempty"`

	// Username logs in, together with a password. Default: none.
	Username string `json:"username,omitempty"`

	// Password logs in. It had best be a placeholder such as {env.NATS_PASSWORD} or
	// {file./run/secrets/nats}. Default: none.
	Password string `json:"password,omitempty"`

	// Token logs in, in place of a username. Default: none.
	Token string `json:"token,omitempty"`

	// CredentialsFile is a file with the JWT and the key of a user, as nsc writes it. It
	// is read with each connection. Default: none.
	CredentialsFile string `json:"credentials_file,omitempty"`

	// NkeyFile is a file with the seed of a key. It is read with each connection.
	// Default: none.
	NkeyFile string `json:"nkey_file,omitempty"`

	// TLS encrypts the connection. Default: plain text, unless the server demands TLS.
	TLS *words.TLS `json:"tls,omitempty"`

	// ConnectionTimeout bounds connecting to one server. A change counts from the next
	// connection on. Default: 5s.
	ConnectionTimeout caddy.Duration `json:"connection_timeout,omitempty"`

	// RequestTimeout bounds the wait for an answer of the server; one that gives none is
	// left. A change counts from the reload on. Default: 5s.
	RequestTimeout caddy.Duration `json:"request_timeout,omitempty"`

	// MaxReconnects is the number of attempts to connect again, after which the node
	// stays alone until the next reload. Default: 0, without end.
	MaxReconnects int `json:"max_reconnects,omitempty"`

	// SubscriptionCapacity is the number of messages that may have come and not been
	// looked at; above it they are dropped, which counts as an outage. A change counts
	// from the next connection on. Default: 16384.
	SubscriptionCapacity int `json:"subscription_capacity,omitempty"`

	// NoEcho keeps the server from sending back to a node what it has published itself.
	// Default: on.
	NoEcho *bool `json:"no_echo,omitempty"`

	hub     string
	options Options
}

// CaddyModule returns the Caddy module information.
func (*AdapterModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.adapters.nats", New: func() caddy.Module { return new(AdapterModule) }}
}

// UnmarshalCaddyfile reads:
//
//	nats {
//		servers URL...              # nats://127.0.0.1:4222
//		prefix TEXT                 # sockudo_adapter:
//		username NAME
//		password TEXT
//		token TEXT                  # or
//		credentials_file FILE       # or
//		nkey_file FILE
//		tls {                       # plain text without it
//			ca FILE                 # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//		connection_timeout DURATION # 5s
//		request_timeout DURATION    # 5s
//		max_reconnects N            # 0: without end
//		subscription_capacity N     # 16384
//		no_echo on|off              # on
//	}
func (m *AdapterModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	set := words.Set{
		"servers": words.List(&m.Servers), "prefix": words.Text(&m.Prefix),
		"username": words.Text(&m.Username), "password": words.Text(&m.Password), "token": words.Text(&m.Token),
		"credentials_file": words.Text(&m.CredentialsFile), "nkey_file": words.Text(&m.NkeyFile),
		"connection_timeout": words.Duration(&m.ConnectionTimeout), "request_timeout": words.Duration(&m.RequestTimeout),
		"max_reconnects": words.Number(&m.MaxReconnects), "subscription_capacity": words.Number(&m.SubscriptionCapacity),
		"no_echo": words.Pointer(&m.NoEcho, words.Switch),
	}
	return words.ReadWith(d, set, words.OrTLS(d, &m.TLS))
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AdapterModule) Provision(caddy.Context) (err error) {
	o := Options{
		Echo: !words.Or(m.NoEcho, true),
		Tuning: Tuning{
			Tuning:            relay.Tuning{AnswerTimeout: time.Duration(m.RequestTimeout), MaxReconnects: m.MaxReconnects},
			ConnectionTimeout: time.Duration(m.ConnectionTimeout), Capacity: m.SubscriptionCapacity,
		},
	}
	err = words.ExpandAll(
		words.Field{Name: "prefix", Text: m.Prefix, To: &o.Prefix},
		words.Field{Name: "username", Text: m.Username, To: &o.Username},
		words.Field{Name: "password", Text: m.Password, To: &o.Password},
		words.Field{Name: "token", Text: m.Token, To: &o.Token},
		words.Field{Name: "credentials_file", Text: m.CredentialsFile, To: &o.CredentialsFile},
		words.Field{Name: "nkey_file", Text: m.NkeyFile, To: &o.NkeyFile},
	)
	if err != nil {
		return err
	}
	for _, text := range m.Servers {
		if text, err = words.Expand("servers", text); err != nil {
			return err
		}
		for part := range strings.SplitSeq(text, ",") {
			o.Servers = append(o.Servers, strings.TrimSpace(part))
		}
	}
	o.TLS, err = m.TLS.Options("tls")
	m.options = o
	return err
}

// Validate checks what can be checked without the server.
func (m *AdapterModule) Validate() error {
	err := words.NotNegative(map[string]int64{
		"connection_timeout": int64(m.ConnectionTimeout), "request_timeout": int64(m.RequestTimeout),
		"max_reconnects": int64(m.MaxReconnects), "subscription_capacity": int64(m.SubscriptionCapacity),
	})
	if err != nil {
		return err
	}
	return m.options.check()
}

// Driver is the driver's word in the configuration.
func (*AdapterModule) Driver() string { return "nats" }

// ForHub names the hub. Each has a connection of its own, because what one wants to
// hear is not what another does.
func (m *AdapterModule) ForHub(name string) { m.hub = name }

// Key identifies the hub, the servers, the login and the prefix.
func (m *AdapterModule) Key() string { return m.hub + "\x00" + m.options.key() }

// Open connects to the servers.
func (m *AdapterModule) Open(ctx context.Context) (storage.Adapter, error) {
	return OpenAdapter(ctx, m.options, caddy.Log().Named("sockudo"))
}

// Tune takes the timeouts and bounds of a newer configuration.
func (a *Adapter) Tune(spec any) error {
	m, ok := spec.(*AdapterModule)
	if !ok {
		return fmt.Errorf("%T does not tune an adapter of NATS", spec)
	}
	a.SetTuning(m.options.Tuning)
	return nil
}

var (
	_ storage.Spec[storage.Adapter] = (*AdapterModule)(nil)
	_ storage.Tuner                 = (*Adapter)(nil)
)
