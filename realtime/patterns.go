package realtime

import (
	"context"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// pattern is the name of a subscription to all public channels that it matches
// (section 3.8). It is a channel of its own, on which nothing is published.
type pattern struct{ prefix, suffix string }

// patternOf takes the pattern of a channel name apart, nil for a name without one.
func patternOf(info protocol.Channel) *pattern {
	if info.User != "" || strings.HasPrefix(info.Name, protocol.MetaPrefix) {
		return nil
	}
	prefix, suffix, ok := strings.Cut(info.Name, "*")
	if !ok {
		return nil
	}
	return &pattern{prefix, suffix}
}

func (p *pattern) matches(name string) bool {
	return len(name) >= len(p.prefix)+len(p.suffix) && strings.HasPrefix(name, p.prefix) && strings.HasSuffix(name, p.suffix)
}

// matchesPublic reports whether a subscription to the pattern brings the events of a
// channel: only public channels are matched, since others need a signature.
func (p *pattern) matchesPublic(name string) bool {
	return p.matches(name) && matchable(protocol.ParseChannel(name))
}

func matchable(info protocol.Channel) bool {
	return info.Kind == protocol.Public && !strings.HasPrefix(info.Name, "#") && !hidden(info)
}

// hidden reports whether a channel is none that anybody publishes on: a pattern, or
// what tells about another channel.
func hidden(info protocol.Channel) bool {
	return strings.HasPrefix(info.Name, protocol.MetaPrefix) || patternOf(info) != nil
}

// patterns are those of an app that somebody has subscribed to, here or on other
// nodes.
type patterns struct {
	list []*channel // by name
	// epoch counts the changes.
	epoch uint64
}

// addPattern and dropPattern keep the list. The caller holds the lock of the
// pattern's shard, which no publisher has.
func (a *App) addPattern(ch *channel) {
	a.changePatterns(func(list []*channel) []*channel {
		i, _ := slices.BinarySearchFunc(list, ch, byName)
		return slices.Insert(list, i, ch)
	})
}

func (a *App) dropPattern(ch *channel) {
	a.changePatterns(func(list []*channel) []*channel {
		return slices.DeleteFunc(list, func(other *channel) bool { return other == ch })
	})
}

func byName(a, b *channel) int { return strings.Compare(a.info.Name, b.info.Name) }

func (a *App) changePatterns(change func([]*channel) []*channel) {
	for {
		old := a.patterns.Load()
		changed := &patterns{epoch: 1}
		if old != nil {
			changed.list, changed.epoch = slices.Clone(old.list), old.epoch+1
		}
		changed.list = change(changed.list)
		if a.patterns.CompareAndSwap(old, changed) {
			return
		}
	}
}

// patternsFor are the patterns that match a channel, by name.
func (a *App) patternsFor(info protocol.Channel) (matching []*channel) {
	all := a.patterns.Load()
	if all == nil || !matchable(info) {
		return nil
	}
	for _, ch := range all.list {
		if ch.pattern.matches(info.Name) {
			matching = append(matching, ch)
		}
	}
	return matching
}

// matchingLocked are the patterns that match the channel. The caller holds mu.
func (ch *channel) matchingLocked() []*channel {
	all := ch.app.patterns.Load()
	if all == nil {
		return nil
	}
	if ch.matched != all.epoch {
		ch.matching, ch.matched = ch.app.patternsFor(ch.info), all.epoch
	}
	return ch.matching
}

// sendEvent puts an event in line for the subscribers of the channel and of the
// patterns that match it, but for except. The caller holds mu. The locks of patterns
// are taken below those of channels, in the order of their names.
func (ch *channel) sendEvent(m *message, except *Conn) {
	matching := ch.matchingLocked()
	if len(matching) == 0 {
		m.order = ch.app.hub.order.Add(1)
		m.depart(ch, ch.count)
		ch.send(m, except)
		m.landed(ch.app)
		return
	}
	recipients := ch.count
	for _, p := range matching {
		p.mu.Lock()
		recipients += p.count
	}
	m.order = ch.app.hub.order.Add(1)
	m.depart(ch, recipients)
	defer m.landed(ch.app)
	groups := [][]*part{}
	place := func(p *part) {
		if m.v2 && p.format == protocol.FormatV1 {
			return
		}
		m.frame(p.format)
		for i, g := range groups {
			if g[0].worker == p.worker && g[0].format == p.format {
				groups[i] = append(g, p)
				return
			}
		}
		groups = append(groups, []*part{p})
	}
	for _, p := range ch.parts {
		place(p)
	}
	for _, pattern := range matching {
		for _, p := range pattern.parts {
			place(p)
		}
	}
	for _, g := range groups {
		pushAll(g, m, except)
	}
	for _, p := range matching {
		p.mu.Unlock()
	}
}

// reachPatterns sends an event to the nodes that have subscribers of patterns which
// match its channel. They know it again if they get it for the channel too.
func (l Live) reachPatterns(ctx context.Context, e *protocol.Envelope) error {
	if e.Node == "" || e.Kind != protocol.KindEvent {
		return nil
	}
	a := l.Hub.liveApp(e.App)
	if a == nil {
		return nil
	}
	for _, p := range a.patternsFor(protocol.ParseChannel(e.Channel)) {
		p.mu.Lock()
		elsewhere := p.elsewhereCount > 0
		p.mu.Unlock()
		if !elsewhere {
			continue
		}
		copied := *e
		copied.Pattern = p.info.Name
		if err := l.carry(ctx, &copied); err != nil {
			return err
		}
	}
	return nil
}
