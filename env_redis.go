package sockudo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// redisVariable overrides one setting of a database block for Redis, within the
// blocks of its path, see configuration, section 2.6.
type redisVariable struct {
	name, driver string
	path         []string
	// isSwitch makes the setting true or false, and isBlock makes it a block that is
	// there or not.
	isSwitch, isBlock bool
}

// redisVariables are those beside databaseVariables.
var redisVariables = slices.Concat(
	tlsVariables("DATABASE_REDIS_MASTER_TLS_"),
	[]redisVariable{
		{name: "DATABASE_REDIS_SENTINEL_USERNAME", driver: "redis", path: []string{"sentinel", "username"}},
		{name: "DATABASE_REDIS_SENTINEL_PASSWORD", driver: "redis", path: []string{"sentinel", "password"}},
	},
	tlsVariables("DATABASE_REDIS_SENTINEL_TLS_", "sentinel"),
	[]redisVariable{
		{name: "DATABASE_REDIS_CLUSTER_USERNAME", driver: "redis_cluster", path: []string{"username"}},
		{name: "DATABASE_REDIS_CLUSTER_PASSWORD", driver: "redis_cluster", path: []string{"password"}},
		{name: "DATABASE_REDIS_CLUSTER_USE_TLS", driver: "redis_cluster", path: []string{"tls"}, isBlock: true},
	},
)

func tlsVariables(prefix string, within ...string) []redisVariable {
	path := func(words ...string) []string { return slices.Concat(within, words) }
	return []redisVariable{
		{name: prefix + "ENABLED", driver: "redis", path: path("tls"), isBlock: true},
		{name: prefix + "ACCEPT_INVALID_CERTS", driver: "redis", path: path("tls", "insecure_skip_verify"), isSwitch: true},
		{name: prefix + "CA_PATH", driver: "redis", path: path("tls", "ca")},
		{name: prefix + "CLIENT_CERT_PATH", driver: "redis", path: path("tls", "cert")},
		{name: prefix + "CLIENT_KEY_PATH", driver: "redis", path: path("tls", "key")},
	}
}

// redisPlaces are the words that say where Redis is.
var redisPlaces = []string{"url", "address", "host", "port", "nodes", "sentinel"}

// readRedis reads the variables for Redis that are more than one setting of a
// database block.
func (e *environment) readRedis() {
	for _, v := range redisVariables {
		if _, err := findDriver(namespaces[kindApps], v.driver); err != nil {
			continue
		}
		text, ok := e.get(v.name)
		if !ok {
			continue
		}
		var value any = literal(text)
		if v.isSwitch || v.isBlock {
			on, err := parseEnvBool(text)
			e.fail(v.name, err)
			value = on
		}
		e.set = append(e.set, func(c *HubConfig) {
			e.change(c, v.name, v.driver, func(block map[string]any) error { return e.setRedis(v, block, value) })
		})
	}
	e.readClusterNodes()
	e.readRedisURL()
	e.readLimiterPrefix()
}

// setRedis changes one setting. Without the block that it is within, nothing would
// use it, and the log says so.
func (e *environment) setRedis(v redisVariable, block map[string]any, value any) error {
	last := len(v.path) - 1
	for i, word := range v.path[:last] {
		within, ok := block[word].(map[string]any)
		if !ok && word == "tls" && i == 0 && isEncrypted(block) {
			within, ok = map[string]any{}, true
			block[word] = within
		}
		if !ok {
			e.warnings = append(e.warnings, fmt.Sprintf("%s has no effect: database %s has no %s", v.name, v.driver, strings.Join(v.path[:i+1], " ")))
			return nil
		}
		block = within
	}
	word := v.path[last]
	switch _, there := block[word]; {
	case !v.isBlock:
		block[word] = value
	case value == false:
		delete(block, word)
	case !there:
		block[word] = map[string]any{}
	}
	return nil
}

// isEncrypted says that an address asks for TLS by itself.
func isEncrypted(block map[string]any) bool {
	return slices.ContainsFunc([]string{"url", "host"}, func(word string) bool {
		text, _ := block[word].(string)
		return strings.HasPrefix(text, "rediss://")
	})
}

// setRedisPart changes a part of the address that database redis has, in whichever
// way it says that.
func (e *environment) setRedisPart(name, word string, block map[string]any, value any) error {
	if word == "host" || word == "port" {
		for _, place := range []string{"nodes", "sentinel"} {
			if block[place] != nil {
				e.warnings = append(e.warnings, fmt.Sprintf("%s has no effect: database redis has %s", name, place))
				return nil
			}
		}
		if address, ok := block["address"].(string); ok {
			delete(block, "address")
			block["host"] = address
			if host, port, err := net.SplitHostPort(address); err == nil {
				block["host"], block["port"] = host, json.Number(port)
			}
		}
	}
	if text, ok := block["url"].(string); ok && word != "prefix" {
		if err := splitRedisURL(block, text); err != nil {
			return err
		}
	}
	block[word] = value
	return nil
}

// splitRedisURL writes a URL in words.
func splitRedisURL(block map[string]any, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "redis" && u.Scheme != "rediss" || u.RawQuery != "" {
		return errors.New("it cannot change a part of the url in database redis; write host, port, username, password and db there")
	}
	delete(block, "url")
	if u.Scheme == "rediss" && block["tls"] == nil {
		block["tls"] = map[string]any{}
	}
	password, _ := u.User.Password()
	for word, part := range map[string]string{"host": u.Hostname(), "username": u.User.Username(), "password": password} {
		if part != "" {
			block[word] = literal(part)
		}
	}
	for word, part := range map[string]string{"port": u.Port(), "db": strings.Trim(u.Path, "/")} {
		if part == "" {
			continue
		}
		if _, err := strconv.ParseUint(part, 10, 31); err != nil {
			return fmt.Errorf("the url in database redis has a %s that is no number", word)
		}
		block[word] = json.Number(part)
	}
	return nil
}

