package sockudo

import "encoding/json"

// HistoryConfig keeps what is published on channels, durably where its driver does.
// Versions of messages, annotations and the history of presence channels are kept in
// the same place.
//
// Other keys than these belong to the driver.
type HistoryConfig struct {
	// Driver is where it is kept, the name of a module in the namespace
	// sockudo.histories. One that is named is opened although enabled is off, for apps
	// that switch history on. Default: sqlite, a file of this node.
	Driver string `json:"driver,omitempty"`

	// Enabled keeps the events of all apps that say nothing else. Default: on, in a block
	// that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// Rewind lets V2 clients ask for the newest events when they subscribe. Default: on.
	Rewind Switch `json:"rewind,omitempty"`

	// Retention is how long an event is kept. Default: 24h.
	Retention Duration `json:"retention,omitempty" min:"1s"`

	// MaxItemsPerChannel is the number of events kept of one channel; 0 or "none" is no
	// bound. Default: 0.
	MaxItemsPerChannel Number `json:"max_items_per_channel,omitempty" none:"yes"`

	// MaxBytesPerChannel is the size of the events kept of one channel; 0 or "none" is no
	// bound. Default: 0.
	MaxBytesPerChannel Size `json:"max_bytes_per_channel,omitempty" none:"yes"`

	// MaxPageSize is the number of events in one page or one rewind. Default: 100.
	MaxPageSize Number `json:"max_page_size,omitempty" min:"1"`

	// OnFailure says what happens to an event that cannot be kept: "refuse" publishes
	// nothing and answers with an error, "deliver" sends it to its subscribers all the same
	// and marks the history of the channel as degraded. Default: refuse.
	OnFailure string `json:"on_failure,omitempty" words:"refuse deliver"`

	// PurgeInterval is the time between two looks for what is to go. Default: 300s.
	PurgeInterval Duration `json:"purge_interval,omitempty" min:"10s"`

	// WriterShards is the number of writers, which write what has come meanwhile at once;
	// a channel always has the same one. A change counts when the store is opened the next
	// time. Default: 16.
	WriterShards Number `json:"writer_shards,omitempty" min:"1"`

	// WriterQueueCapacity is the number of events that wait for one writer; above it they
	// cannot be kept. Default: 4096.
	WriterQueueCapacity Number `json:"writer_queue_capacity,omitempty" min:"1"`

	// WriteTimeout bounds writing events, after which they could not be kept. Default: 5s.
	WriteTimeout Duration `json:"write_timeout,omitempty" min:"1ms"`

	options map[string]json.RawMessage // the driver's own
	// byVariables says that no such block is written, and that variables alone made one.
	// They select a driver, and switch nothing on by that.
	byVariables bool
}

// PresenceHistoryConfig keeps who joins presence channels, changes and leaves. It is
// kept where history has its driver, whether history is on or not.
type PresenceHistoryConfig struct {
	// Enabled keeps that of all apps that say nothing else. Default: on, in a block that is
	// there.
	Enabled Switch `json:"enabled,omitempty"`

	// Retention is how long it is kept. Default: 24h.
	Retention Duration `json:"retention,omitempty" min:"1s"`

	// MaxPageSize is the number of them in one page. Default: 100.
	MaxPageSize Number `json:"max_page_size,omitempty" min:"1"`

	// MaxEventsPerChannel is the number of them kept of one channel; 0 or "none" is no
	// bound. Default: 0.
	MaxEventsPerChannel Number `json:"max_events_per_channel,omitempty" none:"yes"`

	// MaxBytesPerChannel is their size in one channel; 0 or "none" is no bound. Default: 0.
	MaxBytesPerChannel Size `json:"max_bytes_per_channel,omitempty" none:"yes"`
}

// VersionsConfig lets messages be changed after they were published, and keeps what they
// said before. It needs history.
type VersionsConfig struct {
	// Enabled lets every event of a channel with history be changed. Default: on, in a block
	// that is there.
	Enabled Switch `json:"enabled,omitempty"`

	// Driver is that of history: a message and its versions are one log. Default: that of
	// history.
	Driver string `json:"driver,omitempty"`

	// Retention is how long versions are kept; 0 or "none" is for ever. Default: 0.
	Retention Duration `json:"retention,omitempty" min:"1s" none:"yes"`

	// MaxPageSize is the number of versions or annotations in one page. Default: 100.
	MaxPageSize Number `json:"max_page_size,omitempty" min:"1"`
}

// AnnotationsConfig lets apps and namespaces switch on that messages are annotated. It
// needs versioned messages.
type AnnotationsConfig struct {
	// Enabled lets them. Default: on, in a block that is there.
	Enabled Switch `json:"enabled,omitempty"`
}

// AppHistory overrides the hub's setting of history.
type AppHistory struct {
	// Enabled keeps the events of the app. Default: as the hub.
	Enabled Switch `json:"enabled,omitempty"`

	// Rewind lets V2 clients ask for the newest events when they subscribe. Default: as the
	// hub.
	Rewind Switch `json:"rewind,omitempty"`

	// Retention is how long an event is kept, in whole seconds. Default: as the hub.
	Retention Duration `json:"retention,omitempty" min:"1s"`

	// MaxItemsPerChannel is the number of events kept of one channel. Default: 0, as the
	// hub.
	MaxItemsPerChannel Number `json:"max_items_per_channel,omitempty"`

	// MaxBytesPerChannel is the size of the events kept of one channel. Default: 0, as the
	// hub.
	MaxBytesPerChannel Size `json:"max_bytes_per_channel,omitempty"`
}

// NamespaceHistory overrides what an app says of history. Only the app can switch it.
type NamespaceHistory struct {
	// Rewind lets V2 clients ask for the newest events when they subscribe. Default: as the
	// app.
	Rewind Switch `json:"rewind,omitempty"`

	// Retention is how long an event is kept, in whole seconds. Default: as the app.
	Retention Duration `json:"retention,omitempty" min:"1s"`

	// MaxItemsPerChannel is the number of events kept of one channel. Default: 0, as the
	// app.
	MaxItemsPerChannel Number `json:"max_items_per_channel,omitempty"`

	// MaxBytesPerChannel is the size of the events kept of one channel. Default: 0, as the
	// app.
	MaxBytesPerChannel Size `json:"max_bytes_per_channel,omitempty"`
}

// AppPresenceHistory overrides the hub's setting of the history of presence channels, or
// that of an app in a namespace.
type AppPresenceHistory struct {
	// Enabled keeps who joins presence channels, changes and leaves. Default: as the hub, or
	// in a namespace as the app, like those below.
	Enabled Switch `json:"enabled,omitempty"`

	// Retention is how long it is kept, in whole seconds. Default: as the hub.
	Retention Duration `json:"retention,omitempty" min:"1s"`

	// MaxEventsPerChannel is the number of them kept of one channel. Default: 0, as the hub.
	MaxEventsPerChannel Number `json:"max_events_per_channel,omitempty"`

	// MaxBytesPerChannel is their size in one channel. Default: 0, as the hub.
	MaxBytesPerChannel Size `json:"max_bytes_per_channel,omitempty"`
}
