package sockudo

import (
	"fmt"
	"slices"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
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

// shares reports whether all nodes see what a driver has.
func (d *definition) shares(kind string) bool {
	return !slices.Contains(ofOneNode, d.drivers[kind].driver)
}

// recovers reports whether clients of any app in the configuration may resume.
func (d *definition) recovers() bool {
	return d.settings.Recovery.Enabled || slices.ContainsFunc(d.apps, func(a *storage.App) bool {
		return a.Recovery.Enabled != nil && *a.Recovery.Enabled
	})
}

// shareStreams lets nodes number events together if the cache can do that for all of
// them, and warns if clients would have use for it.
func (d *definition) shareStreams(to *realtime.Drivers) {
	if d.shares(kindCache) {
		to.Streams, _ = to.Cache.(storage.Streams)
	}
	if to.Streams == nil && d.recovers() {
		d.warnings = append(d.warnings, fmt.Sprintf("recovery: nodes do not share what is kept in the cache %s, so V2 clients that come back to another node start anew (stream_reset)", d.drivers[kindCache].driver))
	}
}

// checkCluster checks what several nodes need (configuration, section 1.21).
func (d *definition) checkCluster(c *HubConfig) error {
	driver := func(kind string) string { return d.drivers[kind].driver }
	if _, ours := driverPackages[driver(kindAdapter)]; !ours {
		return nil // whether an adapter of somebody else joins nodes is theirs to know
	}
	single := func(kind string) bool { return !d.shares(kind) }
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
		warn("the cache %s is of one node: nodes joined by the adapter %s do not share the last events of cache channels and the revocations of tokens", driver(kindCache), driver(kindAdapter))
	}
	if d.writes != nil && single(kindHistory) { // R4, R6
		return fmt.Errorf("history: the adapter %s joins several nodes, and each of them would have a history of its own with %s; use %s", driver(kindAdapter), driver(kindHistory), sharedHistories)
	}
	if d.push != nil && single(kindPushStore) {
		return fmt.Errorf("push: storage: the adapter %s joins several nodes, and each of them would have devices of its own with %s; use a store that all of them see, such as postgres", driver(kindAdapter), driver(kindPushStore))
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
