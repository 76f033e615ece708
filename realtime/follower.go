package realtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/span"
	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

const (
	// followAfter is how long a node waits for an event whose number is missing, before
	// it asks the store for it.
	followAfter = 50 * time.Millisecond
	// followTries bounds the attempts to ask the store, in growing intervals from
	// followAfter on: about six seconds in sum.
	followTries = 7
	// maxHeld bounds what waits for a missing number on one channel, in bytes.
	maxHeld = 1 << 20
	// missingPage is the number of events that are read at one time when some have not
	// come.
	missingPage = 100
	// followers bounds the questions to the store at one time.
	followers = 32
)

// follower keeps a node's copy of a stream that nodes share. Events come in any
// order, from several nodes by way of an adapter that may lose some; they are
// delivered in the order of their numbers, and what is missing is read from the
// store. channel.mu guards it.
type follower struct {
	held  []held
	bytes int
	// asking says that somebody asks the store, and ending that the stream is to be
	// ended there.
	asking, ending bool
	tries          int
	seam           seam
}

// held is an event that has come before its time, or of a stream that is not known.
type held struct {
	message  *message
	envelope *protocol.Envelope
}

// streamKey is where nodes share the stream of a channel.
func streamKey(app, channel string) string { return "app:" + app + ":stream:" + channel }

// number gives an event the next number of the stream that nodes share, before
// anybody gets it. An event that cannot be numbered is not published: a client that
// resumes later would not know what it has missed.
func (l Live) number(ctx context.Context, app *storage.App, e *protocol.Envelope) error {
	if e.Ephemeral {
		return nil
	}
	switch n := numberingOf(app, protocol.ParseChannel(e.Channel), l.Settings); n.counter {
	case countStreams:
		ctx, cancel := context.WithTimeout(ctx, driverTimeout)
		defer cancel()
		p, err := l.Settings.Drivers.Streams.Append(ctx, streamKey(e.App, e.Channel), protocol.NewMessageID(), e.AppendBinary(nil), n.bounds())
		if err != nil {
			return err
		}
		e.Stream, e.Serial = p.Stream, p.Serial
		return nil
	case countHistory:
		ctx, step := span.Start(ctx, "sockudo.history.append", span.Attribute{Key: span.App, Value: e.App})
		err := l.store(ctx, app, e, n.history)
		step.End(err)
		return err
	default:
		return nil
	}
}

// seek makes sure that the node knows where the shared stream of a channel stands,
// before somebody joins it. The adapter has been asked for the channel. Without an
// answer of the store the channel has no position, and clients cannot resume.
func (ch *channel) seek() {
	live, err := ch.app.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	ch.mu.Lock()
	n := ch.counted(live.Settings)
	known := ch.stream != nil
	ch.mu.Unlock()
	if known || !n.shared() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), driverTimeout)
	defer cancel()
	head, err := ch.positions(live, n).head(ctx)
	if err != nil {
		live.Settings.Log.Warn("asking for the position of a channel", zap.String("app", ch.app.id), zap.Error(err))
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.stream == nil {
		ch.beginStream(head, n)
	}
}

// follow takes an event of a stream that nodes share. The caller holds mu.
func (ch *channel) follow(m *message, e *protocol.Envelope, n numbering) {
	if e.Stream != "" && e.Stream == ch.former {
		// It was on its way when another history took the place of its own.
		m.out.StreamID, m.out.Serial = "", 0
		ch.tell(m, e)
		return
	}
	if ch.stream == nil {
		if ch.count == 0 && len(ch.matchingLocked()) == 0 {
			return // nobody is here
		}
		if e.Stream == "" {
			ch.tell(m, e)
			return
		}
		// Nobody here has a position, so the first event is where they begin.
		ch.beginStream(position{stream: e.Stream, serial: e.Serial - 1}, n)
	}
	s, r := ch.stream, n.recovery
	switch {
	case e.Unstored:
		ch.tell(m, e)
		ch.breakOff()
	case e.Stream == "" && n.counter == countHistory:
		// A node has published it that keeps no history: it gets its place now.
		ch.adoptEvent(e)
	case e.Stream == "":
		// A node has published it that does not number events: who resumes would not
		// know of it, unless the stream ends.
		ch.tell(m, e)
		ch.ask(askEnd)
	case e.Stream == s.id && e.Serial == s.head+1:
		ch.tell(m, e)
		ch.keep(m, r)
		ch.catchUp(r)
	case e.Stream == s.id && s.follower.seam.passes(e.Serial):
		m.out.StreamID, m.out.Serial = "", 0
		ch.tell(m, e)
	case e.Stream == s.id && e.Serial <= s.head && !ch.contradicts(m):
		// It was here before.
	default:
		ch.hold(m, e)
	}
}

