package sockudo

// ClusterConfig says how the nodes of a cluster watch each other. It needs an
// adapter between nodes.
type ClusterConfig struct {
	// Enabled lets nodes exchange who is where; off keeps presence, counts and users
	// to each node, and nodes exchange events only. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// Heartbeat is the time between two signs of life. It is at most a third of
	// node_timeout. Default: 3s.
	Heartbeat Duration `json:"heartbeat,omitempty" min:"100ms"`

	// NodeTimeout is the silence after which another node counts as gone, with its
	// members and counts. Default: 10s.
	NodeTimeout Duration `json:"node_timeout,omitempty" min:"300ms"`

	// Cleanup is how often a node looks for others that are gone. It is not longer
	// than node_timeout. Default: 1s.
	Cleanup Duration `json:"cleanup,omitempty" min:"100ms"`
}
