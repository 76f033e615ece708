package sockudo

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// v2 are the settings that only V2 clients notice, and the grace of members.
func (c *HubConfig) v2(s *realtime.Settings) {
	if n := c.Recovery; n != nil {
		r := &s.Recovery
		r.Enabled = n.Enabled.or(true)
		r.BufferSize = n.BufferSize.or(r.BufferSize)
		r.TTL = n.TTL.or(r.TTL)
		r.MaxBytes = int(n.MaxBytes.or(int64(r.MaxBytes)))
	}
	if n := c.Presence; n != nil {
		p := &s.Presence
		p.Grace, p.GraceV2 = n.Grace.or(p.Grace), n.V2Grace.or(p.GraceV2)
		p.UpdateRate = n.UpdateRate.or(p.UpdateRate)
	}
	s.Extras.Ephemeral = c.Ephemeral.or(s.Extras.Ephemeral)
	if n := c.Echo; n != nil {
		s.Extras.Echo = n.Enabled.or(true)
		s.Extras.EchoDefault = n.DefaultEchoMessages.or(s.Extras.EchoDefault)
	}
	f := &s.Filters
	if n := c.TagFilter; n != nil {
		f.Tags = n.Enabled.or(true)
		f.KeepTags = n.EnableTags.or(f.KeepTags)
	}
	if n := c.EventFilter; n != nil {
		f.Events = n.Enabled.or(true)
		f.MaxEvents = n.MaxEventsPerFilter.or(f.MaxEvents)
		f.MaxEventLength = n.MaxEventNameLength.or(f.MaxEventLength)
	}
	if n := c.Delta; n != nil {
		n.settings(&s.Delta)
	}
}

func (n *DeltaConfig) settings(d *realtime.DeltaSettings) {
	d.Enabled = n.Enabled.or(true)
	if n.Algorithm != "" {
		d.Algorithm = n.Algorithm
	}
	d.FullInterval = n.FullMessageInterval.or(d.FullInterval)
	d.MinSize = int(n.MinMessageSize.or(int64(d.MinSize)))
	d.MaxStateAge = n.MaxStateAge.or(d.MaxStateAge)
	d.MaxChannels = n.MaxChannelStatesPerSocket.or(d.MaxChannels)
	d.MaxKeys = n.MaxConflationStatesPerChannel.or(d.MaxKeys)
	d.KeyPath = n.ConflationKeyPath
	d.OmitAlgorithm = n.OmitDeltaAlgorithm.or(d.OmitAlgorithm)
}

// warnIdle warns of times with which a V2 client is closed that is well: silent, but
// it would have answered a ping.
func warnIdle(s *realtime.Settings) []string {
	idle, ping := s.Socket.IdleTimeout, max(s.Socket.PingInterval, s.ActivityTimeout/2, 5*time.Second)
	if idle <= 0 || s.Socket.PingInterval <= 0 || idle > ping {
		return nil
	}
	return []string{fmt.Sprintf("websocket: idle_timeout closes silent V2 clients after %v, before the first ping, which they get after %v", idle, ping)}
}

// record is the override as stores keep it.
func (r *AppRecovery) record() (a storage.AppRecovery, err error) {
	if r == nil {
		return a, nil
	}
	if r.Enabled != "" {
		on := r.Enabled.or(true)
		a.Enabled = &on
	}
	a.TTL, a.BufferSize = r.TTL.or(0), r.BufferSize.or(0)
	if a.TTL%time.Second != 0 {
		return a, fmt.Errorf("ttl: %v is not a number of whole seconds, in which stores keep it", a.TTL)
	}
	return a, nil
}

// deltas are the channels that are compressed in their own way, as stores keep them.
func (c *AppChannels) deltas() (map[string]storage.ChannelDelta, error) {
	var all map[string]storage.ChannelDelta
	for _, name := range sortedKeys(c.ChannelDelta) {
		err := checkDeltaChannel(name)
		var one storage.ChannelDelta
		if err == nil {
			one, err = c.ChannelDelta[name].record()
		}
		if err != nil {
			return nil, fmt.Errorf("delta %s: %w", name, err)
		}
		if all == nil {
			all = map[string]storage.ChannelDelta{}
		}
		all[name] = one
	}
	return all, nil
}

// checkDeltaChannel checks the name of a channel, or a pattern for some.
func checkDeltaChannel(name string) error {
	odd := strings.IndexFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		return !letter && !strings.ContainsRune("-_=@,;.:#*", r)
	})
	switch {
	case name == "":
		return errors.New("the name of the channel is empty")
	case odd >= 0:
		return errors.New("no channel has such a name")
	case strings.Count(name, "*") > 1:
		return errors.New("the pattern has more than one *")
	}
	return nil
}

func (c *ChannelDeltaConfig) record() (d storage.ChannelDelta, err error) {
	mode, algorithm := strings.ToLower(c.Mode), strings.ToLower(c.Algorithm)
	switch mode {
	case "disabled":
		d.Disabled = true
		if c.Enabled.or(false) {
			return d, errors.New("mode disabled and enabled on contradict each other")
		}
	case "fossil", "xdelta3":
		if algorithm != "" && algorithm != mode {
			return d, fmt.Errorf("mode %s and algorithm %s contradict each other", mode, algorithm)
		}
		algorithm = mode
	}
	d.Disabled = d.Disabled || !c.Enabled.or(true)
	d.Algorithm = algorithm
	d.ConflationKey, d.MaxConflationKeys = c.ConflationKey, c.MaxConflationKeys.or(0)
	d.DropTags = !c.EnableTags.or(true)
	return d, nil
}
