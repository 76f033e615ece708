package sockudo

// RecoveryConfig numbers events and keeps the newest of each channel, so that V2
// clients which come back get what they have missed.
type RecoveryConfig struct {
	// Enabled switches recovery. Default: on, in a block that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// BufferSize is the number of events kept of each channel, and the most that a
	// client may have missed. Default: 100.
	BufferSize Number `json:"buffer_size,omitempty" min:"1"`

	// TTL is how long an event is kept. Default: 120s.
	TTL Duration `json:"ttl,omitempty" min:"1ms"`

	// MaxBytes bounds what is kept of one channel, in bytes. Default: 1MiB.
	MaxBytes Size `json:"max_bytes,omitempty" min:"1KiB"`
}

// EchoConfig says whether V2 clients get their own client events.
type EchoConfig struct {
	// Enabled lets clients say so by themselves; while it is off, all of them do.
	// Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// DefaultEchoMessages is what counts for clients that do not say. Default: on.
	DefaultEchoMessages Switch `json:"default_echo_messages,omitempty"`
}

// EventFilterConfig bounds filters of V2 subscriptions by the names of events.
type EventFilterConfig struct {
	// Enabled lets such filters act; while it is off they are ignored. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// MaxEventsPerFilter is the number of names in one filter, 64 at most. Default: 50.
	MaxEventsPerFilter Number `json:"max_events_per_filter,omitempty" min:"1" max:"64"`

	// MaxEventNameLength is the longest name in a filter, in bytes, 256 at most.
	// Default: 200.
	MaxEventNameLength Number `json:"max_event_name_length,omitempty" min:"1" max:"256"`
}

// TagFilterConfig says what filters of V2 subscriptions by tags and by expressions do.
type TagFilterConfig struct {
	// Enabled lets such filters act; while it is off they are checked and ignored.
	// Default: on, in a block that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// EnableTags leaves tags in the frames of V2 clients. Default: on.
	EnableTags Switch `json:"enable_tags,omitempty"`
}

// DeltaConfig is how V2 clients that ask for it get the difference to the event
// before instead of a whole event.
type DeltaConfig struct {
	// Enabled lets clients ask for it. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// Algorithm is that of clients which do not choose one. Default: fossil.
	Algorithm string `json:"algorithm,omitempty" words:"fossil xdelta3"`

	// FullMessageInterval is the number of deltas after which a whole event follows.
	// Default: 10.
	FullMessageInterval Number `json:"full_message_interval,omitempty" min:"1"`

	// MinMessageSize is the size of a message, in bytes, below which it is sent whole.
	// Default: 100.
	MinMessageSize Size `json:"min_message_size,omitempty"`

	// MaxStateAge is the time without an event after which the next one is sent whole.
	// Default: 300s.
	MaxStateAge Duration `json:"max_state_age,omitempty" min:"1s"`

	// MaxChannelStatesPerSocket is the number of channels of one socket for which the
	// event before is kept. Default: 100.
	MaxChannelStatesPerSocket Number `json:"max_channel_states_per_socket,omitempty" min:"1"`

	// MaxConflationStatesPerChannel is the number of conflation keys of one channel of a
	// socket for which it is kept. Default: 100.
	MaxConflationStatesPerChannel Number `json:"max_conflation_states_per_channel,omitempty" min:"1"`

	// ConflationKeyPath is where the conflation key of an event is found, names with dots
	// between them such as data.symbol. Events of one key are compared with each other.
	// Default: none, so that a channel is one sequence.
	ConflationKeyPath string `json:"conflation_key_path,omitempty" path:"yes"`

	// OmitDeltaAlgorithm leaves the algorithm out of each delta. Default: off.
	OmitDeltaAlgorithm Switch `json:"omit_delta_algorithm,omitempty"`
}

// AppRecovery overrides the hub's setting of recovery.
type AppRecovery struct {
	// Enabled switches recovery. Default: as the hub.
	Enabled Switch `json:"enabled,omitempty"`

	// BufferSize is the number of events kept of each channel. Default: 0, as the hub.
	BufferSize Number `json:"buffer_size,omitempty"`

	// TTL is how long an event is kept, in whole seconds. Default: as the hub.
	TTL Duration `json:"ttl,omitempty" min:"1s"`
}

// ChannelDeltaConfig is how the channels of one name or pattern are compressed. In
// JSON the mode may stand instead of the object.
type ChannelDeltaConfig struct {
	// Mode chooses an algorithm, or none. Default: inherit, as the hub.
	Mode string `json:"mode,omitempty" words:"inherit disabled fossil xdelta3" fold:"yes"`

	// Enabled is another way to say disabled: off. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// Algorithm is another way to choose one. Default: as the mode.
	Algorithm string `json:"algorithm,omitempty" words:"fossil xdelta3" fold:"yes"`

	// ConflationKey is where the conflation key of an event is found. Default: as the
	// hub.
	ConflationKey string `json:"conflation_key,omitempty" path:"yes"`

	// MaxConflationKeys is the number of conflation keys of one socket. Default: 0, as
	// the hub.
	MaxConflationKeys Number `json:"max_conflation_keys,omitempty"`

	// EnableTags leaves tags in the frames of V2 clients. Default: on.
	EnableTags Switch `json:"enable_tags,omitempty"`
}
