package delta

import "time"

// clientMemory is the number of messages per conflation key that the official
// clients keep, in messages. They look for a base among them by its number, and take
// the oldest one that has it.
const clientMemory = 30

// Settings are those of one channel. The zero value allows no delta.
type Settings struct {
	// FullInterval is the number of deltas after which a message goes out in full.
	FullInterval int
	// MinSize is the length of a text, in bytes, below which it goes out in full.
	MinSize int
	// MaxKeys is the number of conflation keys that have a sequence; the one that was
	// not used for longest gives way. Less than one means one.
	MaxKeys int
	// MaxAge ends a sequence that was not used for longer. Zero means never.
	MaxAge time.Duration
	// Keyed says that the channel has a conflation key path. Then all messages have a
	// key, those in which none is found the empty one: a client that has seen a key on
	// a channel looks for the base of every delta under a key.
	Keyed bool
}

// DefaultSettings are those of a channel without any configuration (Appendix B): 10
// deltas, 100 bytes, 100 keys, 300 seconds, no key path.
func DefaultSettings() Settings {
	return Settings{FullInterval: 10, MinSize: 100, MaxKeys: 100, MaxAge: 300 * time.Second}
}

// Decision is how one message goes out to one socket.
type Decision struct {
	// Full says that it goes out in full, with Seq and the key as members. Otherwise
	// it may go out as the delta from Base, the text with the number BaseIndex, if
	// that frame is the shorter one; see Sequence.SentFull.
	Full bool
	// Seq is the number of the message.
	Seq uint64
	// Key is the conflation key that applies, if HasKey.
	Key       string
	HasKey    bool
	Base      *Text
	BaseIndex uint64

	run *sequenceRun
}

// Sequence numbers the messages of one channel for one socket, with a run of numbers
// for each conflation key, and for nothing else: not for event names. The zero value
// is ready. The caller excludes concurrent use.
//
// Only what the socket is sent may pass through it, in the order in which it is sent,
// and only messages that take part in deltas.
type Sequence struct {
	keyed bool
	plain sequenceRun // the only one unless keyed
	keys  keyList
	// hold is for keys that are new here but may not be new to the client.
	hold uint64
}

// sequenceRun is the numbering of one conflation key.
type sequenceRun struct {
	next   uint64 // number of the next message
	base   *Text  // text of the last one, nil if it cannot be a base
	deltas int    // since the last full one
	used   int64
	// hold is the number up to which everything goes out in full, since the client
	// may have other messages with those numbers.
	hold uint64
}

// Next takes a message that is about to be sent at now, in nanoseconds since any
// fixed moment. The key is what Path.KeyAt has found, empty for none.
func (s *Sequence) Next(key string, text *Text, now int64, set Settings) Decision {
	if set.Keyed && !s.keyed {
		*s = Sequence{keyed: true}
	}
	if !s.keyed || !usableKey(key) {
		key = ""
	}
	run := s.run(key, set)
	if set.MaxAge > 0 && now-run.used > int64(set.MaxAge) {
		hold := run.holdAfter()
		if !s.keyed {
			hold = 0 // such clients have one base and look at no number
		}
		*run = sequenceRun{hold: hold}
	}
	d := Decision{Full: true, Seq: run.next, Key: key, HasKey: s.keyed, run: run}
	if run.mayDelta(text, set) {
		d.Full, d.Base, d.BaseIndex = false, run.base, run.next-1
		run.deltas++
	} else {
		run.deltas = 0
	}
	run.next++
	run.used = now
	run.base = text
	if text.opaque {
		run.base = nil
	}
	return d
}

func (s *Sequence) run(key string, set Settings) *sequenceRun {
	if !s.keyed {
		return &s.plain
	}
	run, hold := s.keys.use(key, max(set.MaxKeys, 1))
	if run.next == 0 {
		run.hold = s.hold
	}
	s.hold = max(s.hold, hold)
	return run
}

func (r *sequenceRun) mayDelta(text *Text, set Settings) bool {
	return r.next >= 2 && r.next >= r.hold && r.base != nil && r.deltas < set.FullInterval &&
		len(text.bytes) >= set.MinSize && !text.opaque
}

// holdAfter is the hold of a run that takes the place of this one, at 0, without the
// client knowing: a base must not have a number that is in the client's memory, until
// nothing old is left there. A run that has filled the memory has cleared it of what
// was before, and its own numbers leave it before the new ones reach them.
func (r *sequenceRun) holdAfter() uint64 {
	if r.next >= clientMemory {
		return 0
	}
	if r.next == 0 {
		return r.hold
	}
	return min(max(r.hold, r.next+1), clientMemory)
}

// SentFull says that the message of a decision went out in full, with its number,
// since no delta frame was shorter. The next full message is due later then.
func (s *Sequence) SentFull(d Decision) {
	if d.run != nil && d.run.next == d.Seq+1 {
		d.run.deltas = 0
	}
}

// Forget begins anew at 0, for a client that has dropped what it had: it says so with
// delta_sync_error, and does so when it unsubscribes.
func (s *Sequence) Forget() { *s = Sequence{} }

// Restart begins anew at 0, for a client that may still have what it was sent. Under
// keys, messages go out in full until none of it can be taken for a base.
func (s *Sequence) Restart() {
	next := Sequence{keyed: s.keyed, hold: s.hold}
	for e := s.keys.newest; e != nil; e = e.older {
		next.hold = max(next.hold, e.run.holdAfter())
	}
	*s = next
}

// Release lets go of the texts of runs that are too old to be continued. Nothing
// else changes: it is for memory alone, and needs no particular rhythm.
func (s *Sequence) Release(now int64, set Settings) {
	if set.MaxAge <= 0 {
		return
	}
	if now-s.plain.used > int64(set.MaxAge) {
		s.plain.base = nil
	}
	for e := s.keys.oldest; e != nil && now-e.run.used > int64(set.MaxAge); e = e.newer {
		e.run.base = nil
	}
}
