// Package surrealdb keeps apps in SurrealDB, in the table of Sockudo: the id of a
// record is that of its app, the field key is unique by an index, and the field
// payload is the whole app as JSON in a text. What Sockudo has written is read as it
// is. It keeps histories and the records of push notifications there too, in tables of
// its own.
//
// Requests go over one WebSocket. The way over HTTP is not taken, because there
// servers before 3.1 mix up the sessions of requests that come at the same time
// (GHSA-4vgr-h27g-cf9p): one could be answered out of another database, and lend its
// rights to strangers. Of the official SDK the types and the coding of values are
// used. Its own WebSocket panics on timeouts, and keeps callers waiting when the
// connection dies (surrealdb.go issue 395).
package surrealdb