// readClusterNodes reads the nodes of clusters: those of the database block, and of
// drivers that say of themselves where theirs is.
func (e *environment) readClusterNodes() {
	if _, err := findDriver(namespaces[kindApps], "redis_cluster"); err != nil {
		return
	}
	name := "REDIS_CLUSTER_NODES"
	if _, ok := e.get(name); !ok {
		name = "DATABASE_REDIS_CLUSTER_NODES"
	}
	text, ok := e.get(name)
	if !ok {
		return
	}
	nodes := literals(text)
	e.set = append(e.set, func(c *HubConfig) {
		place := func(block map[string]any) {
			for _, word := range redisPlaces {
				delete(block, word)
			}
			block["nodes"] = nodes
		}
		e.change(c, name, "redis_cluster", func(block map[string]any) error {
			place(block)
			return nil
		})
		for _, kind := range redirected {
			c.editDriver(kind, func(driver string, own map[string]any) bool {
				change := driver == "redis_cluster" && hasConnection(own)
				if change {
					place(own)
				}
				return change
			})
		}
	})
}

// redirected are the kinds of drivers that REDIS_URL is for.
var redirected = []string{kindAdapter, kindCache, kindQueue, kindRateLimiter, kindHistory, kindPushStore}

// readRedisURL sends drivers that are redis elsewhere, whatever they say. A cluster
// goes there if nothing says where it is. No driver becomes another one.
func (e *environment) readRedisURL() {
	const name = "REDIS_URL"
	text, ok := e.get(name)
	if !ok {
		return
	}
	e.set = append(e.set, func(c *HubConfig) {
		used := false
		for _, kind := range redirected {
			c.editDriver(kind, func(driver string, own map[string]any) bool {
				change := driver == "redis" || driver == "redis_cluster" && !hasConnection(own) && c.Database["redis_cluster"] == nil && c.Database["redis"] == nil
				if !change {
					return false
				}
				used = true
				for _, word := range connectionWords {
					if word != "connection_pool_size" && (word != "tls" || !strings.HasPrefix(text, "rediss://")) {
						delete(own, word)
					}
				}
				own["url"] = literal(text)
				return true
			})
		}
		if !used {
			return
		}
		e.names = append(e.names, name)
		if scheme, _, _ := strings.Cut(text, "://"); !slices.Contains([]string{"redis", "rediss", "unix"}, scheme) {
			e.late(name, errors.New("it must be like redis://USER:PASSWORD@HOST:6379/0"))
		}
	})
}

// readLimiterPrefix names the keys of a rate limiter in Redis.
func (e *environment) readLimiterPrefix() {
	const name = "RATE_LIMITER_REDIS_PREFIX"
	text, ok := e.get(name)
	if !ok {
		return
	}
	e.set = append(e.set, func(c *HubConfig) {
		c.editDriver(kindRateLimiter, func(driver string, own map[string]any) bool {
			if driver != "redis" && driver != "redis_cluster" {
				return false
			}
			e.names = append(e.names, name)
			own["prefix"] = literal(text)
			return true
		})
	})
}

func hasConnection(own map[string]any) bool {
	return slices.ContainsFunc(connectionWords, func(word string) bool { return own[word] != nil })
}

// editDriver changes the settings of the driver of a kind. Those that cannot be
// read are left for the check to complain about.
func (c *HubConfig) editDriver(kind string, edit func(driver string, own map[string]any) bool) {
	raw := c.raw()[kind]
	own, err := objectOf(raw)
	if err != nil {
		return
	}
	word, _ := own["driver"].(string)
	if !edit(driverName(cmp.Or(word, defaultDrivers[kind])), own) {
		return
	}
	if raw, err = json.Marshal(own); err == nil {
		c.setRaw(kind, raw)
	}
}

// editDatabase changes a database block. One that cannot be read is left for the
// check to complain about.
func (c *HubConfig) editDatabase(driver string, edit func(block map[string]any) error) error {
	block, err := objectOf(c.databaseBlock(driver))
	if err != nil {
		return nil //nolint:nilerr // the check says more
	}
	if err := edit(block); err != nil {
		return err
	}
	if len(block) == 0 && c.Database[driver] == nil {
		return nil
	}
	raw, err := json.Marshal(block)
	if err != nil {
		return err
	}
	if c.Database == nil {
		c.Database = Databases{}
	}
	c.Database[driver] = raw
	return nil
}

// databaseBlock is what a variable changes. What there is about a cluster may stand
// in database redis.
func (c *HubConfig) databaseBlock(driver string) json.RawMessage {
	if other, ok := databaseOf[driver]; ok && c.Database[driver] == nil {
		block, err := objectOf(c.Database[other])
		if err == nil && block["nodes"] == nil { // that is another server
			block = map[string]any{"prefix": block["prefix"]}
			if block["prefix"] == nil {
				clear(block)
			}
		}
		raw, _ := json.Marshal(block) //nolint:errchkjson // it was JSON before
		return raw
	}
	return c.Database[driver]
}

// literal is a value in which a brace is a brace: drivers expand placeholders.
func literal(text string) string { return strings.ReplaceAll(text, "{", `\{`) }

// literals are the elements of a list with commas between them.
func literals(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, literal(part))
		}
	}
	return list
}
