package redis

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// Connection says which Redis to use, and as whom. It is what the settings of all
// drivers of this package have in common.
type Connection struct {
	// URL is the whole address: redis://USER:PASSWORD@HOST:6379/DB, rediss://… for TLS,
	// or unix:///PATH?db=DB. It excludes address, host, port, nodes and sentinel, and
	// what it says itself must not be written beside it. Default: none.
	URL string `json:"url,omitempty"`

	// Address is HOST:PORT of the server. It excludes host and port. Default:
	// 127.0.0.1:6379.
	Address string `json:"address,omitempty"`

	// Host is the name or address of the server. One that begins with rediss:// is
	// spoken to with TLS. Default: 127.0.0.1.
	Host string `json:"host,omitempty"`

	// Port is that of the server. Default: 6379.
	Port int `json:"port,omitempty"`

	// Username logs in, where the server has an access control list. Default: none,
	// which is the user "default".
	Username string `json:"username,omitempty"`

	// Password logs in. It had best be a placeholder such as {env.REDIS_PASSWORD} or
	// {file./run/secrets/redis}. Default: none.
	Password string `json:"password,omitempty"`

	// DB is the number of the database; a cluster has none but 0. Default: 0.
	DB int `json:"db,omitempty"`

	// ConnectionPoolSize bounds the open connections, of a cluster those to each node.
	// Default: 32.
	ConnectionPoolSize int `json:"connection_pool_size,omitempty"`

	// Nodes are HOST:PORT of some nodes of a cluster; they name the others. They
	// exclude address, host, port and sentinel. Default: none.
	Nodes []string `json:"nodes,omitempty"`

	// Sentinel finds the server. It excludes address, host, port and nodes. Default:
	// none.
	Sentinel *Sentinel `json:"sentinel,omitempty"`

	// TLS encrypts the connections to the server. Default: plain text.
	TLS *words.TLS `json:"tls,omitempty"`
}

// Sentinel says which Sentinels know the server.
type Sentinel struct {
	// Master is what they call the server. Default: mymaster.
	Master string `json:"master,omitempty"`

	// Addresses are HOST:PORT of some Sentinels. Required.
	Addresses []string `json:"addresses,omitempty"`

	// Username logs in to a Sentinel. Default: none.
	Username string `json:"username,omitempty"`

	// Password logs in to a Sentinel, not to the server. Default: none.
	Password string `json:"password,omitempty"`

	// TLS encrypts the connections to a Sentinel. Default: plain text.
	TLS *words.TLS `json:"tls,omitempty"`
}

// words are those of a block, but for the blocks within.
func (c *Connection) words() words.Set {
	return words.Set{
		"url": words.Text(&c.URL), "address": words.Text(&c.Address), "host": words.Text(&c.Host), "port": words.Number(&c.Port),
		"username": words.Text(&c.Username), "password": words.Text(&c.Password), "db": words.Number(&c.DB),
		"connection_pool_size": words.Number(&c.ConnectionPoolSize), "nodes": words.List(&c.Nodes),
	}
}

// words are those of the block, but for tls.
func (s *Sentinel) words() words.Set {
	return words.Set{
		"master": words.Text(&s.Master), "addresses": words.List(&s.Addresses),
		"username": words.Text(&s.Username), "password": words.Text(&s.Password),
	}
}

// options expands the placeholders, and reads the files of TLS. cluster says that
// the server is one even if only one of its nodes is named.
func (c *Connection) options(cluster bool) (Options, error) {
	o := Options{DB: c.DB, PoolSize: c.ConnectionPoolSize, Cluster: cluster || len(c.Nodes) > 0}
	var address, host, whole string
	err := words.ExpandAll(
		words.Field{Name: "url", Text: c.URL, To: &whole},
		words.Field{Name: "address", Text: c.Address, To: &address},
		words.Field{Name: "host", Text: c.Host, To: &host},
		words.Field{Name: "username", Text: c.Username, To: &o.Username},
		words.Field{Name: "password", Text: c.Password, To: &o.Password},
	)
	if err == nil {
		o.Addresses, err = words.Addresses("nodes", c.Nodes, "6379")
	}
	if err == nil {
		err = c.check()
	}
	if err == nil {
		o.TLS, err = c.TLS.Options("tls")
	}
	if err != nil {
		return o, err
	}
	switch {
	case whole != "":
		err = o.takeURL(whole)
	case host != "" || c.Port != 0:
		err = o.takeHost(host, c.Port)
	case address != "":
		var place string
		place, err = words.Address("address", address, "6379")
		o.Addresses = []string{place}
	}
	if err == nil && c.Sentinel != nil {
		o.Sentinel, err = c.Sentinel.options()
	}
	if err != nil {
		return o, err
	}
	return o, o.check()
}

