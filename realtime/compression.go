package realtime

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime/delta"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// compression is how a subscription wants its events as deltas (section 6.5).
type compression struct {
	// chosen says that the client has chosen the algorithm.
	chosen    bool
	algorithm delta.Algorithm
	// own says that the subscription has asked by itself, and is told.
	own bool
}

// compressed is a message as deltas are made of it, once for all sockets.
type compressed struct {
	once   sync.Once
	text   *delta.Text
	shared delta.Shared
}

// compressible reports whether the message takes part in deltas.
func (m *message) compressible() bool { return m.event && !m.client && !m.full }

// compressed is the message for deltas, made at the first call.
func (m *message) compress() *compressed {
	c := m.deltas.Load()
	if c == nil {
		m.deltas.CompareAndSwap(nil, &compressed{})
		c = m.deltas.Load()
	}
	c.once.Do(func() { c.text = delta.NewText(m.frame(protocol.FormatJSON).Text()) })
	return c
}

// sequence is one socket's sequence of one channel. Only the socket's worker uses it.
type sequence struct {
	delta.Sequence
	policy *policy
	from   *Settings // policy and settings that the rest was made of
	rules  deltaRules
}

// deltaRules are those of one channel.
type deltaRules struct {
	on        bool
	algorithm delta.Algorithm
	path      delta.Path
	settings  delta.Settings
}

// channelDelta is what an app says about the channels of a name or a pattern.
type channelDelta struct {
	pattern
	exact bool
	storage.ChannelDelta
}

// channelDeltas are those of an app: names before patterns, longer patterns first.
func channelDeltas(record *storage.App) (all []channelDelta) {
	for name, d := range record.Delta {
		prefix, suffix, wild := strings.Cut(name, "*")
		all = append(all, channelDelta{pattern{prefix, suffix}, !wild, d})
	}
	slices.SortFunc(all, func(a, b channelDelta) int {
		if a.exact != b.exact {
			return map[bool]int{true: -1, false: 1}[a.exact]
		}
		return cmp.Or(cmp.Compare(len(b.prefix)+len(b.suffix), len(a.prefix)+len(a.suffix)), cmp.Compare(a.prefix, b.prefix))
	})
	return all
}

// delta is what the app says about a channel.
func (p *policy) delta(channel string) storage.ChannelDelta {
	for i := range p.deltas {
		if d := &p.deltas[i]; d.exact && d.prefix == channel || !d.exact && d.matches(channel) {
			return d.ChannelDelta
		}
	}
	return storage.ChannelDelta{}
}

// keepsTags reports whether V2 clients see the tags of a channel's events.
func (p *policy) keepsTags(channel string, s *Settings) bool {
	return s.Filters.KeepTags && (len(p.deltas) == 0 || !p.delta(channel).DropTags)
}

// deltaRules are the rules of a channel. Paths and names were checked with the
// configuration; those of a store that mean nothing count as none.
func (p *policy) deltaRules(channel string, s *Settings) deltaRules {
	d := p.delta(channel)
	r := deltaRules{on: s.Delta.Enabled && !d.Disabled && protocol.ParseChannel(channel).Kind != protocol.Encrypted}
	r.algorithm, _ = delta.Parse(cmp.Or(d.Algorithm, s.Delta.Algorithm))
	r.path, _ = delta.ParsePath(cmp.Or(d.ConflationKey, s.Delta.KeyPath))
	r.settings = delta.Settings{
		FullInterval: s.Delta.FullInterval, MinSize: s.Delta.MinSize, MaxKeys: or(d.MaxConflationKeys, s.Delta.MaxKeys),
		MaxAge: s.Delta.MaxStateAge, Keyed: r.path.Set(),
	}
	return r
}

// compressionOf reads the delta member of a subscription: the name of an algorithm, a
// switch, or an object with both.
func (c *Conn) compressionOf(raw json.RawMessage) (*compression, *protocol.Error) {
	if raw == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.v2.deltas {
			return &compression{}, nil
		}
		return nil, nil
	}
	req, e := protocol.ParseDelta(raw)
	if e != nil || !req.Enabled {
		return nil, e
	}
	c.v2.compressed.Store(true)
	asked := &compression{own: true}
	asked.algorithm, asked.chosen = delta.Parse(req.Algorithm)
	return asked, nil
}

// sequence is the connection's sequence of a channel, nil when the channel's events
// go out in full. A socket has so many sequences and no more.
func (c *Conn) sequence(channel string, s *Settings) *sequence {
	p := c.app.record()
	seq := c.sequences[channel]
	if seq == nil {
		if len(c.sequences) >= s.Delta.MaxChannels {
			return nil
		}
		if c.sequences == nil {
			c.sequences = map[string]*sequence{}
		}
		seq = &sequence{}
		c.sequences[channel] = seq
	}
	if seq.policy != p || seq.from != s {
		before := seq.rules
		seq.policy, seq.from, seq.rules = p, s, p.deltaRules(channel, s)
		if before.settings.Keyed != seq.rules.settings.Keyed {
			seq.Restart()
		}
	}
	if !seq.rules.on {
		return nil
	}
	return seq
}

