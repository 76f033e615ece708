package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// adapterVariable overrides one setting of an adapter between nodes, where it is the
// adapter in use, see configuration, section 2.12.
type adapterVariable struct {
	name, driver, word string
	value              func(text string) (any, error)
	// instead are settings that the variable takes the place of.
	instead []string
}

// natsLogins are the ways to log in to NATS.
var natsLogins = []string{"username", "password", "token", "credentials_file", "nkey_file"}

var adapterVariables = []adapterVariable{
	{"NATS_SERVERS", "nats", "servers", envList, nil},
	{"NATS_USERNAME", "nats", "username", envText, natsLogins[2:]},
	{"NATS_PASSWORD", "nats", "password", envText, natsLogins[2:]},
	{"NATS_TOKEN", "nats", "token", envText, natsLogins},
	{"NATS_PREFIX", "nats", "prefix", envText, nil},
	{"NATS_CONNECTION_TIMEOUT_MS", "nats", "connection_timeout", envMilliseconds, nil},
	{"NATS_REQUEST_TIMEOUT_MS", "nats", "request_timeout", envMilliseconds, nil},
	{"NATS_SUBSCRIPTION_CAPACITY", "nats", "subscription_capacity", envNumber, nil},
	{"NATS_MAX_RECONNECTS", "nats", "max_reconnects", envNumber, nil},
	{"NATS_NO_ECHO", "nats", "no_echo", func(text string) (any, error) { return parseEnvBool(text) }, nil},
}

func envText(text string) (any, error) { return literal(text), nil }

func envList(text string) (any, error) { return literals(text), nil }

func envNumber(text string) (any, error) {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return nil, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

func envMilliseconds(text string) (any, error) {
	n, err := envNumber(text)
	return fmt.Sprint(n, "ms"), err
}

// readAdapters reads the variables of adapters that this Caddy has.
func (e *environment) readAdapters() {
	if _, token := e.get("NATS_TOKEN"); token {
		for _, name := range []string{"NATS_USERNAME", "NATS_PASSWORD"} {
			if _, ok := e.get(name); ok {
				e.fail(name, errors.New("NATS_TOKEN is set too, and there is one login"))
			}
		}
	}
	for _, v := range adapterVariables {
		if _, err := findDriver(namespaces[kindAdapter], v.driver); err != nil {
			continue
		}
		text, ok := e.get(v.name)
		if !ok {
			continue
		}
		value, err := v.value(text)
		if err != nil {
			e.fail(v.name, err)
			continue
		}
		e.set = append(e.set, func(c *HubConfig) {
			object, err := objectOf(c.AdapterRaw)
			if err != nil { // which the check complains about
				return
			}
			if word, _ := object["driver"].(string); driverName(word) != v.driver {
				return
			}
			for _, other := range v.instead {
				delete(object, other)
			}
			object[v.word] = value
			raw, err := json.Marshal(object)
			e.late(v.name, err)
			c.AdapterRaw = raw
			e.names = append(e.names, v.name)
		})
	}
}
