package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/batch"
)

// sharedHistories are the drivers that several nodes can have one history in.
const sharedHistories = "postgres, mysql, redis, redis_cluster, dynamodb, scylladb or surrealdb"

// history are the settings of what is kept of channels.
func (c *HubConfig) history(s *realtime.Settings) {
	if n := c.History; n != nil {
		h := &s.History
		h.Enabled = n.Enabled.or(true)
		h.Rewind = n.Rewind.or(h.Rewind)
		h.Retention = n.Retention.or(h.Retention)
		h.MaxItems = n.MaxItemsPerChannel.or(h.MaxItems)
		h.MaxBytes = n.MaxBytesPerChannel.or(h.MaxBytes)
		h.PageSize = n.MaxPageSize.or(h.PageSize)
		h.Deliver = n.OnFailure == "deliver"
		h.Purge = n.PurgeInterval.or(h.Purge)
	}
	if n := c.PresenceHistory; n != nil {
		m := &s.Members
		m.Enabled = n.Enabled.or(true)
		m.Retention = n.Retention.or(m.Retention)
		m.MaxItems = n.MaxEventsPerChannel.or(m.MaxItems)
		m.MaxBytes = n.MaxBytesPerChannel.or(m.MaxBytes)
		m.PageSize = n.MaxPageSize.or(m.PageSize)
	}
	if n := c.Versions; n != nil {
		v := &s.Versions
		v.Enabled = n.Enabled.or(true)
		v.Retention = n.Retention.orNone(v.Retention)
		v.PageSize = n.MaxPageSize.or(v.PageSize)
	}
	if n := c.Annotations; n != nil {
		s.Annotations = n.Enabled.or(true)
	}
}

// writes says how history is written, over the defaults.
func (c *HistoryConfig) writes() *batch.Options {
	if c == nil {
		c = new(HistoryConfig)
	}
	return &batch.Options{
		Shards: c.WriterShards.or(16), Queue: c.WriterQueueCapacity.or(4096), WriteTimeout: c.WriteTimeout.or(5 * time.Second),
	}
}

// timed gives a driver that bounds its own writes too the same bound.
func (c *HistoryConfig) timed(choice driverChoice) (json.RawMessage, error) {
	if c == nil || c.WriteTimeout == "" || !slices.Contains(guestWords(kindHistory, choice.driver), "write_timeout") {
		return choice.config, nil
	}
	own, err := objectOf(choice.config)
	if err != nil {
		return nil, err
	}
	own["write_timeout"] = c.WriteTimeout
	return json.Marshal(own)
}

// names reports whether the configuration itself says where history is kept.
func (c *HistoryConfig) names() bool { return c != nil && !c.byVariables && rawOf(c) != nil }

// resolveHistory says where history is kept, if anything is (configuration, section
// 1.21, R5 and R7). An app of the configuration may switch on what the hub has off; for
// the sake of apps in a store, so may a driver that is named.
func (d *definition) resolveHistory(c *HubConfig) error {
	s := &d.settings
	events := s.History.Enabled || slices.ContainsFunc(d.apps, func(a *storage.App) bool { return isOn(a.History.Enabled) })
	stored := d.drivers[kindApps].driver != defaultDrivers[kindApps] && c.History.names()
	switch {
	case s.Annotations && !s.Versions.Enabled:
		return errors.New("annotations: they need versioned messages; write versioned_messages on")
	case s.Versions.Enabled && !events && !stored:
		return errors.New("versioned_messages: they need history, which is off; write history { enabled on }, here or in an app")
	}
	d.warnAnnotations()
	if !events && !c.History.names() && !d.keepsMembers() {
		return nil
	}
	choice, err := chooseDriver(kindHistory, rawOf(c.History), c.Database)
	if err == nil {
		choice.config, err = c.History.timed(choice)
	}
	if err != nil {
		return at(kindHistory, err)
	}
	if v := c.Versions; s.Versions.Enabled && v.Driver != "" && driverName(v.Driver) != choice.driver {
		return fmt.Errorf("versioned_messages.driver: %s is not the driver of history, which is %s: a message and its versions are one log, in one place", v.Driver, choice.driver)
	}
	d.drivers[kindHistory], d.writes = choice, c.History.writes()
	return nil
}

