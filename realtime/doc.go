// Package realtime is the live part of the server: hubs with their apps,
// channels, subscriptions, presence members and users, and the fan-out of
// events. It knows neither Caddy nor HTTP.
//
// A Hub outlives configurations. Each loaded configuration attaches one
// immutable Settings snapshot; exactly one of them is current. What an operation
// needs of the settings it takes from one snapshot, once, by way of Hub.Live.
//
// # Lock order
//
// A lock may be taken while holding those above it, never the other way round:
//
//	Hub.leaseMu    leases and election
//	App.usersMu    signed-in users and watchlists
//	tokens.mu      connections by capability token; held for nothing else
//	shard.mu       one part of an app's channel table
//	channel.mu     order of publishes, joins and leaves of one channel; of several
//	               only those of public channels by name, then of a pattern or a
//	               meta channel
//	Conn.mu        subscriptions and identity of one connection
//	part.mu        subscribers and pending frames of one worker's share
//	worker.mu      what waits for one worker
//	Transport      the outbound queue of one socket
//
// No lock is held while calling a driver.
package realtime