// frameFor is the frame by which a connection gets a message: a delta to the one
// before it, if the client wants that and it is shorter.
func (w *worker) frameFor(c *Conn, p *Piece) protocol.Frame {
	m := p.message
	if p.tune != nil {
		m = m.form(p.tune.whole)
	}
	if c.format != protocol.FormatJSON || !p.tune.compresses() || !m.compressible() {
		return m.frame(c.format)
	}
	s := w.hub.settings()
	seq := c.sequence(m.out.Channel, s)
	if seq == nil {
		return m.frame(c.format)
	}
	algorithm := seq.rules.algorithm
	if p.tune.delta.chosen {
		algorithm = p.tune.delta.algorithm
	}
	z := m.compress()
	d := seq.Next(m.conflationKey(seq.rules.path), z.text, clock()*int64(time.Millisecond), seq.rules.settings)
	size := len(z.text.Bytes())
	full := func() protocol.Frame {
		c.app.meter.compressed(m, size, 0)
		text := z.text.Bytes()
		return protocol.TextFrame(delta.AppendMembers(make([]byte, 0, len(text)+64), text, d.Seq, d.Key, d.HasKey))
	}
	if d.Full {
		return full()
	}
	if made := z.shared.Delta(algorithm, d.Base, z.text); made != nil {
		text := delta.AppendFrame(make([]byte, 0, 4*len(made)/3+256), delta.Frame{
			Channel: m.out.Channel, Event: m.out.Event, Delta: made, Seq: d.Seq, BaseIndex: d.BaseIndex, Algorithm: algorithm,
			OmitAlgorithm: s.Delta.OmitAlgorithm, Key: d.Key, HasKey: d.HasKey,
			MessageID: m.out.MessageID, StreamID: m.out.StreamID, Serial: m.out.Serial, HasSerial: m.out.StreamID != "",
		})
		if len(text) < size {
			c.app.meter.compressed(m, size, size-len(text))
			return protocol.TextFrame(text)
		}
	}
	seq.SentFull(d)
	return full()
}

func (m *message) conflationKey(path delta.Path) string {
	if !path.Set() {
		return ""
	}
	o := &m.out
	view := delta.Message{Event: o.Event, Channel: o.Channel, Name: o.Name, UserID: o.UserID, Data: o.Data, Tag: m.tags.Get}
	if o.Extras != nil {
		view.Extras = o.Extras.JSON
	}
	key, _ := path.KeyAt(view)
	return key
}

// confirmDelta tells the client whether a subscription that has asked for deltas gets
// them.
func (c *Conn) confirmDelta(channel string, t *tuning, send func(protocol.Frame)) {
	if !t.compresses() || !t.delta.own {
		return
	}
	rules := c.app.record().deltaRules(channel, c.hub.settings())
	if t.delta.chosen {
		rules.algorithm = t.delta.algorithm
	}
	send(c.frame(protocol.DeltaEnabled(rules.on && c.format == protocol.FormatJSON, rules.algorithm.String(), channel)))
}

// enableDelta handles enable_delta_compression: every subscription of the connection
// gets deltas, unless it has said otherwise. Once more, all sequences begin anew.
func (c *Conn) enableDelta() {
	if c.v2 == nil {
		return
	}
	s := c.hub.settings()
	on := s.Delta.Enabled && c.format == protocol.FormatJSON
	if on {
		c.v2.compressed.Store(true)
		c.mu.Lock()
		c.v2.deltas = true
		subs := c.subs.all()
		c.mu.Unlock()
		for _, sub := range subs {
			t := sub.tune.Load()
			switch {
			case t == nil:
				sub.tune.CompareAndSwap(nil, &tuning{delta: &compression{}})
			case t.delta == nil && !t.full:
				changed := *t
				changed.delta = &compression{}
				sub.tune.CompareAndSwap(t, &changed)
			}
		}
		c.inOrder(func(c *Conn) {
			for _, seq := range c.sequences {
				seq.Restart()
			}
		})
	}
	algorithm, _ := delta.Parse(s.Delta.Algorithm)
	c.send(protocol.DeltaEnabled(on, algorithm.String(), ""))
}

// deltaSyncError handles delta_sync_error: the client has lost the base of a channel.
func (c *Conn) deltaSyncError(m protocol.Message) *protocol.Error {
	if c.v2 == nil {
		return nil
	}
	channel, e := protocol.ParseUnsubscribe(m.Data)
	if e != nil {
		return e
	}
	c.inOrder(func(c *Conn) {
		if seq := c.sequences[channel]; seq != nil {
			seq.Forget()
		}
	})
	return nil
}

// restartDeltas begins the sequences of channels anew: a client that resumes may still
// have what an earlier socket has sent, and take it for a base.
func (c *Conn) restartDeltas(positions []protocol.Position) {
	if !c.v2.compressed.Load() {
		return
	}
	c.inOrder(func(c *Conn) {
		for _, p := range positions {
			if seq := c.sequence(p.Channel, c.hub.settings()); seq != nil {
				seq.Restart()
			}
		}
	})
}

// forgetDelta drops what is kept of a channel that the client has left. After a
// pattern, what it has brought begins anew: events may have been on their way that the
// client was not sent any more.
func (c *Conn) forgetDelta(name string) {
	if c.format != protocol.FormatJSON {
		return
	}
	left := patternOf(protocol.ParseChannel(name))
	c.inOrder(func(c *Conn) {
		delete(c.sequences, name)
		if left == nil {
			return
		}
		for channel, seq := range c.sequences {
			if left.matchesPublic(channel) {
				seq.Restart()
			}
		}
	})
}
