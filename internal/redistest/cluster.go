//go:build unix

package redistest

import (
	"fmt"
	"strconv"
	"strings"
)

// slots is how many hash slots every cluster has.
const slots = 16384

// Cluster is a cluster of three masters.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts a cluster, whose servers get the further arguments.
func StartCluster(t T, args ...string) *Cluster {
	t.Helper()
	const nodes = 3
	c := new(Cluster)
	for range nodes {
		c.Nodes = append(c.Nodes, Start(t, append([]string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", "FREE",
			"--cluster-node-timeout", "2000", "--cluster-announce-ip", "127.0.0.1",
		}, args...)...))
	}
	for i, node := range c.Nodes {
		node.MustDo("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/nodes), strconv.Itoa((i+1)*slots/nodes-1))
		node.MustDo("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
	}
	for _, node := range c.Nodes[1:] {
		c.Nodes[0].MustDo("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.Port), node.Arg("--cluster-port"))
	}
	for _, node := range c.Nodes {
		eventually(t, "cluster", func() bool {
			info := node.MustDo("CLUSTER", "INFO")
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", nodes))
		})
	}
	return c
}

// Addrs are the addresses of all nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// AddReplicas gives each master a replica, and returns them in the order of the
// masters. They are not among the Nodes.
func (c *Cluster) AddReplicas(t T) []*Server {
	t.Helper()
	var replicas []*Server
	for _, master := range c.Nodes {
		replica := Start(t,
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", "FREE",
			"--cluster-node-timeout", "2000", "--cluster-announce-ip", "127.0.0.1", "--repl-diskless-sync-delay", "0",
		)
		replica.MustDo("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(c.Nodes[0].Port), c.Nodes[0].Arg("--cluster-port"))
		id := master.MustDo("CLUSTER", "MYID")
		eventually(t, "master known to its replica", func() bool {
			_, err := replica.Do("CLUSTER", "REPLICATE", id)
			return err == nil
		})
		eventually(t, "replica of a master", func() bool {
			return strings.Contains(replica.MustDo("INFO", "replication"), "master_link_status:up")
		})
		replicas = append(replicas, replica)
	}
	for _, node := range append(replicas, c.Nodes...) {
		eventually(t, "cluster with replicas", func() bool {
			return strings.Count(node.MustDo("CLUSTER", "NODES"), "slave") == len(replicas)
		})
	}
	return replicas
}

// MoveSlot gives a slot without keys to another master.
func (c *Cluster) MoveSlot(slot int, from, to *Server) {
	id, number := to.MustDo("CLUSTER", "MYID"), strconv.Itoa(slot)
	to.MustDo("CLUSTER", "SETSLOT", number, "IMPORTING", from.MustDo("CLUSTER", "MYID"))
	from.MustDo("CLUSTER", "SETSLOT", number, "MIGRATING", id)
	to.MustDo("CLUSTER", "SETSLOT", number, "NODE", id)
	from.MustDo("CLUSTER", "SETSLOT", number, "NODE", id)
}
