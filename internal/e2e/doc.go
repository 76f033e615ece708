// Package e2e is the suite of the first promise: a reload drops nothing. It runs
// a real Caddy, built with the race detector, and looks at it from outside:
// sockets over HTTP/1.1, 2 and 3, the admin API, the metrics, the process. The
// package itself holds nothing; ./server is the Caddy that it starts.
package e2e