func isOn(p *bool) bool { return p != nil && *p }

// keepsMembers reports whether the history of any presence channel is kept.
func (d *definition) keepsMembers() bool {
	return d.settings.Members.Enabled || slices.ContainsFunc(d.apps, keepsMembers)
}

// keepsMembers reports whether an app switches on that the history of presence channels
// is kept.
func keepsMembers(a *storage.App) bool {
	for _, n := range a.Namespaces {
		if isOn(n.PresenceHistory.Enabled) {
			return true
		}
	}
	return isOn(a.PresenceHistory.Enabled)
}

// warnAnnotations warns of apps that switch on what the hub does not have.
func (d *definition) warnAnnotations() {
	if d.settings.Annotations {
		return
	}
	var idle []string
	for _, a := range d.apps {
		on := isOn(a.Annotations)
		for _, n := range a.Namespaces {
			on = on || isOn(n.Annotations)
		}
		if on {
			idle = append(idle, a.ID)
		}
	}
	if len(idle) > 0 {
		d.warnings = append(d.warnings, "annotations of these apps have no effect: "+strings.Join(idle, ", ")+"; the hub has none unless it says annotations on")
	}
}

// pointer is nil where nothing is said.
func (s Switch) pointer() *bool {
	if s == "" {
		return nil
	}
	on := s.or(true)
	return &on
}

// checkRetention refuses what no store can keep.
func checkRetention(retention time.Duration) error {
	if retention%time.Second != 0 {
		return fmt.Errorf("retention: %v is not a number of whole seconds, in which stores keep it", retention)
	}
	return nil
}

// record is the override as stores keep it.
func (h *AppHistory) record() (a storage.AppHistory, err error) {
	if h == nil {
		return a, nil
	}
	a = storage.AppHistory{
		Enabled: h.Enabled.pointer(), Rewind: h.Rewind.pointer(), Retention: h.Retention.or(0),
		MaxItems: h.MaxItemsPerChannel.or(0), MaxBytes: h.MaxBytesPerChannel.or(0),
	}
	return a, checkRetention(a.Retention)
}

func (h *NamespaceHistory) record() (a storage.AppHistory, err error) {
	if h == nil {
		return a, nil
	}
	a = storage.AppHistory{
		Rewind: h.Rewind.pointer(), Retention: h.Retention.or(0),
		MaxItems: h.MaxItemsPerChannel.or(0), MaxBytes: h.MaxBytesPerChannel.or(0),
	}
	return a, checkRetention(a.Retention)
}

func (h *AppPresenceHistory) record() (a storage.AppHistory, err error) {
	if h == nil {
		return a, nil
	}
	a = storage.AppHistory{
		Enabled: h.Enabled.pointer(), Retention: h.Retention.or(0),
		MaxItems: h.MaxEventsPerChannel.or(0), MaxBytes: h.MaxBytesPerChannel.or(0),
	}
	return a, checkRetention(a.Retention)
}

// histories gives a record what the app says of history and annotations.
func (a *AppConfig) histories(app *storage.App) (err error) {
	app.Annotations = a.Annotations.pointer()
	if app.History, err = a.History.record(); err != nil {
		return at("history", err)
	}
	app.PresenceHistory, err = a.PresenceHistory.record()
	return at("presence_history", err)
}

// histories does so for a namespace.
func (n *NamespaceConfig) histories(to *storage.Namespace) (err error) {
	to.Annotations = n.Annotations.pointer()
	if to.History, err = n.History.record(); err != nil {
		return fmt.Errorf("namespace %s: history: %w", n.Name, err)
	}
	if to.PresenceHistory, err = n.PresenceHistory.record(); err != nil {
		return fmt.Errorf("namespace %s: presence_history: %w", n.Name, err)
	}
	return nil
}
