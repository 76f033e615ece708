// Package protocol is the wire protocol of Pusher Channels, version 7, called V1
// here, without any connection: names, frames, codes, signatures and the query
// of an upgrade. It uses nothing but the standard library, keeps no state, and
// every parser of outside bytes in it has a fuzz target.
//
// Section numbers in comments are those of the protocol specification the
// project is built from; docs/protocol.md names what they say.
package protocol
