// Package relay is what the adapters between nodes have in common: delivery on
// this node, a bounded queue towards the engine, bounded workers for what comes
// from it, and the way back after an outage. A driver supplies links: a Dial that
// makes a connection, and the few calls of Link.
//
//	Publish ──> local subscribers, then outbox ──> sender ──> Link.Send
//	Inlet.Received ──> inbox ──> its workers ──> local subscribers
//
// A link lives once. When it is lost the relay closes it, drops and counts what
// cannot be sent, dials a new one, asks it for every wanted topic, and only then
// reports that the engine is back. So a driver needs no reconnecting of its own,
// and had best switch that of its client off.
package relay
