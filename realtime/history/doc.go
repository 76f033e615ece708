// Package history is what the logs of storage.History mean: the rows of a channel's
// history with their pages, cursors and retention, the presence history, the versions
// of messages that can be changed, and annotations. It knows neither hubs nor
// connections.
//
// The log of a channel holds everything that is published on it and counted: creates,
// which are its rows, and changes of messages, which are not. The serial of an entry
// is its delivery serial, and its row the history serial. Presence histories and
// annotations are logs of their own, under names that no channel has.
package history
