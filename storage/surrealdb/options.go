package surrealdb

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// The levels at which a user of SurrealDB is defined.
const (
	levelRoot      = "root"
	levelNamespace = "namespace"
	levelDatabase  = "database"
)

// Options say which table of which SurrealDB to use, and as whom.
type Options struct {
	// URL is where the server is: ws://HOST:PORT, or wss:// with TLS; http:// and
	// https:// mean the same. A path is for servers behind a proxy. Default:
	// ws://127.0.0.1:8000.
	URL string
	// Namespace and Database hold the table. Default: sockudo.
	Namespace, Database string
	// Username and Password sign in. Default: root.
	Username, Password string
	// AuthLevel is where the user is defined: root, namespace or database. Default:
	// root.
	AuthLevel string
	// Table is the name of the table. Default: applications.
	Table string
	// TLS says how to encrypt, with wss:// only. Nil trusts the authorities of the
	// system.
	TLS *words.TLSOptions
}

func (o Options) withDefaults() Options {
	o.URL = cmp.Or(o.URL, "ws://127.0.0.1:8000")
	o.Namespace, o.Database = cmp.Or(o.Namespace, "sockudo"), cmp.Or(o.Database, "sockudo")
	o.Username, o.Password = cmp.Or(o.Username, "root"), cmp.Or(o.Password, "root")
	o.AuthLevel, o.Table = cmp.Or(o.AuthLevel, levelRoot), cmp.Or(o.Table, "applications")
	return o
}

// tableName is what Sockudo takes as the name of a table. It needs no quoting.
var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// check refuses options that could not work or would mean something else than
// they say. It shows no secret.
func (o Options) check() error {
	o = o.withDefaults()
	endpoint, err := o.endpoint()
	switch {
	case err != nil:
		return err
	case !tableName.MatchString(o.Table):
		return fmt.Errorf("table_name %q may hold letters, digits and _ only, and not begin with a digit", o.Table)
	case o.AuthLevel != levelRoot && o.AuthLevel != levelNamespace && o.AuthLevel != levelDatabase:
		return fmt.Errorf("auth_level %q is not %s, %s or %s", o.AuthLevel, levelRoot, levelNamespace, levelDatabase)
	case o.TLS != nil && endpoint.Scheme != "wss":
		return errors.New("tls is written, but url does not begin with wss://")
	}
	for _, name := range []struct{ word, value string }{{"namespace", o.Namespace}, {"database", o.Database}} {
		if strings.ContainsFunc(name.value, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }) {
			return fmt.Errorf("%s %q holds characters that no name has", name.word, name.value)
		}
	}
	if _, err := o.TLS.Config(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// endpoint is the address of the WebSocket.
func (o Options) endpoint() (*url.URL, error) {
	u, err := url.Parse(o.withDefaults().URL)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("url is not one such as ws://127.0.0.1:8000, without user, password and query")
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return nil, fmt.Errorf("url must begin with ws://, wss://, http:// or https://, not %s://", u.Scheme)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
	}
	u.RawPath = ""
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, "/rpc") {
		u.Path += "/rpc"
	}
	return u, nil
}

// place names the database for errors and logs. It holds no secret.
func (o Options) place() string {
	o = o.withDefaults()
	host := "?"
	if u, err := o.endpoint(); err == nil {
		host = u.Host
	}
	return "surrealdb " + host + "/" + o.Namespace + "/" + o.Database
}

// login are the parameters of signing in.
func (o Options) login() map[string]any {
	login := map[string]any{"user": o.Username, "pass": o.Password}
	if o.AuthLevel != levelRoot {
		login["NS"] = o.Namespace
	}
	if o.AuthLevel == levelDatabase {
		login["DB"] = o.Database
	}
	return login
}
