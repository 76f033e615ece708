package push

import (
	"context"
	"errors"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Tombstone is what is left for some time of a device that has been removed because its
// provider called its address invalid.
type Tombstone struct {
	DeviceID  string `json:"deviceId"`
	TokenHash string `json:"tokenHash"`
	Reason    string `json:"reason"`
	AtMS      int64  `json:"at"`
}

// DeleteDevice removes a device with its subscriptions, and reports whether there has been
// one. Subscriptions of a device that does not exist are removed too. If it is cut off
// the device is gone all the same, and the next registration, deletion or sweep removes
// the rest.
func (g *Registry) DeleteDevice(ctx context.Context, app, id string) (existed bool, err error) {
	if id == "" || len(id) > MaxName {
		return false, nil
	}
	existed, err = g.removeDevice(ctx, app, id, func(*Device) bool { return true })
	if err == nil && !existed {
		_, err = g.Unsubscribe(ctx, app, "", id)
	}
	return existed, err
}

// DeleteClient removes all devices of a client, and counts them.
func (g *Registry) DeleteClient(ctx context.Context, app, clientID string) (n int, err error) {
	for after := ""; ; {
		page, err := g.ClientDevices(ctx, app, clientID, after, 100)
		if err != nil {
			return n, err
		}
		for _, d := range page.Items {
			existed, err := g.DeleteDevice(ctx, app, d.ID)
			if err != nil {
				return n, err
			}
			if existed {
				n++
			}
		}
		if after = page.Next; after == "" {
			return n, nil
		}
	}
}

// RemoveInvalid removes the device of a record that Quarantine has made due, and leaves a
// Tombstone. It does nothing, and answers false, if the device has been registered again.
func (g *Registry) RemoveInvalid(ctx context.Context, r storage.PushRecord) (bool, error) {
	return g.removeDevice(ctx, r.Key.App, r.Key.Name, func(d *Device) bool {
		return d.InvalidAtMS != 0 && d.due <= g.nowMS()
	})
}

// RemoveStale removes the device of a record that is due because the device has been idle
// for RegistryOptions.StaleAfter. It does nothing, and answers false, if it has not.
func (g *Registry) RemoveStale(ctx context.Context, r storage.PushRecord) (bool, error) {
	return g.removeDevice(ctx, r.Key.App, r.Key.Name, func(d *Device) bool {
		return d.InvalidAtMS == 0 && g.o.StaleAfter > 0 && g.dueOf(d) <= g.nowMS()
	})
}

// Swept is what SweepDevice has done.
type Swept string

// What sweeping does to a device.
const (
	SweptNothing  Swept = ""
	SweptInvalid  Swept = "invalid"
	SweptStale    Swept = "stale"
	SweptLeftover Swept = "leftover" // of a deletion that has been cut off
)

// SweepDevice does what is due with the device of a record, of the table DeviceTable.
func (g *Registry) SweepDevice(ctx context.Context, r storage.PushRecord) (Swept, error) {
	app, id := r.Key.App, r.Key.Name
	d, err := g.storedDevice(ctx, app, id)
	if err != nil || d.version == 0 {
		return SweptNothing, err
	}
	if d.Removing {
		_, err := g.removeDevice(ctx, app, id, func(*Device) bool { return false })
		return SweptLeftover, err
	}
	if done, err := g.RemoveInvalid(ctx, r); done || err != nil {
		return SweptInvalid, err
	}
	if done, err := g.RemoveStale(ctx, r); done || err != nil {
		return SweptStale, err
	}
	return SweptNothing, g.again(ctx, func() error {
		d, err := g.deviceOrNone(ctx, app, id)
		if err != nil || d.version == 0 || d.Removing || d.due == g.dueOf(d) {
			return err
		}
		// Devices may be idle for another time than when it was written.
		return g.o.Store.Apply(ctx, g.putDevice(app, d))
	})
}

// removeDevice takes a device that is ripe away from everybody first, so that nobody
// subscribes it any more, and then removes what belongs to it. It reports whether it has
// taken it away. What is left of one that others have taken away it removes too.
func (g *Registry) removeDevice(ctx context.Context, app, id string, ripe func(*Device) bool) (taken bool, err error) {
	err = g.again(ctx, func() error {
		d, err := g.storedDevice(ctx, app, id)
		if err != nil || d.version == 0 {
			return err
		}
		if !d.Removing {
			if taken || !ripe(d) { // it has been registered again
				return nil
			}
			d.Removing = true
			d.Hash = d.TokenHash()
			change := g.putDevice(app, d)
			if err := g.o.Store.Apply(ctx, change); err != nil {
				return err
			}
			d.version, taken = change.Version, true
		}
		return g.finishRemoval(ctx, app, d)
	})
	return taken, err
}

// finishRemoval removes what belongs to a device that is being removed, and then the
// device.
func (g *Registry) finishRemoval(ctx context.Context, app string, d *Device) error {
	self := key(app, tableDevices, "", d.ID)
	if _, err := g.unsubscribeDevice(ctx, app, d.ID, d); err != nil {
		return err
	}
	changes := []storage.PushChange{remove(self, d.version)}
	if d.ClientID != "" {
		changes = append(changes, erase(key(app, tableClients, d.ClientID, d.ID)))
	}
	if d.InvalidAtMS != 0 {
		stone := Tombstone{DeviceID: d.ID, TokenHash: d.TokenHash(), Reason: d.Error, AtMS: g.nowMS()}
		changes = append(changes, set(key(app, tableTombstones, "", d.ID), &stone, g.o.Now().Add(g.o.KeepTombstones).UnixMilli()))
	}
	return g.o.Store.Apply(ctx, changes...)
}

// Tombstone is what is left of a device. It is storage.ErrNotFound if there is nothing.
func (g *Registry) Tombstone(ctx context.Context, app, id string) (*Tombstone, error) {
	if id == "" || len(id) > MaxName {
		return nil, missing("tombstone", id)
	}
	r, err := g.get(ctx, key(app, tableTombstones, "", id))
	if err != nil {
		return nil, err
	}
	stone := &Tombstone{}
	if r.Version == 0 {
		return nil, missing("tombstone", id)
	}
	return stone, decode(&r, stone)
}

// DropTombstone removes a tombstone that is due.
func (g *Registry) DropTombstone(ctx context.Context, r storage.PushRecord) error {
	err := g.o.Store.Apply(ctx, remove(r.Key, r.Version))
	if errors.Is(err, storage.ErrConflict) {
		return nil // a newer one is there
	}
	return err
}

// Tables of which the store tells what is due to the registry.
const (
	DeviceTable    = tableDevices
	TombstoneTable = tableTombstones
)

// StaleAfter is how long a device may be idle, zero for ever.
func (g *Registry) StaleAfter() time.Duration { return g.o.StaleAfter }
