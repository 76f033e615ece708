//go:build linux

// Package loadgen is a bounded load generator for servers that speak the Pusher
// Channels protocol, version 7, or Sockudo's version 2. One goroutine with one epoll set drives every
// subscriber, so that receiving a message costs the generator about one read(2)
// at most, and a few blocking keep-alive connections publish.
//
// Every event carries a stamp: the lane that published it, its channel, its
// sequence number in that lane and channel, and the nanosecond it was due. A
// lane sends its next publish only after the answer to the last one, so each
// subscriber must see each lane's numbers one by one; what is lost, repeated or
// reordered is counted exactly and never estimated from totals.
//
// The package talks to loopback addresses only, and every run is bounded in
// connections, publishers and time.
package loadgen
