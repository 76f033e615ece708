package storage

// LinkMeter is a Clustered adapter that counts what it does.
type LinkMeter interface {
	LinkStats() LinkStats
}

// LinkStats count from the opening of an adapter on. Numbers of envelopes include
// what hubs tell each other.
type LinkStats struct {
	// Driver is the driver's word in the configuration.
	Driver string
	// Up says that the engine is connected, and that nothing was missed just now.
	Up bool
	// Published is the number of envelopes handed to the engine.
	Published uint64
	// Received is the number of envelopes of other nodes that came.
	Received uint64
	// Dropped is the number of envelopes that could not be handed to the engine.
	Dropped uint64
	// Missed is the number of envelopes of other nodes that came faster than they
	// could be delivered, or too late, as far as it is known.
	Missed uint64
	// Malformed is the number of messages that were none of ours.
	Malformed uint64
	// Reconnects is how often the engine was connected again.
	Reconnects uint64
	// QueuePackets and QueueBytes are what waits to be handed to the engine.
	QueuePackets, QueueBytes int
	// Topics is the number of topics that this node gets.
	Topics int
	// Events counts what a driver's client has reported, by name. Nil where there is
	// no such report.
	Events map[string]uint64
}
