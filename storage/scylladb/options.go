package scylladb

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/words"
)

// defaultPort is where ScyllaDB and Cassandra listen unless somebody has said
// otherwise.
const defaultPort = "9042"

// Options say which table to use, and as whom.
type Options struct {
	// Nodes are HOST:PORT of some nodes, which know the others. None means
	// 127.0.0.1:9042.
	Nodes []string
	// Keyspace is made if there is none. Default: sockudo.
	Keyspace string
	// Table is the name of the table of the apps. Default: applications.
	Table string
	// Username and Password log in, both or none.
	Username, Password string
	// ReplicationClass is that of a keyspace that is made. Default: SimpleStrategy.
	ReplicationClass string
	// ReplicationFactor is how many nodes keep a record, in a keyspace that is made.
	// Default: 3.
	ReplicationFactor int
	// TLS encrypts. Nil means plain text.
	TLS *words.TLSOptions
}

func (o Options) withDefaults() Options {
	if len(o.Nodes) == 0 {
		o.Nodes = []string{"127.0.0.1:" + defaultPort}
	}
	o.Keyspace, o.Table = cmp.Or(o.Keyspace, "sockudo"), cmp.Or(o.Table, "applications")
	o.ReplicationClass, o.ReplicationFactor = cmp.Or(o.ReplicationClass, "SimpleStrategy"), cmp.Or(o.ReplicationFactor, 3)
	return o
}

// The servers allow 48 letters in a name; that of the table of keys is longer by
// that of its ending.
var (
	keyspaceName = regexp.MustCompile(`^[A-Za-z0-9_]{1,48}$`)
	tableName    = regexp.MustCompile(`^[A-Za-z0-9_]{1,43}$`)
	className    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.]{0,127}$`)
)

// check refuses options that could not work, or would mean something else than
// they say.
func (o Options) check() error {
	o = o.withDefaults()
	switch {
	case !keyspaceName.MatchString(o.Keyspace):
		return fmt.Errorf("keyspace %q may hold letters, digits and _ only, 48 at most", o.Keyspace)
	case strings.HasPrefix(strings.ToLower(o.Keyspace), "system"):
		return fmt.Errorf("keyspace %q is one of the server's own", o.Keyspace)
	case !tableName.MatchString(o.Table):
		return fmt.Errorf("table_name %q may hold letters, digits and _ only, 43 at most", o.Table)
	case !className.MatchString(o.ReplicationClass):
		return fmt.Errorf("replication_class %q is not the name of a class such as SimpleStrategy or NetworkTopologyStrategy", o.ReplicationClass)
	case o.ReplicationFactor < 1:
		return fmt.Errorf("replication_factor %d must be at least 1", o.ReplicationFactor)
	case (o.Username == "") != (o.Password == ""):
		return errors.New("username and password go together; one of them is not set")
	}
	_, first, _ := net.SplitHostPort(o.Nodes[0])
	for _, node := range o.Nodes {
		host, port, err := net.SplitHostPort(node)
		if err != nil || host == "" {
			return fmt.Errorf("nodes: %q is not like HOST:PORT", node)
		}
		if port != first {
			return fmt.Errorf("nodes: %s has another port than %s; the nodes of a cluster have one", node, o.Nodes[0])
		}
	}
	if _, err := o.TLS.Config(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// place names the keyspace for errors and logs. It holds no secret.
func (o Options) place() string {
	o = o.withDefaults()
	return "scylladb " + strings.Join(o.Nodes, ", ") + "/" + o.Keyspace
}

// key identifies the table and the login. How a keyspace is made is no part of it.
// It holds secrets.
func (o Options) key() string {
	o = o.withDefaults()
	o.Nodes = slices.Sorted(slices.Values(o.Nodes))
	o.ReplicationClass, o.ReplicationFactor = "", 0
	text, err := json.Marshal(o) //nolint:gosec // it is compared, and never shown
	if err != nil {              // it has nothing that could not be written
		panic(err)
	}
	return string(text)
}

// quote makes an identifier of a checked name. Sockudo writes names without quotes,
// so that the servers read them in small letters.
func quote(name string) string { return `"` + strings.ToLower(name) + `"` }
