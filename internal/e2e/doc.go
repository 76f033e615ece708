// Package e2e runs real Caddys, built with the race detector, and looks at them from
// outside: sockets over HTTP/1.1, 2 and 3, the HTTP API, the admin API, the metrics,
// the process. It is the suite of two promises: a reload drops nothing, and nodes
// that an engine joins are one. For the latter, in the files cluster_*, three nodes
// stand before an engine that is killed, cut off and stalled, and are killed, frozen
// and reloaded themselves under load.
//
// The package itself holds nothing; ./server is the Caddy that it starts. Lines with
// FIGURE are what was measured.
package e2e
