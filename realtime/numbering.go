package realtime

import (
	"context"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// counter says who numbers the events of a channel.
type counter uint8

const (
	// countNone: nobody does.
	countNone counter = iota
	// countHere: each node for itself, as they are delivered.
	countHere
	// countStreams: the publishing node, by way of the cache that nodes share.
	countStreams
	// countHistory: the publishing node, by way of the history store, which keeps them.
	countHistory
)

// numbering is how the events of one channel are numbered and kept.
type numbering struct {
	recovery
	counter counter
	history HistoryPolicy
	// store is where the numbers are from if they are from a history.
	store storage.History
}

// shared reports whether events have their numbers before they are delivered.
func (n *numbering) shared() bool { return n.counter == countStreams || n.counter == countHistory }

// numberingOf is how the events of a channel are numbered. Recovery is off where
// nobody numbers them.
func numberingOf(app *storage.App, info protocol.Channel, s *Settings) numbering {
	n := numbering{recovery: newRecovery(app, s)}
	if hidden(info) {
		n.on = false
		return n
	}
	if s.Drivers.History != nil {
		n.history = s.historyPolicy(app, info)
	}
	switch {
	case n.history.Enabled:
		n.counter, n.store = countHistory, s.Drivers.History
		if !n.on {
			n.size = 0 // no event is kept here
		}
	case n.on && s.Drivers.Streams != nil:
		n.counter = countStreams
	case n.on:
		n.counter = countHere
	}
	return n
}

func (ch *channel) numbering(s *Settings) numbering {
	return numberingOf(ch.app.record().App, ch.info, s)
}

// positions is where the events of a channel have got their numbers.
type positions interface {
	// head is where the stream stands. One that does not exist gets an id.
	head(ctx context.Context) (position, error)
	// after reads the events with serials above serial, oldest first.
	after(ctx context.Context, serial uint64, limit int) (eventPage, error)
	// end ends the stream if its id is stream.
	end(ctx context.Context, stream string) error
}

// position is a place in a stream. Row is the number of events of it that are in the
// history of the channel.
type position struct {
	stream string
	serial uint64
	row    uint64
	// reason says why the stream cannot be trusted, empty for one that can.
	reason string
}

// eventPage is a part of a stream.
type eventPage struct {
	head position
	// first is the serial of the oldest event that can be read, zero when none can.
	first uint64
	// events have serials without a gap.
	events []*protocol.Envelope
}

// from is the serial of the first event of the page, zero when there is none.
func (p *eventPage) from() uint64 {
	if len(p.events) == 0 {
		return 0
	}
	return p.events[0].Serial
}

// positions is where the events of the channel get their numbers, nil if that is here.
func (ch *channel) positions(live Live, n numbering) positions {
	switch n.counter {
	case countStreams:
		return sharedStream{live.Settings.Drivers.Streams, streamKey(ch.app.id, ch.info.Name), n.recovery}
	case countHistory:
		return live.durable(ch.app.id, ch.info.Name, n.history)
	default:
		return nil
	}
}

// sharedStream is a stream in the cache that nodes share.
type sharedStream struct {
	streams storage.Streams
	key     string
	recovery
}

func (s sharedStream) head(ctx context.Context) (position, error) {
	head, err := s.streams.Head(ctx, s.key, protocol.NewMessageID(), s.bounds())
	return position{stream: head.Stream, serial: head.Serial, row: head.Serial}, err
}

func (s sharedStream) after(ctx context.Context, serial uint64, limit int) (eventPage, error) {
	page, err := s.streams.After(ctx, s.key, serial, limit)
	if err != nil {
		return eventPage{}, err
	}
	read := eventPage{head: position{stream: page.Head.Stream, serial: page.Head.Serial, row: page.Head.Serial}, first: page.First}
	for i, entry := range page.Entries {
		e, err := protocol.DecodeEnvelope(entry)
		if err != nil {
			return read, nil //nolint:nilerr // of another version: what is before it can be had
		}
		e.Stream, e.Serial = page.Head.Stream, page.From+uint64(i)
		read.events = append(read.events, e)
	}
	return read, nil
}

func (s sharedStream) end(ctx context.Context, stream string) error {
	return s.streams.Reset(ctx, s.key, stream)
}
