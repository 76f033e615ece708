package sockudo

import (
	"fmt"
	"strconv"
	"strings"
)

// databaseVariable overrides one connection setting of a database, see
// configuration, sections 2.6 and 2.7.
type databaseVariable struct {
	name, driver, word string
	kind               valueKind
	// common says that other programs know the variable too. It counts only where the
	// database is in use.
	common bool
}

// valueKind is how a setting is written in JSON.
type valueKind int

const (
	textValue valueKind = iota
	numberValue
	listValue
)

// databaseVariables are those that name one setting each.
var databaseVariables = func() []databaseVariable {
	var all []databaseVariable
	add := func(driver, prefix string, words ...string) {
		for _, word := range words {
			kind := textValue
			if word == "port" || word == "db" || word == "replication_factor" {
				kind = numberValue
			}
			all = append(all, databaseVariable{prefix + strings.ToUpper(word), driver, word, kind, false})
		}
	}
	add("mysql", "DATABASE_MYSQL_", "host", "port", "username", "password", "database", "table_name")
	add("postgres", "DATABASE_POSTGRES_", "host", "port", "username", "password", "database")
	add("redis", "DATABASE_REDIS_", "host", "port", "username", "password", "db")
	add("dynamodb", "DATABASE_DYNAMODB_", "region", "table_name", "endpoint_url")
	add("surrealdb", "DATABASE_SURREALDB_", "url", "namespace", "database", "username", "password", "table_name")
	add("scylladb", "SCYLLADB_", "keyspace", "replication_class", "replication_factor")
	return append(all,
		databaseVariable{"DATABASE_REDIS_KEY_PREFIX", "redis", "prefix", textValue, false},
		databaseVariable{"SCYLLADB_NODES", "scylladb", "nodes", listValue, false},
		databaseVariable{"AWS_ACCESS_KEY_ID", "dynamodb", "aws_access_key_id", textValue, true},
		databaseVariable{"AWS_SECRET_ACCESS_KEY", "dynamodb", "aws_secret_access_key", textValue, true},
		databaseVariable{"AWS_SESSION_TOKEN", "dynamodb", "aws_session_token", textValue, true},
		databaseVariable{"DATABASE_CONNECTION_POOL_SIZE", "mysql", "connection_pool_size", numberValue, false},
		databaseVariable{"DATABASE_CONNECTION_POOL_SIZE", "postgres", "connection_pool_size", numberValue, false},
	)
}()

// readDatabases reads the variables for the database blocks of drivers that this
// Caddy has. They change no driver, and nothing that a driver says of itself.
func (e *environment) readDatabases() {
	for _, v := range databaseVariables {
		if _, err := findDriver(namespaces[kindApps], v.driver); err != nil {
			continue
		}
		text, ok := e.get(v.name)
		if !ok {
			continue
		}
		value, err := v.value(text)
		if err != nil {
			e.fail(v.name, err)
			return
		}
		e.set = append(e.set, func(c *HubConfig) {
			if v.common && !c.usesDatabase(v.driver) {
				return
			}
			e.change(c, v.name, v.driver, func(block map[string]any) error { return e.setDatabase(v, block, value) })
		})
	}
}

func (v databaseVariable) value(text string) (any, error) {
	switch v.kind {
	case numberValue:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case listValue:
		return literals(text), nil
	default:
		return literal(text), nil
	}
}

// usesDatabase reports whether a hub names a database.
func (c *HubConfig) usesDatabase(driver string) bool {
	apps, _ := objectOf(c.AppManagerRaw) // an error is found later
	word, _ := apps["driver"].(string)
	kept := c.History != nil && driverName(c.History.Driver) == driver
	notifying, _ := objectOf(c.pushStorage())
	store, _ := notifying["driver"].(string)
	return c.Database[driver] != nil || driverName(word) == driver || kept || driverName(store) == driver
}

// change applies a variable to a database block. One that has no effect is not among
// those that were applied.
func (e *environment) change(c *HubConfig, name, driver string, edit func(block map[string]any) error) {
	warned := len(e.warnings)
	e.late(name, c.editDatabase(driver, edit))
	if len(e.warnings) == warned {
		e.names = append(e.names, name)
	}
}

// setDatabase changes one setting of a database block, and what does not go with it.
func (e *environment) setDatabase(v databaseVariable, block map[string]any, value any) error {
	if v.driver == "redis" {
		return e.setRedisPart(v.name, v.word, block, value)
	}
	if v.word != "dsn" {
		delete(block, "dsn") // the whole address would win
	}
	if v.word == "aws_access_key_id" { // these belong to the credentials before
		delete(block, "aws_session_token")
		delete(block, "aws_profile_name")
	}
	block[v.word] = value
	return nil
}
