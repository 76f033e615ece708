// Package scylladb keeps apps in ScyllaDB, or in Apache Cassandra, in the table of
// Sockudo: the primary key is id, an index finds an app by its key, and the policy
// is JSON in the column policy. Rows that Sockudo has written are read as they are,
// those from before there were policies too.
//
// # Keys
//
// Nothing is unique there but the primary key, an index may lag behind, and a
// transaction reaches one row only. So there is a table of keys beside the table of
// apps, with the claim of each: whose it is. A claim is made before the app's row is
// written, and made sure of afterwards; one whose app does not have the key is stale,
// whatever has left it there, and whoever wants the key takes it over (claims.go says
// why no two can succeed). Whoever looks for a key reads the claim first, and then
// the app's own row, which has the last word. Rows without a claim, which Sockudo
// wrote, are found by the index; they get one when they are changed here.
//
// A server that stops in the middle of a change leaves a stale claim at most, which
// is in nobody's way. A row may also arrive when whoever wrote it has given up, and
// another app has got its key meanwhile. The claim says that it is the other one's,
// so the app of the late row is not served, and the log says so, until it is changed
// or deleted.
//
// # Consistency
//
// Changes are lightweight transactions, with the serial level SERIAL, and what they
// are planned from is read with SERIAL too: that is one order of all changes in all
// data centres, and it needs a majority of all replicas. Lookups read with
// LOCAL_QUORUM, and changes are committed with LOCAL_QUORUM: whoever looks up, in the
// data centre where a change was made, what has been changed sees the change; other
// data centres see it as soon as it is there; and a data centre that is cut off from
// the others goes on serving apps, while apps cannot be changed there. Only nodes of
// one data centre are asked, that of the first node which is reached.
//
// A lightweight transaction whose outcome the server does not know is looked at with
// SERIAL, which settles it, and tried again if it was not made.
//
// # History
//
// The history of channels is kept in tables of its own, see history_head.go, with the
// same levels: a log is one partition, and each change of it is one lightweight
// transaction. Partitions grow with what is kept of a channel; they had best stay
// below 100 MB. In other data centres than that of the writer, reading may lag behind.
//
// # Push notifications
//
// The records of push notifications are in tables of their own, see push_schema.go, with
// the same levels. All records of an app are one partition, and what is changed together
// is one lightweight transaction. An app of hundreds of thousands of devices, or of many
// publishes a second, had best keep them elsewhere.
package scylladb
