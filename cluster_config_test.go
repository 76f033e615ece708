package sockudo

import "testing"

// Checklist: configuration 73, 74
func TestClusterRefusals(t *testing.T) {
	for block, want := range map[string]string{
		"cluster_health {\nheartbeat 5s\n}":                     "cluster_health: heartbeat 5s is longer than a third of node_timeout 10s",
		"cluster_health {\nnode_timeout 4s\n}":                  "cluster_health: heartbeat 3s is longer than a third of node_timeout 4s",
		"cluster_health {\nnode_timeout 20s\ncleanup 21s\n}":    "cluster_health: cleanup 21s is longer than node_timeout 20s",
		"cluster_health {\nheartbeat 0s\n}":                     "heartbeat: must be at least 100ms, at Testfile:3",
		"adapter local {\ncluster_health {\nheartbeat 1s\n}\n}": "adapter: cluster_health is written beside it: cluster_health { ... }, at Testfile:3",
		"adapter nats":   "cache: the adapter nats joins several nodes, and idempotent publishes need a cache that all of them see, which memory is not; use cache redis, or idempotency { enabled off }",
		"role api":       "role: api needs an adapter that reaches other nodes, and local does not",
		"role publisher": `role: "publisher" is not one of default, api, at Testfile:2`,
	} {
		h, err := parse(block + "\n" + appBlock)
		if err == nil {
			_, err = resolve(&h.HubConfig, nil)
		}
		expectError(t, err, want)
	}
}
