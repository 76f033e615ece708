package cqltest

import (
	"maps"
	"slices"

	"github.com/datastax/go-cassandra-native-protocol/primitive"
)

// release is what nodes say of themselves: those of ScyllaDB always the same.
func (n *Node) release() string {
	if n.server.options.Cassandra {
		return "5.0.6"
	}
	return "3.0.8"
}

// system is a table that the server makes when it is read.
type system struct {
	columns []column
	key     int // how many columns, the first ones, a condition may be about
	rows    func(n *Node) []row
}

// nodeColumns are those that both tables of nodes have.
var nodeColumns = []column{
	{"data_center", "text"},
	{"host_id", "uuid"},
	{"rack", "text"},
	{"release_version", "text"},
	{"rpc_address", "inet"},
	{"schema_version", "uuid"},
	{"tokens", "set<text>"},
}

// systems are those tables, by keyspace and name. There is no system.peers_v2, as
// in ScyllaDB.
var systems = map[target]system{
	{"system", "local"}: {
		append([]column{
			{"key", "text"},
			{"broadcast_address", "inet"},
			{"cluster_name", "text"},
			{"cql_version", "text"},
			{"listen_address", "inet"},
			{"native_protocol_version", "text"},
			{"partitioner", "text"},
		}, nodeColumns...), 1, (*Node).local,
	},
	{"system", "peers"}: {append([]column{{"peer", "inet"}, {"preferred_ip", "inet"}}, nodeColumns...), 1, (*Node).peers},
	{"system_schema", "keyspaces"}: {
		[]column{{"keyspace_name", "text"}, {"durable_writes", "boolean"}, {"replication", "map<text, text>"}}, 1, (*Node).keyspaces,
	},
	{"system_schema", "tables"}: {[]column{{"keyspace_name", "text"}, {"table_name", "text"}, {"comment", "text"}}, 2, (*Node).tables},
	{"system_schema", "columns"}: {
		[]column{
			{"keyspace_name", "text"},
			{"table_name", "text"},
			{"column_name", "text"},
			{"clustering_order", "text"},
			{"kind", "text"},
			{"position", "int"},
			{"type", "text"},
		}, 3, (*Node).columns,
	},
	{"system_schema", "indexes"}: {
		[]column{{"keyspace_name", "text"}, {"table_name", "text"}, {"index_name", "text"}, {"kind", "text"}, {"options", "map<text, text>"}},
		3, (*Node).indexes,
	},
}

// describe is what the tables of nodes say of one.
func (n *Node) describe(version primitive.UUID) row {
	return row{
		"data_center": []byte(n.center), "host_id": n.id[:], "rack": []byte("rack1"), "release_version": []byte(n.release()),
		"rpc_address": address(n.address), "schema_version": version[:], "tokens": list(1, string('0'+rune(n.number))),
	}
}

func (n *Node) local() []row {
	r := n.describe(n.server.store.version)
	maps.Copy(r, row{
		"key": []byte("local"), "broadcast_address": address(n.address), "cluster_name": []byte("cqltest"), "cql_version": []byte("3.3.1"),
		"listen_address": address(n.address), "native_protocol_version": []byte("4"),
		"partitioner": []byte("org.apache.cassandra.dht.Murmur3Partitioner"),
	})
	return []row{r}
}

func (n *Node) peers() (rows []row) {
	for _, other := range n.server.nodes {
		if other != n {
			r := other.describe(n.server.store.version)
			r["peer"] = address(other.address)
			rows = append(rows, r)
		}
	}
	return rows
}

func (n *Node) keyspaces() (rows []row) {
	for name, k := range n.server.store.keyspaces {
		class := "org.apache.cassandra.locator." + k.replication["class"]
		rows = append(rows, row{
			"keyspace_name": []byte(name), "durable_writes": truth(true),
			"replication": list(2, "class", class, "replication_factor", k.replication["replication_factor"]),
		})
	}
	return rows
}

// each makes rows of all tables.
func (n *Node) each(of func(t *table, named row) []row) (rows []row) {
	for name, k := range n.server.store.keyspaces {
		for _, tableName := range slices.Sorted(maps.Keys(k.tables)) {
			rows = append(rows, of(k.tables[tableName], row{"keyspace_name": []byte(name), "table_name": []byte(tableName)})...)
		}
	}
	return rows
}

// with is a row with further columns.
func with(r, further row) row {
	r = maps.Clone(r)
	maps.Copy(r, further)
	return r
}

func (n *Node) tables() []row {
	return n.each(func(_ *table, named row) []row { return []row{with(named, row{"comment": {}})} })
}

func (n *Node) columns() []row {
	return n.each(func(t *table, named row) (rows []row) {
		for _, c := range t.columns {
			kind, position := "regular", int64(-1)
			order := "none"
			if i := slices.Index(t.partition, c.name); i >= 0 {
				kind, position = "partition_key", int64(i)
			} else if i := slices.Index(t.clustering, c.name); i >= 0 {
				kind, position, order = "clustering", int64(i), "asc"
			}
			rows = append(rows, with(named, row{
				"column_name": []byte(c.name), "clustering_order": []byte(order), "kind": []byte(kind), "position": whole(position), "type": []byte(c.kind),
			}))
		}
		return rows
	})
}

func (n *Node) indexes() []row {
	return n.each(func(t *table, named row) (rows []row) {
		for name, i := range t.indexes {
			rows = append(rows, with(named, row{"index_name": []byte(name), "kind": []byte("COMPOSITES"), "options": list(1, "target", i.column)}))
		}
		return rows
	})
}
