package meter

import "sync"

const (
	// MaxChannelNames is how many channels have names of their own in labels. All
	// others are one, named other.
	MaxChannelNames = 1000
	otherChannels   = "other"

	channelType = "channel_type"
	channelName = "channel_name"
)

// names are the channels that have been named in labels.
type names struct {
	sync.RWMutex
	known map[string]bool
}

// label is what a channel is named.
func (n *names) label(channel string) string {
	n.RLock()
	known, full := n.known[channel], len(n.known) >= MaxChannelNames
	n.RUnlock()
	switch {
	case known:
		return channel
	case full:
		return otherChannels
	}
	n.Lock()
	defer n.Unlock()
	if len(n.known) >= MaxChannelNames && !n.known[channel] {
		return otherChannels
	}
	if n.known == nil {
		n.known = map[string]bool{}
	}
	n.known[channel] = true
	return channel
}

// NameChannels says whether metrics of channels are counted by their names from now
// on, or by their kinds only. Configurations that want names have to be registered
// with RegisterNamed.
func (r *Registry) NameChannels(on bool) { r.naming.Store(on) }

// NamesChannels reports whether metrics of channels are counted by their names.
func (r *Registry) NamesChannels() bool { return r.naming.Load() }

// ChannelCounterVec are counters of channels: by the kind of channel, and by its name
// while names are wanted.
type ChannelCounterVec struct {
	registry     *Registry
	plain, named *CounterVec
}

// ChannelCounters makes counters of channels. They have the labels, then channel_type,
// and channel_name where names are wanted.
func (r *Registry) ChannelCounters(name, help string, labels ...string) *ChannelCounterVec {
	labels = append(append(make([]string, 0, len(labels)+2), labels...), channelType)
	v := &ChannelCounterVec{registry: r}
	v.plain = r.counters(name, help, unnamed, labels)
	v.named = r.counters(name, help, named, append(labels, channelName))
	return v
}

// WithLabelValues is the counter that has the labels, of a channel of a kind.
func (v *ChannelCounterVec) WithLabelValues(channel string, values ...string) *Counter {
	if !v.registry.naming.Load() {
		return v.plain.WithLabelValues(values...)
	}
	all := append(make([]string, 0, len(values)+1), values...)
	return v.named.WithLabelValues(append(all, v.registry.channels.label(channel))...)
}

// Named reports whether channels are counted by their names at this moment.
func (v *ChannelCounterVec) Named() bool { return v.registry.naming.Load() }

// Typed is the counter of a kind of channel, to be kept by who counts often. It is the
// right one while channels are not counted by their names.
func (v *ChannelCounterVec) Typed(values ...string) *Counter {
	return v.plain.WithLabelValues(values...)
}
