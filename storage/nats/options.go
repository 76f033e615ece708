package nats

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// defaultServer is where NATS listens unless somebody has said otherwise.
const defaultServer = "nats://127.0.0.1:4222"

// Options say which NATS to use, and as whom.
type Options struct {
	// Servers are addresses of one cluster: HOST, HOST:PORT, nats://… or tls://…, which
	// may hold a user and a password. None means nats://127.0.0.1:4222.
	Servers []string
	// Prefix begins the names of all subjects. Empty means "sockudo_adapter:".
	Prefix string
	// Username and Password log in.
	Username, Password string
	// Token logs in.
	Token string
	// CredentialsFile holds the JWT and the key of a user.
	CredentialsFile string
	// NkeyFile holds the seed of a key.
	NkeyFile string
	// TLS encrypts. Nil means plain text, unless the server demands TLS.
	TLS *words.TLSOptions
	// Echo lets the server send back what this node has published. It is ignored then.
	Echo bool
	Tuning
}

// Tuning are options that may change while an adapter runs. All but those of the
// relay count from the next connection on.
type Tuning struct {
	relay.Tuning
	// ConnectionTimeout bounds connecting to one server. Zero means 5s.
	ConnectionTimeout time.Duration
	// Capacity is the number of messages that have come and that the client keeps for
	// the relay; above it they are dropped. Zero means 16384.
	Capacity int
}

func (o Options) withDefaults() Options {
	if len(o.Servers) == 0 {
		o.Servers = []string{defaultServer}
	}
	o.Prefix = cmp.Or(o.Prefix, defaultPrefix)
	o.Tuning = o.Tuning.withDefaults()
	return o
}

func (t Tuning) withDefaults() Tuning {
	t.AnswerTimeout = cmp.Or(t.AnswerTimeout, 5*time.Second)
	t.ConnectionTimeout = cmp.Or(t.ConnectionTimeout, 5*time.Second)
	t.Capacity = cmp.Or(t.Capacity, 16<<10)
	return t
}

// check looks for what does not go together.
func (o Options) check() error {
	if err := checkPrefix(o.withDefaults().Prefix); err != nil {
		return err
	}
	var ways []string
	for _, way := range []struct {
		name    string
		written bool
	}{
		{"username or password", o.Username != "" || o.Password != ""},
		{"token", o.Token != ""},
		{"credentials_file", o.CredentialsFile != ""},
		{"nkey_file", o.NkeyFile != ""},
	} {
		if way.written {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) > 1:
		return fmt.Errorf("%s must not be written beside %s", ways[0], ways[1])
	case (o.Username == "") != (o.Password == ""):
		return errors.New("username and password are written together or not at all")
	}
	for _, text := range o.withDefaults().Servers {
		s, err := parseServer(text)
		switch {
		case err != nil:
			return err
		case s.User != nil && len(ways) > 0:
			return fmt.Errorf("servers: %s has a user in it, and %s is written too", s.Host, ways[0])
		}
	}
	if _, err := o.TLS.Config(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// parseServer reads the address of a server. Errors do not show it, since it may
// hold a password.
func parseServer(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("servers: an address cannot be read; it is like HOST:PORT, nats://HOST:PORT or tls://HOST:PORT")
	}
	if u.Scheme != "nats" && u.Scheme != "tls" {
		return nil, fmt.Errorf("servers: %s is not spoken here; write nats:// or tls://", u.Scheme)
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":4222"
	}
	return u, nil
}

// key identifies what the options lead to. It holds secrets.
func (o Options) key() string {
	o = o.withDefaults()
	o.Tuning = Tuning{}
	text, err := json.Marshal(o) //nolint:gosec // a key is hashed before anybody sees it
	if err != nil {              // it has nothing that could not be written
		panic(err)
	}
	return string(text)
}

// place names the servers for errors and logs. It holds no secret.
func (o Options) place() string {
	var hosts []string
	for _, text := range o.withDefaults().Servers {
		if u, err := parseServer(text); err == nil {
			hosts = append(hosts, u.Host)
		}
	}
	return strings.Join(hosts, ",")
}