// check looks for more than one way to say where the server is.
func (c *Connection) check() error {
	var ways []string
	for _, way := range []struct {
		name    string
		written bool
	}{
		{"url", c.URL != ""},
		{"address", c.Address != ""},
		{"host or port", c.Host != "" || c.Port != 0},
		{"nodes", len(c.Nodes) > 0},
		{"sentinel", c.Sentinel != nil},
	} {
		if way.written {
			ways = append(ways, way.name)
		}
	}
	switch {
	case len(ways) > 1:
		return fmt.Errorf("%s must not be written beside %s", ways[0], ways[1])
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("port %d is not from 1 to 65535", c.Port)
	}
	return nil
}

// takeURL takes the server from a URL. Errors do not show it, since it may hold a
// password.
func (o *Options) takeURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return errors.New("url cannot be read; it is like redis://USER:PASSWORD@HOST:6379/0")
	}
	password, _ := u.User.Password()
	path := strings.Trim(u.Path, "/")
	db := u.Query().Get("db")
	for name := range u.Query() {
		if name != "db" {
			return fmt.Errorf("url: %s has no meaning here; only db may stand behind the question mark", name)
		}
	}
	switch u.Scheme {
	case "redis", "rediss":
		port := u.Port()
		if port == "" {
			port = "6379"
		}
		host := u.Hostname()
		if host == "" {
			host = "127.0.0.1"
		}
		o.Addresses = []string{net.JoinHostPort(host, port)}
		if u.Scheme == "rediss" && o.TLS == nil {
			o.TLS = new(words.TLSOptions)
		}
		if db != "" && path != "" {
			return errors.New("url: it names the database twice")
		}
		db += path
	case "unix":
		o.Addresses = []string{u.Path}
	default:
		return errors.New("url must begin with redis://, rediss:// or unix://")
	}
	for _, twice := range []struct{ name, own, urls string }{
		{"username", o.Username, u.User.Username()}, {"password", o.Password, password}, {"db", positive(o.DB), db},
	} {
		if twice.own != "" && twice.urls != "" {
			return fmt.Errorf("%s is written in the url and beside it", twice.name)
		}
	}
	o.Username, o.Password = o.Username+u.User.Username(), o.Password+password
	if db == "" {
		return nil
	}
	if o.DB, err = strconv.Atoi(db); err != nil {
		return errors.New("url: the database is not a number")
	}
	return nil
}

func positive(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// takeHost takes the server from a host, which may begin with a scheme, and a port.
func (o *Options) takeHost(host string, port int) error {
	if rest, ok := strings.CutPrefix(host, "rediss://"); ok {
		host = rest
		if o.TLS == nil {
			o.TLS = new(words.TLSOptions)
		}
	}
	host = strings.Trim(strings.TrimPrefix(host, "redis://"), "[]")
	if strings.ContainsAny(host, "/@ ") {
		return errors.New("host must be a name or address; a whole address is a url")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if port == 0 {
		port = 6379
	}
	o.Addresses = []string{net.JoinHostPort(host, strconv.Itoa(port))}
	return nil
}

// options expands the placeholders.
func (s *Sentinel) options() (*SentinelOptions, error) {
	o := new(SentinelOptions)
	err := words.ExpandAll(
		words.Field{Name: "sentinel: master", Text: s.Master, To: &o.Master},
		words.Field{Name: "sentinel: username", Text: s.Username, To: &o.Username},
		words.Field{Name: "sentinel: password", Text: s.Password, To: &o.Password},
	)
	if err != nil {
		return nil, err
	}
	if o.Master == "" {
		o.Master = "mymaster"
	}
	if o.Addresses, err = words.Addresses("sentinel: addresses", s.Addresses, "26379"); err != nil {
		return nil, err
	}
	if len(o.Addresses) == 0 {
		return nil, errors.New("sentinel: addresses are missing")
	}
	o.TLS, err = s.TLS.Options("sentinel: tls")
	return o, err
}
