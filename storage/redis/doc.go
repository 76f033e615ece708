// Package redis keeps and shares in Redis: app records, cached values, jobs, counts of
// rate limits, logs, records of push notifications. It connects to one server, to the
// master that Sentinels name, or to a cluster (configuration, sections 1.6 and 9.3.6).
// Drivers whose settings are equal share one pool of connections.
package redis