// contradicts reports whether an event has the number of another one: the store has
// lost what it had. The caller holds mu.
func (ch *channel) contradicts(m *message) bool {
	s := ch.stream
	if m.out.Serial < s.first() {
		return false
	}
	return s.after(m.out.Serial - 1)[0].out.MessageID != m.out.MessageID
}

// hold keeps an event until it is its turn, and asks the store for what is missing.
func (ch *channel) hold(m *message, e *protocol.Envelope) {
	f := ch.stream.follower
	f.held = append(f.held, held{m, e})
	f.bytes += m.size()
	ch.ask(askMissing)
}

// catchUp delivers what has waited for its turn. The caller holds mu.
func (ch *channel) catchUp(r recovery) {
	s := ch.stream
	f := s.follower
	for again := len(f.held) > 0; again; {
		again = false
		kept := f.held[:0]
		for _, h := range f.held {
			switch {
			case h.envelope.Stream == s.id && h.envelope.Serial == s.head+1:
				ch.tell(h.message, h.envelope)
				ch.keep(h.message, r)
				again = true
			case h.envelope.Stream == s.id && h.envelope.Serial <= s.head && !ch.contradicts(h.message):
			default:
				kept = append(kept, h)
				continue
			}
			f.bytes -= h.message.size()
		}
		clear(f.held[len(kept):])
		f.held = kept
	}
	if len(f.held) == 0 {
		f.held, f.tries = nil, 0
	}
}

// question is why the store is asked.
type question uint8

const (
	// askMissing asks for what has not come, if it does not come soon.
	askMissing question = iota
	// askNews asks for what may have been missed without a sign of it.
	askNews
	// askEnd ends the stream.
	askEnd
)

// ask looks in the store soon, unless somebody is about to. The caller holds mu.
func (ch *channel) ask(q question) {
	f := ch.stream.follower
	if f.asking && q != askEnd || f.ending {
		return
	}
	pause := followAfter << f.tries
	if f.bytes > maxHeld || q == askEnd && f.tries == 0 {
		pause = 0
	}
	f.asking, f.ending = true, q == askEnd
	h := ch.app.hub
	stream := ch.stream.id
	h.background(func(ctx context.Context) {
		if pause > 0 && !wait.For(ctx, pause) {
			return
		}
		select {
		case h.asking <- struct{}{}:
			defer func() { <-h.asking }()
		case <-ctx.Done():
			return
		}
		ch.resync(ctx, stream, q)
	})
}

// resync brings the node's copy of a shared stream up to what the store has.
func (ch *channel) resync(ctx context.Context, stream string, q question) {
	live, err := ch.app.hub.Live()
	if err != nil {
		return
	}
	defer live.Release()
	if q == askMissing && ch.complete() {
		return // what was missing has come meanwhile
	}
	n := ch.numbering(live.Settings)
	err = ch.fetch(ctx, live, stream, q == askEnd, n)
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.stream == nil || ch.stream.follower == nil || !ch.stream.countedBy(n) {
		return
	}
	f := ch.stream.follower
	f.asking, f.ending = false, false
	if err == nil {
		q = askMissing
	}
	if len(f.held) == 0 && q == askMissing {
		return
	}
	// What waits may have come after the store was read.
	if f.tries++; f.tries < followTries && f.bytes <= maxHeld {
		ch.ask(q)
		return
	}
	live.Settings.Log.Warn("events of a channel are missing, and the store does not have them",
		zap.String("app", ch.app.id), zap.Error(err))
	ch.giveUp(n.recovery)
}

// fetch takes all that the store has after what is here, page by page.
func (ch *channel) fetch(ctx context.Context, live Live, stream string, end bool, n numbering) error {
	for {
		page, err := ch.read(ctx, live, stream, end, n)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ch.mu.Lock()
		s := ch.stream
		if s == nil || s.follower == nil || !s.countedBy(n) {
			ch.mu.Unlock()
			return nil
		}
		before := s.head
		ch.adopt(page, n.recovery)
		ch.catchUp(n.recovery)
		stream, end = s.id, false
		more := s.head > before && s.head < page.head.serial
		ch.mu.Unlock()
		if !more {
			return nil
		}
	}
}

// complete reports whether nothing waits, and ends the question to the store.
func (ch *channel) complete() bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	s := ch.stream
	if s == nil || s.follower == nil {
		return true
	}
	if s.follower.ending || len(s.follower.held) > 0 {
		return false
	}
	s.follower.asking = false
	return true
}

