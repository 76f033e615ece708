package sockudo

import (
	"errors"
	"slices"
)

// queueVariable overrides one setting of a queue, where it is the queue in use, see
// configuration, sections 2.6 and 2.11.
type queueVariable struct {
	name, driver, word string
	value              func(text string) (any, error)
}

var queueVariables = slices.Concat(
	redisQueueVariables("redis", "QUEUE_REDIS_", "RESPONSE_TIMEOUT_MS"),
	redisQueueVariables("redis_cluster", "REDIS_CLUSTER_QUEUE_", "REQUEST_TIMEOUT_MS"),
)

func redisQueueVariables(driver, prefix, timeout string) []queueVariable {
	return []queueVariable{
		{prefix + "CONCURRENCY", driver, "concurrency", envNumber},
		{prefix + "PREFIX", driver, "prefix", envText},
		{prefix + timeout, driver, "response_timeout", func(text string) (any, error) {
			if n, err := envNumber(text); err == nil && n == uint64(0) {
				return nil, errors.New("there is no call without a bound; it must be at least 1")
			}
			return envMilliseconds(text)
		}},
	}
}

// readQueues reads the variables of queues that this Caddy has.
func (e *environment) readQueues() {
	for _, v := range queueVariables {
		if _, err := findDriver(namespaces[kindQueue], v.driver); err != nil {
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
			c.editDriver(kindQueue, func(driver string, own map[string]any) bool {
				if driver != v.driver {
					return false
				}
				own[v.word] = value
				e.names = append(e.names, v.name)
				return true
			})
		})
	}
}
