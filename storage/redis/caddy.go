package redis

import (
	"context"
	"maps"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/redis/go-redis/v9"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	redis.SetLogger(clientLogger{})
	caddy.RegisterModule(new(AppManagerModule))
	caddy.RegisterModule(new(ClusterAppManagerModule))
}

// clientLogger takes what the client library has to say, which is about
// connections that fail, and comes back to the callers as errors too.
type clientLogger struct{}

// Printf writes a line into Caddy's log.
func (clientLogger) Printf(_ context.Context, format string, v ...any) {
	caddy.Log().Named("redis").Sugar().Debugf(format, v...)
}

// readBlock reads the name of a driver and its block: the words of its connection,
// and further ones.
func readBlock(d *caddyfile.Dispenser, c *Connection, further words.Set) error {
	set := c.words()
	maps.Copy(set, further)
	return words.ReadWith(d, set, func(word string) (bool, error) {
		switch word {
		case "tls":
			return true, words.ReadTLS(d, &c.TLS)
		case "sentinel":
			c.Sentinel = new(Sentinel)
			return true, words.Within(d, c.Sentinel.words(), func(word string) (bool, error) {
				if word != "tls" {
					return false, nil
				}
				return true, words.ReadTLS(d, &c.Sentinel.TLS)
			})
		}
		return false, nil
	})
}

// AppManagerModule keeps apps in Redis.
type AppManagerModule struct {
	Connection

	// Prefix begins the names of all keys. Default: "sockudo:".
	Prefix string `json:"prefix,omitempty"`

	prefix  string
	options Options
}

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.redis", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads:
//
//	redis {
//		url URL                  # redis://USER:PASSWORD@HOST:6379/0 or rediss://…, or:
//		address HOST:PORT        # 127.0.0.1:6379, or:
//		host NAME                # 127.0.0.1
//		port N                   # 6379
//		username NAME
//		password TEXT
//		db N                     # 0
//		prefix TEXT              # sockudo:
//		connection_pool_size N   # 32
//		tls {                    # plain text without it
//			ca FILE              # the authorities of the system
//			cert FILE
//			key FILE
//			insecure_skip_verify
//		}
//		sentinel {               # instead of an address
//			master NAME          # mymaster
//			addresses HOST:PORT...
//			username NAME
//			password TEXT
//			tls { ... }
//		}
//		nodes HOST:PORT...       # of a cluster, instead of an address
//	}
func (m *AppManagerModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return readBlock(d, &m.Connection, words.Set{"prefix": words.Text(&m.Prefix)})
}

// Provision expands the placeholders and reads the files of TLS.
func (m *AppManagerModule) Provision(caddy.Context) error { return m.provision(false) }

func (m *AppManagerModule) provision(cluster bool) (err error) {
	if m.prefix, err = words.Expand("prefix", m.Prefix); err != nil {
		return err
	}
	m.options, err = m.Connection.options(cluster)
	return err
}

// Validate checks the prefix.
func (m *AppManagerModule) Validate() error { return checkTag(m.prefix) }

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "redis" }

// Key identifies the server, the login and the prefix.
func (m *AppManagerModule) Key() string { return m.options.key() + "\x00" + m.prefix }

// Open connects to the server.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, m.prefix, caddy.Log().Named("sockudo"))
}

// ClusterAppManagerModule keeps apps in a cluster of Redis.
type ClusterAppManagerModule struct{ AppManagerModule }

// CaddyModule returns the Caddy module information.
func (*ClusterAppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.redis_cluster", New: func() caddy.Module { return new(ClusterAppManagerModule) }}
}

// Provision expands the placeholders and reads the files of TLS.
func (m *ClusterAppManagerModule) Provision(caddy.Context) error { return m.provision(true) }

// Driver is the driver's word in the configuration.
func (*ClusterAppManagerModule) Driver() string { return "redis_cluster" }
