package sockudo

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// connectionWords are the settings of drivers that say what to connect to, and as
// whom. A driver that has one of its own inherits none of them: a password must
// not go to another host than the one it was written for.
var connectionWords = []string{
	"url", "dsn", "host", "port", "address", "username", "password", "auth_level", "database", "db", "namespace", "nodes", "keyspace",
	"region", "endpoint_url", "aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_profile_name", "sentinel", "tls", "path",
	"replication_class", "replication_factor", "connection_pool_size",
}

// databaseOf are drivers that share the database block of another one.
var databaseOf = map[string]string{"redis_cluster": "redis"}

// inherit adds to the settings of a driver those of its database block.
func (b Databases) inherit(own map[string]any, kind, driver, module string) error {
	block := driver
	if other, ok := databaseOf[driver]; ok && b[driver] == nil {
		block = other
	}
	shared, err := objectOf(b[block])
	if err != nil {
		return at("database."+block, err)
	}
	info, err := caddy.GetModule(module)
	if err != nil {
		return err
	}
	known := fieldsOf(structOf(info.New()))
	connected := slices.ContainsFunc(connectionWords, func(word string) bool { return own[word] != nil })
	for word, value := range shared {
		_, fits := known[word]
		isConnection := slices.Contains(connectionWords, word)
		switch {
		case !fits || own[word] != nil:
		case isConnection && !connected, !isConnection && kind == kindApps:
			own[word] = value
		}
	}
	return nil
}

func structOf(guest any) reflect.Type {
	t := reflect.TypeOf(guest)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// check looks for unknown drivers and words, used or not.
func (b Databases) check() error {
	for _, driver := range sortedKeys(b) {
		where := "database." + driver
		module, err := findDriver(namespaces[kindApps], driver)
		if err != nil {
			return at(where, err)
		}
		if driver != driverName(driver) {
			return fmt.Errorf("%s: write %s", where, driverName(driver))
		}
		object, err := objectOf(b[driver])
		if err == nil {
			err = checkGuest(object, module)
		}
		if err != nil {
			return at(where, err)
		}
	}
	return nil
}

// unused are the blocks that no selected driver is for.
func (b Databases) unused(choices map[string]driverChoice) []string {
	var names []string
	for _, driver := range sortedKeys(b) {
		used := false
		for _, choice := range choices {
			used = used || choice.driver == driver || databaseOf[choice.driver] == driver
		}
		if !used {
			names = append(names, driver)
		}
	}
	return names
}

// parseDatabase reads "database DRIVER { ... }", whose block is as that of the app
// manager of this name.
func (c *HubConfig) parseDatabase(d *caddyfile.Dispenser) error {
	t, _, err := parseDriverName(d, "database", true)
	if err != nil {
		return err
	}
	if err := t.read(d, func(string) (bool, error) { return false, nil }); err != nil {
		return err
	}
	name := driverName(t.name.Text)
	if c.Database[name] != nil {
		return d.Errf("database %s is written twice", name)
	}
	raw, err := t.unmarshalFor(d, "database", namespaces[kindApps])
	if err != nil {
		return err
	}
	object, err := objectOf(raw)
	if err != nil {
		return err
	}
	delete(object, "driver")
	if raw, err = json.Marshal(object); err != nil {
		return err
	}
	if c.Database == nil {
		c.Database = Databases{}
	}
	c.Database[name] = raw
	return nil
}
