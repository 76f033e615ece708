// Package cqltest is a server of CQL for tests: the native protocol, version 4, over
// real connections, with or without TLS and logins. It is neither ScyllaDB nor
// Cassandra. It parses and executes the statements that drivers of this project send
// and refuses all others, in the words of the real ones where those are known.
//
// What it knows: keyspaces, tables with partitions and clustering columns, ranges of
// these in the order of the table or in reverse, secondary indexes that lag behind if
// a test wants them to, lightweight transactions (each is atomic, whatever else is
// under way), conditional result rows, batches, with conditions within one partition,
// paging, prepared statements, consistency levels against the nodes that are up, the
// tables of the systems that clients ask, rights. What it does not know: static
// columns, time to live, functions, timestamps of cells (what comes later wins), and
// replication: nodes of one server share what they store, and each sees at once what
// another has written.
//
// It is imported by tests only.
package cqltest
