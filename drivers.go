package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	_ "github.com/sockudo/caddy-sockudo/push/apns" // the providers and drivers of the default build
	_ "github.com/sockudo/caddy-sockudo/push/fcm"
	_ "github.com/sockudo/caddy-sockudo/push/hms"
	_ "github.com/sockudo/caddy-sockudo/push/webpush"
	_ "github.com/sockudo/caddy-sockudo/push/wns"
	_ "github.com/sockudo/caddy-sockudo/storage/dynamodb"
	_ "github.com/sockudo/caddy-sockudo/storage/memory"
	_ "github.com/sockudo/caddy-sockudo/storage/nats"
	_ "github.com/sockudo/caddy-sockudo/storage/redis"
	_ "github.com/sockudo/caddy-sockudo/storage/scylladb"
	_ "github.com/sockudo/caddy-sockudo/storage/sql"
	_ "github.com/sockudo/caddy-sockudo/storage/surrealdb"
)

// The kinds of drivers, by the word that selects one.
const (
	kindApps        = "app_manager"
	kindAdapter     = "adapter"
	kindCache       = "cache"
	kindQueue       = "queue"
	kindRateLimiter = "rate_limiter"
	kindHistory     = "history"
	// kindPushStore is written within push.
	kindPushStore = "storage"
)

// namespaces are those of the modules, by kind.
var namespaces = map[string]string{
	kindApps:        "sockudo.app_managers",
	kindAdapter:     "sockudo.adapters",
	kindCache:       "sockudo.caches",
	kindQueue:       "sockudo.queues",
	kindRateLimiter: "sockudo.rate_limiters",
	kindHistory:     "sockudo.histories",
	kindPushStore:   "sockudo.push_stores",
}

// defaultDrivers are those of a hub that names none.
var defaultDrivers = map[string]string{
	kindApps: "memory", kindAdapter: "local", kindCache: "memory", kindQueue: "sqlite", kindRateLimiter: "memory",
	kindHistory: "sqlite", kindPushStore: "sqlite",
}

// driverAliases are other words for a driver.
var driverAliases = map[string]string{
	"pgsql": "postgres", "postgresql": "postgres", "scylla": "scylladb", "surreal": "surrealdb",
	"gcp_pubsub": "google_pubsub", "pubsub": "google_pubsub", "rabbit_mq": "rabbitmq", "apache_iggy": "iggy",
}

// driverPackages are where the drivers of this project are, below storage/.
var driverPackages = map[string]string{
	"redis": "redis", "redis_cluster": "redis", "postgres": "sql", "mysql": "sql", "sqlite": "sql", "nats": "nats",
	"kafka": "kafka", "rabbitmq": "rabbitmq", "pulsar": "pulsar", "google_pubsub": "google_pubsub", "iggy": "iggy",
	"sqs": "sqs", "sns": "sns", "dynamodb": "dynamodb", "scylladb": "scylladb", "surrealdb": "surrealdb",
	"memory": "memory", "local": "memory",
}

// laterOfDriver are words beside a driver's own for features that this version
// does not have.
var laterOfDriver = map[string][]string{
	"sockudo.adapters": {
		"fallback_to_local", "socket_counting", "enable_socket_counting", "aggregate_counts", "fast_presence_transitions",
		"buffer_multiplier_per_cpu", "nodes_number", "discovery_max_wait_ms", "discovery_idle_wait_ms", "client_capacity",
		"presence_sync_chunk_size",
	},
}

func isLaterOfDriver(namespace, word string) bool {
	return slices.Contains(laterOfDriver[namespace], word)
}

// driverName is the one spelling of a driver's name.
func driverName(word string) string {
	name := strings.ReplaceAll(strings.ToLower(word), "-", "_")
	if other, ok := driverAliases[name]; ok {
		return other
	}
	return name
}

// findDriver is the id of the module of a driver. It is an error if that is not
// part of this Caddy.
func findDriver(namespace, word string) (string, error) {
	name := driverName(word)
	id := namespace + "." + name
	if _, err := caddy.GetModule(id); err == nil {
		return id, nil
	}
	if folder, ok := driverPackages[name]; ok && namespace != namespaces[kindPushStore] {
		return "", fmt.Errorf("driver %q is not compiled in: there is no module %s; build Caddy with xcaddy build --with github.com/sockudo/caddy-sockudo/storage/%s", word, id, folder)
	}
	var known []string
	for _, m := range caddy.GetModules(namespace) {
		known = append(known, m.ID.Name())
	}
	hint := ""
	if n := nearest(name, slices.Clone(known)); n != "" {
		hint = "; did you mean " + n + "?"
	}
	return "", fmt.Errorf("driver %q is not compiled in: there is no module %s%s; this Caddy has %s, others come with xcaddy build --with PACKAGE", word, id, hint, strings.Join(known, ", "))
}

