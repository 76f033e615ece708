package realtime

import (
	"maps"
	"time"
)

// What webhooks were told last of a subject is known to all nodes, and reaches them by
// several ways: when it has been told, with everything that a node tells, and again
// after the network was divided. What is older must not undo what is newer, or else
// something would stay untold for ever; so it goes with the time at which it was told.

// lastWord is what was told of a subject, and when: microseconds since 1970, but later
// than what was told before as far as that was known. Zero is a time that nobody
// remembers.
type lastWord struct {
	value int
	at    int64
}

// longAgo is before all that is remembered.
const longAgo = 1

// nowLocked is the time of what is told now of a subject.
func (t *transitions) nowLocked(s subject) int64 {
	return max(time.Now().UnixMicro(), t.stamps[s]+1)
}

func (t *transitions) rememberLocked(s subject, at int64) {
	if _, known := t.stamps[s]; known || len(t.stamps) < maxJournal {
		t.stamps[s] = at
	}
}

// pruneTold forgets when what was told that nobody can contradict any more.
func (c *cluster) pruneTold(now time.Time, recent time.Duration) {
	if !c.journal.prune(now, recent) {
		return
	}
	before := now.Add(-recent).UnixMicro()
	for _, a := range c.hub.liveApps() {
		a.transitions.pruneStamps(before)
	}
}

func (t *transitions) pruneStamps(before int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.stamps, func(_ subject, at int64) bool { return at < before })
}

// answered is a time before which everything was told, or is still to be told, that
// other nodes were to tell: none of them has been silent since.
func (c *cluster) answered(now time.Time, timeout time.Duration) time.Time {
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, p := range c.peers {
		if p.ready && p.spoke.Before(now) {
			now = p.spoke
		}
	}
	return now.Add(-2 * timeout)
}

// bequeath passes on, before this node leaves, its doubts about a node that is silent
// and that nobody has given up yet: this node may be the last one that knows of what
// that one was to tell.
func (c *cluster) bequeath() {
	silence := c.hub.settings().Cluster.NodeTimeout / 2
	c.peersMu.Lock()
	defer c.peersMu.Unlock()
	for _, p := range c.peers {
		if p.ready && time.Since(p.spoke) > silence {
			c.doubt()
			return
		}
	}
}

// withValue visits what is true of a subject, which does not change meanwhile.
func (a *App) withValue(s subject, visit func(value int)) {
	ch := a.channel(s.channel)
	if ch == nil {
		visit(0)
		return
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	visit(ch.valueLocked(s))
}

// compare looks at a subject again if what was told of it is not true.
func (t *transitions) compare(s subject) {
	if t.app.tracks()&aspectEvents[s.aspect] == 0 {
		return
	}
	t.app.withValue(s, func(actual int) {
		t.mu.Lock()
		defer t.mu.Unlock()
		_, pending := t.due[s]
		_, flying := t.flying[s]
		_, waiting := t.waiting[s]
		if actual != t.lastToldLocked(s) && !pending && !flying && !waiting {
			t.pendLocked(s, t.app.delay(s, actual))
		}
	})
}

// learn takes what another node says was told. What differs from what is true is due,
// whoever is to tell it. It reports false for what is older than what is known.
func (t *transitions) learn(s subject, word lastWord) (news bool) {
	t.app.withValue(s, func(actual int) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if known := t.stamps[s]; known != 0 && word.at <= known {
			return
		}
		news = true
		t.setToldLocked(s, word.value)
		if word.at > longAgo {
			t.rememberLocked(s, word.at)
		}
		_, pending := t.due[s]
		switch {
		case actual == word.value:
			delete(t.waiting, s)
		case !pending:
			t.pendLocked(s, t.app.delay(s, actual))
		}
	})
	return news
}

// toldFacts are what webhooks were told of one channel.
type toldFacts struct {
	Name     string   `json:"name"`
	Occupied *bool    `json:"occupied,omitempty"`
	Count    *int     `json:"count,omitempty"`
	In       []string `json:"in,omitempty"`
	Out      []string `json:"out,omitempty"`
	// Owned says, within a telling of everything, that the node owns the channel.
	Owned bool `json:"owned,omitempty"`
	// At is when all of it was told, see lastWord.
	At int64 `json:"at,omitempty"`
}

func (f *toldFacts) add(s subject, value int) {
	switch {
	case s.aspect == aspectOccupied:
		occupied := value != 0
		f.Occupied = &occupied
	case s.aspect == aspectCount:
		f.Count = &value
	case value != 0:
		f.In = append(f.In, s.user)
	default:
		f.Out = append(f.Out, s.user)
	}
}

func (f *toldFacts) each(visit func(s subject, value int)) {
	if f.Occupied != nil {
		visit(subject{aspect: aspectOccupied, channel: f.Name}, number(*f.Occupied))
	}
	if f.Count != nil {
		visit(subject{aspect: aspectCount, channel: f.Name}, *f.Count)
	}
	for _, user := range f.In {
		visit(subject{aspectMember, f.Name, user}, 1)
	}
	for _, user := range f.Out {
		visit(subject{aspectMember, f.Name, user}, 0)
	}
}

// toldFactsOf are what webhooks were told, by channel and time.
func toldFactsOf(told map[subject]lastWord) (facts []toldFacts) {
	type group struct {
		channel string
		at      int64
	}
	places := map[group]int{}
	for s, word := range told {
		g := group{s.channel, word.at}
		i, ok := places[g]
		if !ok {
			i = len(facts)
			places[g] = i
			facts = append(facts, toldFacts{Name: s.channel, At: word.at})
		}
		facts[i].add(s, word.value)
	}
	return facts
}

// markTold says to the other nodes what this one has told.
func (c *cluster) markTold(app string, s subject, word lastWord) {
	if !c.active.Load() {
		return
	}
	c.journal.add(app, s, word)
	c.changedMu.Lock()
	defer c.changedMu.Unlock()
	c.changedLocked(app).tell(s, word)
}

func (c *changedApp) tell(s subject, word lastWord) {
	if c.told == nil {
		c.told = map[subject]lastWord{}
	}
	c.told[s] = word
}

// toldHere is what was told of the channels that this node owns, or of all while it
// is not clear who owns what.
func (a *App) toldHere(o owners) (facts []toldFacts) {
	t := a.transitions
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, ch := range t.told {
		if o.nodes != nil && !o.own(a.id, name) {
			continue
		}
		told := map[subject]lastWord{}
		note := func(s subject, value int) { told[s] = lastWord{value, t.stamps[s]} }
		note(subject{aspect: aspectOccupied, channel: name}, number(ch.occupied))
		if ch.count > 0 {
			note(subject{aspect: aspectCount, channel: name}, ch.count)
		}
		for user := range ch.members {
			note(subject{aspectMember, name, user}, 1)
		}
		for _, f := range toldFactsOf(told) {
			f.Owned = o.nodes != nil
			facts = append(facts, f)
		}
	}
	return facts
}

// learnTold takes what another node has told, or the last owner of a channel.
func (p *peer) learnTold(a *App, f *toldFacts, snapshot bool) {
	if p.cluster.hub.settings().Webhooks.Sink == nil {
		return
	}
	f.each(func(s subject, value int) {
		switch {
		case f.At != 0:
		case !snapshot:
		case p.cluster.journal.has(a.id, s):
			return // told here meanwhile, and nobody knows which was later
		case !f.Owned && p.cluster.ready.Load():
			return // known here just as well
		}
		if a.transitions.learn(s, lastWord{value, f.At}) {
			p.cluster.journal.remove(a.id, s)
		}
	})
}
