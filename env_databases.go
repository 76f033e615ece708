package sockudo

import (
	"encoding/json"
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
			if !v.common || c.usesDatabase(v.driver) {
				e.names = append(e.names, v.name)
				c.setDatabase(v.driver, v.word, value)
			}
		})
	}
}

func (v databaseVariable) value(text string) (any, error) {
	// The driver expands placeholders; here a brace is a brace.
	plain := strings.ReplaceAll(text, "{", `\{`)
	switch v.kind {
	case numberValue:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
		return n, nil
	case listValue:
		var list []string
		for part := range strings.SplitSeq(plain, ",") {
			if part = strings.TrimSpace(part); part != "" {
				list = append(list, part)
			}
		}
		return list, nil
	default:
		return plain, nil
	}
}

// usesDatabase reports whether a hub names a database.
func (c *HubConfig) usesDatabase(driver string) bool {
	apps, _ := objectOf(c.AppManagerRaw) // an error is found later
	word, _ := apps["driver"].(string)
	return c.Database[driver] != nil || driverName(word) == driver
}

// setDatabase changes one setting of a database block. One that cannot be read is
// left for the check to complain about.
func (c *HubConfig) setDatabase(driver, word string, value any) {
	object, err := objectOf(c.Database[driver])
	if err != nil {
		return
	}
	if word != "dsn" && object["dsn"] != nil {
		delete(object, "dsn") // the whole address would win
	}
	if word == "aws_access_key_id" { // these belong to the credentials before
		delete(object, "aws_session_token")
		delete(object, "aws_profile_name")
	}
	object[word] = value
	raw, err := json.Marshal(object)
	if err != nil {
		return
	}
	if c.Database == nil {
		c.Database = Databases{}
	}
	c.Database[driver] = raw
}