func (ch *channel) read(ctx context.Context, live Live, stream string, end bool, n numbering) (page eventPage, err error) {
	from := ch.positions(live, n)
	if from == nil {
		return page, nil
	}
	ctx, cancel := context.WithTimeout(ctx, driverTimeout)
	defer cancel()
	if end {
		if err := from.end(ctx, stream); err != nil {
			return page, fmt.Errorf("ending a stream: %w", err)
		}
	}
	ch.mu.Lock()
	after := uint64(0)
	if ch.stream != nil && ch.stream.id == stream {
		after = ch.stream.head
	}
	ch.mu.Unlock()
	limit := max(n.size, missingPage)
	page, err = from.after(ctx, after, limit)
	if err == nil && page.head.stream != stream && after > 0 {
		page, err = from.after(ctx, max(page.head.serial, uint64(limit))-uint64(limit), limit) // the end of another stream
	}
	return page, err
}

// adopt takes what the store has. The caller holds mu.
func (ch *channel) adopt(page eventPage, r recovery) {
	s := ch.stream
	if page.head.stream == "" {
		return
	}
	reset := page.head.stream != s.id
	if reset {
		ch.lose(protocol.ResumeStreamReset, "stream_id_mismatch", page.head)
		s.id, s.head, s.row, s.broken = page.head.stream, 0, 0, page.head.reason
		s.drop(ch.app.hub, len(s.kept))
	}
	for _, e := range page.events {
		if e.Serial <= s.head {
			continue
		}
		if e.Serial > s.head+1 {
			if !reset {
				ch.lose(protocol.ResumeExpired, "recovery_window_exceeded", page.head)
			}
			s.drop(ch.app.hub, len(s.kept))
			s.head = e.Serial - 1
		}
		m := ch.event(e, ch.app.hub.settings())
		ch.tell(m, e)
		ch.keep(m, r)
	}
	if s.head == page.head.serial {
		s.row = page.head.row
	}
}

// giveUp delivers what waits although something before it is missing for good, and
// tells so those who could resume. The caller holds mu.
func (ch *channel) giveUp(r recovery) {
	s := ch.stream
	f := s.follower
	waiting := f.held
	f.held, f.bytes, f.tries = nil, 0, 0
	slices.SortStableFunc(waiting, func(a, b held) int { return cmp.Compare(a.envelope.Serial, b.envelope.Serial) })
	for _, h := range waiting {
		switch e := h.envelope; {
		case e.Stream == s.id && e.Serial > s.head:
			if e.Serial > s.head+1 {
				ch.lose(protocol.ResumeUnverifiable, "recovery_stream_is_not_contiguous", position{stream: s.id, serial: s.head})
				s.drop(ch.app.hub, len(s.kept))
				s.head = e.Serial - 1
			}
			ch.tell(h.message, e)
			ch.keep(h.message, r)
		case e.Stream == s.id && !ch.contradicts(h.message): // it has come twice
		default:
			h.message.out.StreamID, h.message.out.Serial = "", 0
			ch.tell(h.message, e)
			ch.ask(askEnd) // who resumes would not know of it, unless the stream ends
		}
	}
}

// lose tells the V2 subscribers that they have missed something for good. The
// caller holds mu.
func (ch *channel) lose(code, reason string, head position) {
	ch.loseStream(ch.stream.id, code, reason, head)
}

// loseStream tells the same of a stream that was the channel's.
func (ch *channel) loseStream(expected, code, reason string, head position) {
	failed := protocol.ResumeFailure{
		Channel: ch.info.Name, Code: code, Reason: reason, ExpectedStream: &expected, CurrentStream: &head.stream, Newest: &head.serial,
	}
	ch.send(replyV2(protocol.ResumeFailed(failed)), nil)
}

// catchUpStreams asks the store for what may have been missed on the channels of this
// node, while the nodes could not reach each other.
func (h *Hub) catchUpStreams() {
	var channels []*channel
	for _, a := range h.liveApps() {
		for _, name := range a.occupiedHere() {
			if ch := a.channel(name); ch != nil {
				channels = append(channels, ch)
			}
		}
	}
	var next atomic.Int64
	for range min(len(channels), followers/4) {
		h.background(func(ctx context.Context) {
			for i := next.Add(1) - 1; i < int64(len(channels)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				channels[i].news(ctx)
			}
		})
	}
}

// news asks the store for what may have been missed.
func (ch *channel) news(ctx context.Context) {
	ch.mu.Lock()
	shared := ch.stream != nil && ch.stream.follower != nil
	id := ""
	if shared {
		id = ch.stream.id
	}
	ch.mu.Unlock()
	if shared {
		ch.resync(ctx, id, askNews)
	}
}
