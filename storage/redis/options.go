package redis

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// defaultAddress is where Redis listens unless somebody has said otherwise.
const defaultAddress = "127.0.0.1:6379"

// Options say which Redis to use, and as whom.
type Options struct {
	// Addresses are HOST:PORT of the server, or of some nodes of a cluster. One that
	// begins with a slash is a Unix socket. None means 127.0.0.1:6379.
	Addresses []string
	// Cluster says that the addresses are nodes of a cluster.
	Cluster bool
	// Sentinel finds the server. It excludes Addresses and Cluster.
	Sentinel *SentinelOptions
	// Username logs in, by the server's access control list. Empty means "default".
	Username string
	// Password logs in. Empty means that the server asks for none.
	Password string
	// DB is the number of the database. A cluster has none but 0.
	DB int
	// TLS encrypts. Nil means plain text.
	TLS *words.TLSOptions
	// PoolSize bounds the connections, of a cluster those to each node. Connections
	// that only listen come on top. Zero means 32.
	PoolSize int
	// ReplyTimeout bounds sending one command, and waiting for its reply. Zero means 3s.
	ReplyTimeout time.Duration `json:",omitzero"`
}

// SentinelOptions say which Sentinels know the server.
type SentinelOptions struct {
	// Master is what they call it.
	Master string
	// Addresses are HOST:PORT of some of them.
	Addresses []string
	// Username and Password log in to a Sentinel, not to the server.
	Username, Password string
	// TLS encrypts what is said to a Sentinel. Nil means plain text.
	TLS *words.TLSOptions
}

func (o Options) withDefaults() Options {
	if len(o.Addresses) == 0 && o.Sentinel == nil {
		o.Addresses = []string{defaultAddress}
	}
	o.PoolSize = cmp.Or(o.PoolSize, 32)
	return o
}

// check looks for what does not go together.
func (o Options) check() error {
	switch {
	case o.Sentinel != nil && (len(o.Addresses) > 0 || o.Cluster):
		return errors.New("sentinel must not be written beside an address of the server or of a cluster")
	case o.Sentinel != nil && (o.Sentinel.Master == "" || len(o.Sentinel.Addresses) == 0):
		return errors.New("sentinel: master and addresses are required")
	case len(o.Addresses) > 1 && !o.Cluster:
		return errors.New("several addresses are those of a cluster: write them as nodes")
	case o.Cluster && o.DB != 0:
		return fmt.Errorf("db %d: a cluster has no database but 0", o.DB)
	case o.DB < 0:
		return fmt.Errorf("db %d must not be negative", o.DB)
	case o.PoolSize < 0:
		return fmt.Errorf("connection_pool_size %d must not be negative", o.PoolSize)
	}
	if o.Sentinel != nil {
		if _, err := o.Sentinel.TLS.Config(); err != nil {
			return fmt.Errorf("sentinel: tls: %w", err)
		}
	}
	if _, err := o.TLS.Config(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// key identifies what the options lead to. It holds secrets.
func (o Options) key() string {
	text, err := json.Marshal(o.withDefaults()) //nolint:gosec // it is compared, and never shown
	if err != nil {                             // it has nothing that could not be written
		panic(err)
	}
	return string(text)
}

// place names the server for errors and logs. It holds no secret.
func (o Options) place() string {
	switch o = o.withDefaults(); {
	case o.Sentinel != nil:
		return fmt.Sprintf("redis %s/%d by Sentinel %s", o.Sentinel.Master, o.DB, strings.Join(o.Sentinel.Addresses, ", "))
	case o.Cluster:
		return "redis cluster " + strings.Join(o.Addresses, ", ")
	}
	return fmt.Sprintf("redis %s/%d", o.Addresses[0], o.DB)
}

// unverified names the connections that accept any certificate.
func (o Options) unverified() []string {
	var names []string
	if o.TLS != nil && o.TLS.SkipVerify {
		names = append(names, "tls")
	}
	if o.Sentinel != nil && o.Sentinel.TLS != nil && o.Sentinel.TLS.SkipVerify {
		names = append(names, "sentinel tls")
	}
	return names
}