// driverChoice is a driver that a configuration names, with its own settings.
type driverChoice struct {
	driver string // its one spelling
	module string // the id of its module
	config json.RawMessage
}

// raw are the objects that select drivers, by kind.
func (c *HubConfig) raw() map[string]json.RawMessage {
	return map[string]json.RawMessage{
		kindApps: c.AppManagerRaw, kindAdapter: c.AdapterRaw, kindCache: c.CacheRaw, kindQueue: c.QueueRaw,
		kindRateLimiter: rawOf(c.RateLimiter), kindHistory: rawOf(c.History), kindPushStore: c.pushStorage(),
	}
}

// pushStorage is the object that selects what keeps push, whichever way it is written.
func (c *HubConfig) pushStorage() json.RawMessage {
	if c.Push == nil {
		return nil
	}
	if raw := c.Push.StorageRaw; raw != nil || c.Push.StorageDriver == "" {
		return raw
	}
	raw, _ := json.Marshal(map[string]string{"driver": c.Push.StorageDriver}) //nolint:errchkjson // it is text
	return raw
}

// setRaw replaces the object that selects a driver.
func (c *HubConfig) setRaw(kind string, raw json.RawMessage) {
	switch kind {
	case kindApps:
		c.AppManagerRaw = raw
	case kindAdapter:
		c.AdapterRaw = raw
	case kindCache:
		c.CacheRaw = raw
	case kindQueue:
		c.QueueRaw = raw
	case kindRateLimiter:
		takeRaw(section(&c.RateLimiter), raw)
	case kindHistory:
		takeRaw(section(&c.History), raw)
	case kindPushStore:
		p := section(&c.Push)
		if p.StorageRaw == nil {
			p.StorageDriver = "" // raw says it
		}
		p.StorageRaw = raw
	}
}

func (c *HubConfig) driverChoices() (map[string]driverChoice, error) {
	choices := map[string]driverChoice{}
	for kind, raw := range c.raw() {
		if kind == kindHistory || kind == kindPushStore {
			continue // which are there only if something is kept, see resolveHistory and resolvePush
		}
		choice, err := chooseDriver(kind, raw, c.Database)
		if err != nil {
			return nil, at(kind, err)
		}
		choices[kind] = choice
	}
	return choices, nil
}

func chooseDriver(kind string, raw json.RawMessage, databases Databases) (driverChoice, error) {
	object, err := objectOf(raw)
	if err != nil {
		return driverChoice{}, err
	}
	word, _ := object["driver"].(string)
	if word == "" {
		word = defaultDrivers[kind]
	}
	delete(object, "driver")
	module, err := findDriver(namespaces[kind], word)
	if err != nil {
		return driverChoice{}, err
	}
	if err := checkGuest(object, module); err != nil {
		return driverChoice{}, err
	}
	if err := databases.inherit(object, kind, driverName(word), module); err != nil {
		return driverChoice{}, err
	}
	config, err := json.Marshal(object)
	return driverChoice{driverName(word), module, config}, err
}

// objectOf reads a JSON object, an empty one where nothing is written.
func objectOf(raw json.RawMessage) (map[string]any, error) {
	if len(raw) == 0 {
		return map[string]any{}, nil
	}
	tree, err := parseJSON(raw)
	if err != nil {
		return nil, err
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errors.New("must be an object")
	}
	return object, nil
}

// checkGuest looks for unknown keys before Caddy does, whose error names no place.
func checkGuest(object map[string]any, module string) error {
	info, err := caddy.GetModule(module)
	if err != nil {
		return err
	}
	guest := info.New()
	if _, own := guest.(json.Unmarshaler); own {
		return nil
	}
	return checkKeys(object, reflect.TypeOf(guest), "")
}

func checkKeys(tree any, t reflect.Type, path string) error {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	object, ok := tree.(map[string]any)
	if !ok || t.Kind() != reflect.Struct {
		return nil
	}
	fields := fieldsOf(t)
	for _, word := range sortedKeys(object) {
		f, ok := fields[word]
		if !ok {
			return fmt.Errorf("%s %w", join(path, word), unknownWord(word, sortedKeys(fields)))
		}
		if f.namespace != "" {
			continue
		}
		if err := checkKeys(object[word], f.kind, join(path, word)); err != nil {
			return err
		}
	}
	return nil
}

// forHub is a driver whose resource belongs to one hub, by name: what is in
// memory must outlive a reload and must not be shared by two hubs.
type forHub interface{ ForHub(name string) }
