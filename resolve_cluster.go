package sockudo

import (
	"fmt"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// ofOneNode are drivers whose data other nodes do not see.
var ofOneNode = []string{"local", "memory", "sqlite"}

// settings checks the times of a cluster (configuration, section 1.21, R9).
func (c *ClusterConfig) settings(s *realtime.ClusterSettings) error {
	if c == nil {
		return nil
	}
	s.Off = !c.Enabled.or(true)
	s.Heartbeat = c.Heartbeat.or(s.Heartbeat)
	s.NodeTimeout = c.NodeTimeout.or(s.NodeTimeout)
	s.Cleanup = c.Cleanup.or(min(s.Cleanup, s.NodeTimeout))
	switch {
	case s.Heartbeat > s.NodeTimeout/3:
		return fmt.Errorf("heartbeat %v is longer than a third of node_timeout %v", s.Heartbeat, s.NodeTimeout)
	case s.Cleanup > s.NodeTimeout:
		return fmt.Errorf("cleanup %v is longer than node_timeout %v", s.Cleanup, s.NodeTimeout)
	}
	return nil
}

// checkCluster checks what several nodes need (configuration, section 1.21).
func (d *definition) checkCluster(c *HubConfig) error {
	driver := func(kind string) string { return d.drivers[kind].driver }
	if _, ours := driverPackages[driver(kindAdapter)]; !ours {
		return nil // whether an adapter of somebody else joins nodes is theirs to know
	}
	single := func(kind string) bool { return slices.Contains(ofOneNode, driver(kind)) }
	warn := func(format string, args ...any) { d.warnings = append(d.warnings, fmt.Sprintf(format, args...)) }
	if single(kindAdapter) {
		if d.settings.PublishOnly {
			return fmt.Errorf("role: api needs an adapter that reaches other nodes, and %s does not", driver(kindAdapter)) // R1
		}
		if c.Cluster != nil {
			warn("cluster_health has no effect on the adapter %s, which is of one node", driver(kindAdapter))
		}
		return nil
	}
	if single(kindCache) {
		if d.settings.Idempotency.Enabled { // R2
			return fmt.Errorf("cache: the adapter %s joins several nodes, and idempotent publishes need a cache that all of them see, which %s is not; use cache redis, or idempotency { enabled off }", driver(kindAdapter), driver(kindCache))
		}
		warn("the cache %s is of one node: nodes joined by the adapter %s do not share the last events of cache channels", driver(kindCache), driver(kindAdapter))
	}
	if single(kindRateLimiter) && d.settings.Rate.On() { // R15
		warn("the rate limiter %s counts on each node by itself, and the adapter %s joins several", driver(kindRateLimiter), driver(kindAdapter))
	}
	if d.needsQueue && single(kindQueue) {
		warn("the queue %s is of one node: what a node has accepted waits until that node is back", driver(kindQueue))
	}
	if driver(kindApps) == "memory" { // R16
		warn("apps of the configuration must be the same on all nodes, which no node can see")
	}
	return nil
}
