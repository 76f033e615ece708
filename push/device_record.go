package push

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// device reads one that exists.
func (g *Registry) device(ctx context.Context, app, id string) (*Device, error) {
	d, err := g.deviceOrNone(ctx, app, id)
	if err == nil && (d.version == 0 || d.Removing) {
		return nil, missing("device", id)
	}
	return d, err
}

// deviceOrNone reads one with the version 0 if there is none.
func (g *Registry) deviceOrNone(ctx context.Context, app, id string) (*Device, error) {
	d, err := g.storedDevice(ctx, app, id)
	if err == nil {
		err = g.unseal(app, d)
	}
	return d, err
}

// storedDevice reads one as it is stored, when nobody has to know its address.
func (g *Registry) storedDevice(ctx context.Context, app, id string) (*Device, error) {
	if id == "" || len(id) > MaxName {
		return &Device{ID: id}, nil
	}
	r, err := g.get(ctx, key(app, tableDevices, "", id))
	if err != nil {
		return nil, err
	}
	if r.Version == 0 {
		return &Device{ID: id}, nil
	}
	return parseDevice(&r)
}

// readDevice is the device of a record.
func (g *Registry) readDevice(r *storage.PushRecord) (*Device, error) {
	d, err := parseDevice(r)
	if err == nil {
		err = g.unseal(r.Key.App, d)
	}
	return d, err
}

// parseDevice is the device of a record as it is stored.
func parseDevice(r *storage.PushRecord) (*Device, error) {
	d := &Device{}
	if err := decode(r, d); err != nil {
		return nil, err
	}
	d.ID, d.version, d.due = r.Key.Name, r.Version, r.Due
	return d, nil
}

// unseal decrypts the address of a device, if it is encrypted.
func (g *Registry) unseal(app string, d *Device) error {
	if d.Sealed == "" {
		return nil
	}
	if g.o.Keys == nil {
		return fmt.Errorf("push store: the address of device %q is encrypted, and there is no key", clip(d.ID))
	}
	text, err := g.o.Keys.Open(d.Sealed, sealedDevice(app, d))
	if err == nil {
		err = json.Unmarshal(text, &d.Recipient)
	}
	if err != nil {
		return fmt.Errorf("push store: the address of device %q cannot be decrypted", clip(d.ID))
	}
	d.Sealed = ""
	return nil
}

// putDevice writes a device over the one that has been read.
func (g *Registry) putDevice(app string, d *Device) storage.PushChange {
	kept := *d
	kept.Hash = d.TokenHash()
	switch {
	case d.Removing: // nobody needs the address any more
		kept.Recipient, kept.Sealed = Recipient{TransportType: d.Recipient.TransportType}, ""
	case g.o.SealRecipients && g.o.Keys != nil:
		kept.Sealed = g.o.Keys.Seal(raw(d.Recipient), sealedDevice(app, &kept))
		kept.Recipient = Recipient{TransportType: d.Recipient.TransportType}
	}
	return put(key(app, tableDevices, "", d.ID), d.version, &kept, g.dueOf(d))
}

// sealedDevice is what the encrypted address of a device is bound to.
func sealedDevice(app string, d *Device) Binding {
	return Binding{App: app, ID: d.ID, Provider: d.Recipient.Kind(), Version: d.Hash}
}

// leftoverAfter is when a deletion is taken to have been cut off.
const leftoverAfter = time.Minute

// dueOf is when somebody has to look at a device: when an invalid or stale one is to be
// removed.
func (g *Registry) dueOf(d *Device) int64 {
	switch {
	case d.Removing:
		return g.o.Now().Add(leftoverAfter).UnixMilli()
	case d.InvalidAtMS != 0:
		return d.due
	case g.o.StaleAfter > 0:
		return d.SeenAtMS + g.o.StaleAfter.Milliseconds()
	}
	return 0
}

// Device reads a device. It is storage.ErrNotFound if there is none.
func (g *Registry) Device(ctx context.Context, app, id string) (*Device, error) {
	return g.device(ctx, app, id)
}

// Devices lists an app's devices by id, after a position.
func (g *Registry) Devices(ctx context.Context, app, position string, limit int) (Page[*Device], error) {
	records, next, err := g.list(ctx, app, tableDevices, "", position, limit)
	page := Page[*Device]{Items: []*Device{}, Next: next}
	if err != nil {
		return page, err
	}
	for i := range records {
		d, err := g.readDevice(&records[i])
		if err != nil {
			return page, err
		}
		if !d.Removing {
			page.Items = append(page.Items, d)
		}
	}
	return page, nil
}

// LoadDevices reads devices in the order of their ids, with nil for one that does not
// exist.
func (g *Registry) LoadDevices(ctx context.Context, app string, ids []string) ([]*Device, error) {
	found := make(map[string]*Device, len(ids))
	keys := make([]storage.PushKey, 0, len(ids))
	for _, id := range ids {
		if _, twice := found[id]; !twice && id != "" && len(id) <= MaxName { // others cannot exist
			found[id] = nil
			keys = append(keys, key(app, tableDevices, "", id))
		}
	}
	for part := range slices.Chunk(keys, 500) {
		records, err := g.o.Store.Get(ctx, part...)
		if err != nil {
			return nil, err
		}
		for i := range records {
			if records[i].Version == 0 {
				continue
			}
			d, err := g.readDevice(&records[i])
			if err != nil {
				return nil, err
			}
			if !d.Removing {
				found[d.ID] = d
			}
		}
	}
	devices := make([]*Device, len(ids))
	for i, id := range ids {
		devices[i] = found[id]
	}
	return devices, nil
}
