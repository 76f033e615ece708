package push

import (
	"context"
	"errors"
	"slices"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Subscribe creates a subscription or replaces it. What is missing in it comes from its
// device. A device that does not exist is a fault unless the provider and the hash of
// its address are given.
func (g *Registry) Subscribe(ctx context.Context, app string, s Subscription) (Subscription, error) {
	if err := s.Normalize(); err != nil {
		return s, err
	}
	var done Subscription
	err := g.again(ctx, func() error {
		done = s
		self := key(app, tableDevices, "", s.DeviceID)
		records, err := g.o.Store.Get(ctx, key(app, tableSubscribers, s.Channel, s.DeviceID), self)
		if err != nil {
			return err
		}
		var changes []storage.PushChange
		if !s.OfClient() {
			if err := g.fill(ctx, &records[1], &done); err != nil {
				return err
			}
			// A device that is removed meanwhile has no subscription left.
			changes = append(changes, check(self, records[1].Version))
		}
		changes = append(changes,
			put(records[0].Key, records[0].Version, &done, 0),
			set(key(app, tableInterests, s.DeviceID, s.Channel), &done, 0))
		if records[0].Version == 0 {
			changes = append(changes, members(app, s.Channel, 1))
		}
		return g.o.Store.Apply(ctx, changes...)
	})
	return done, err
}

// fill takes from the device what a subscription lacks.
func (g *Registry) fill(ctx context.Context, r *storage.PushRecord, s *Subscription) error {
	if r.Version == 0 {
		if s.Provider == "" || s.TokenHash == "" {
			return Fault("deviceId", "there is no such device, so provider and tokenHash are needed")
		}
		return nil
	}
	d, err := parseDevice(r)
	if err != nil {
		return err
	}
	if d.Removing {
		if err := g.finishRemoval(ctx, r.Key.App, d); err != nil {
			return err
		}
		return storage.ErrConflict // it is to be looked at again
	}
	if s.Provider == "" {
		s.Provider = d.Recipient.Kind()
	}
	if s.TokenHash == "" {
		s.TokenHash = d.TokenHash()
	}
	if s.ClientID == "" {
		s.ClientID = d.ClientID
	}
	return nil
}

// members changes the counter of a channel. It gives the record a new version, so that
// the channel can be removed with the last one without losing who comes meanwhile.
func members(app, channel string, by int64) storage.PushChange {
	c := set(key(app, tableChannels, "", channel), true, 0)
	c.Counts[0] = by
	return c
}

// SubscriptionFilter says which subscriptions are listed: those of a channel, of a device,
// of both, or all. Those of a client as a whole have the device ClientScope(client).
type SubscriptionFilter struct {
	Channel, DeviceID string
}

// Subscriptions lists subscriptions after a position, by channel and device.
func (g *Registry) Subscriptions(ctx context.Context, app string, f SubscriptionFilter, position string, limit int) (Page[Subscription], error) {
	page := Page[Subscription]{Items: []Subscription{}}
	if len(f.Channel) > MaxName || len(f.DeviceID) > MaxName {
		return page, nil
	}
	var (
		records []storage.PushRecord
		err     error
	)
	switch {
	case f.Channel != "" && f.DeviceID != "":
		r, err := g.get(ctx, key(app, tableSubscribers, f.Channel, f.DeviceID))
		if err != nil || r.Version == 0 || position != "" {
			return page, err
		}
		records = []storage.PushRecord{r}
	case f.Channel != "":
		records, page.Next, err = g.list(ctx, app, tableSubscribers, f.Channel, position, limit)
	case f.DeviceID != "":
		records, page.Next, err = g.list(ctx, app, tableInterests, f.DeviceID, position, limit)
	default:
		records, page.Next, err = g.listAll(ctx, app, position, limit)
	}
	if err != nil {
		return page, err
	}
	for i := range records {
		var s Subscription
		if err := decode(&records[i], &s); err != nil {
			return page, err
		}
		page.Items = append(page.Items, s)
	}
	return page, nil
}

// listAll reads subscriptions of all channels.
func (g *Registry) listAll(ctx context.Context, app, position string, limit int) (records []storage.PushRecord, next string, err error) {
	q := storage.PushQuery{App: app, Table: tableSubscribers, Limit: max(limit, 1) + 1}
	if q.AfterGroup, q.AfterName, err = splitPosition(position); err != nil {
		return nil, "", err
	}
	records, err = g.o.Store.List(ctx, q)
	if err == nil && len(records) == q.Limit {
		records = records[:q.Limit-1]
		last := records[len(records)-1].Key
		next = joinPosition(last.Group, last.Name)
	}
	return records, next, err
}

// stepRows is how many subscriptions one change of the store removes: with the three
// records of each it stays below storage.MaxPushChanges.
const stepRows = 30

// Unsubscribe removes the subscriptions of a channel, of a device, or the one of both,
// and counts them. It removes some at a time; those that are removed are so even if it is
// cut off.
func (g *Registry) Unsubscribe(ctx context.Context, app, channel, deviceID string) (n int, err error) {
	switch {
	case len(channel) > MaxName || len(deviceID) > MaxName || channel == "" && deviceID == "":
		return 0, nil
	case channel == "":
		return g.unsubscribeDevice(ctx, app, deviceID, nil)
	case deviceID == "":
		return g.unsubscribeChannel(ctx, app, channel)
	}
	err = g.again(ctx, func() (err error) {
		n, err = g.dropRows(ctx, app, []storage.PushKey{key(app, tableSubscribers, channel, deviceID)}, nil)
		return err
	})
	return n, err
}

func (g *Registry) unsubscribeChannel(ctx context.Context, app, channel string) (n int, err error) {
	for after := ""; ; {
		records, next, err := g.list(ctx, app, tableSubscribers, channel, after, stepRows)
		if err != nil {
			return n, err
		}
		rows := make([]storage.PushKey, len(records))
		for i := range records {
			rows[i] = records[i].Key
		}
		err = g.again(ctx, func() error {
			k, err := g.dropRows(ctx, app, rows, nil)
			n += k
			return err
		})
		if after = next; err != nil || after == "" {
			return n, err
		}
	}
}

// errOvertaken says that what a change depends on has changed.
var errOvertaken = errors.New("the device has changed meanwhile")

// unsubscribeDevice removes what a device is subscribed to. If a device is given, it is
// ErrConflict as soon as that has changed.
func (g *Registry) unsubscribeDevice(ctx context.Context, app, deviceID string, of *Device) (n int, err error) {
	for after := ""; ; {
		records, next, err := g.list(ctx, app, tableInterests, deviceID, after, stepRows)
		if err != nil {
			return n, err
		}
		rows := make([]storage.PushKey, len(records))
		for i := range records {
			rows[i] = key(app, tableSubscribers, records[i].Key.Name, deviceID)
		}
		err = g.again(ctx, func() error {
			k, err := g.dropRows(ctx, app, rows, of)
			n += k
			return err
		})
		if errors.Is(err, errOvertaken) {
			err = storage.ErrConflict
		}
		if after = next; err != nil || after == "" {
			return n, err
		}
	}
}

// dropRows removes subscriptions in one change, with their mirror images and from the
// counters of their channels, and counts those that have been there.
func (g *Registry) dropRows(ctx context.Context, app string, rows []storage.PushKey, of *Device) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	var changes []storage.PushChange
	if of != nil {
		self := key(app, tableDevices, "", of.ID)
		rows = append(slices.Clip(rows), self)
		changes = append(changes, check(self, of.version))
	}
	records, err := g.o.Store.Get(ctx, rows...)
	if err != nil {
		return 0, err
	}
	if of != nil {
		last := len(records) - 1
		if records[last].Version != of.version {
			return 0, errOvertaken
		}
		records = records[:last]
	}
	gone := map[string]int64{}
	n := 0
	for i := range records {
		k := records[i].Key
		changes = append(changes, remove(k, records[i].Version), erase(key(app, tableInterests, k.Name, k.Group)))
		if records[i].Version != 0 {
			n++
			gone[k.Group]++
		}
	}
	fewer, err := g.fewer(ctx, app, gone)
	if err != nil {
		return 0, err
	}
	if err := g.o.Store.Apply(ctx, append(changes, fewer...)...); err != nil {
		return 0, err
	}
	return n, nil
}

// small is the number of subscriptions from which on changes of a channel do not depend
// on its counter, so that they need not wait for each other.
const small = 64

// fewer takes subscriptions from the counters of channels. The last one takes the channel
// along.
func (g *Registry) fewer(ctx context.Context, app string, gone map[string]int64) ([]storage.PushChange, error) {
	if len(gone) == 0 {
		return nil, nil
	}
	keys := make([]storage.PushKey, 0, len(gone))
	for channel := range gone {
		keys = append(keys, key(app, tableChannels, "", channel))
	}
	records, err := g.o.Store.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	changes := make([]storage.PushChange, 0, len(gone))
	for i := range records {
		k, by := records[i].Key, gone[records[i].Key.Name]
		left := records[i].Counts[0] - by
		if left <= 0 {
			changes = append(changes, remove(k, records[i].Version))
			continue
		}
		c := members(app, k.Name, -by)
		if left < small {
			c.If = &records[i].Version
		}
		changes = append(changes, c)
	}
	return changes, nil
}
