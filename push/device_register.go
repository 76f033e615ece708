package push

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Change is what a registration has done.
type Change string

// The changes (section 3.2).
const (
	Inserted  Change = "inserted"
	Unchanged Change = "unchanged"
	Updated   Change = "updated"
)

// Registered is the answer to a registration.
type Registered struct {
	App    string
	Change Change
	Device *Device
	// Token is the device's identity token, if it has been issued just now. It is kept nowhere.
	Token string
}

// MarshalJSON is the answer as it is sent.
func (r Registered) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Change    Change     `json:"change"`
		TokenHash string     `json:"tokenHash"`
		Device    DeviceView `json:"device"`
		Token     string     `json:"deviceIdentityToken,omitempty"`
	}{r.Change, r.Device.TokenHash(), r.Device.View(r.App), r.Token})
}

// Register creates a device or replaces it. A new one gets an identity token, as does one
// that has one if rotate is set; the token before is worth nothing then. A registered
// device is ACTIVE again, unless the request says otherwise.
func (g *Registry) Register(ctx context.Context, app string, r *Registration, rotate bool) (*Registered, error) {
	d, err := g.check(r)
	if err != nil {
		return nil, err
	}
	var done *Registered
	err = g.again(ctx, func() error {
		old, err := g.deviceOrNone(ctx, app, d.ID)
		if err != nil {
			return err
		}
		if old.Removing {
			if err := g.finishRemoval(ctx, app, old); err != nil {
				return err
			}
			old = &Device{ID: d.ID}
		}
		fresh, token := *d, ""
		if old.version == 0 || rotate {
			token, fresh.Secret = newToken()
		}
		done, err = g.register(ctx, app, old, &fresh, token)
		return err
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// UpdateDevice replaces a device for one who has its identity token, and issues none. A
// device that does not exist is storage.ErrNotFound, and a wrong token ErrToken.
func (g *Registry) UpdateDevice(ctx context.Context, app string, r *Registration, token string) (*Registered, error) {
	d, err := g.check(r)
	if err != nil {
		return nil, err
	}
	var done *Registered
	err = g.again(ctx, func() error {
		old, err := g.device(ctx, app, d.ID)
		if err != nil {
			return err
		}
		if err := g.verify(ctx, old.Secret, token); err != nil {
			return err
		}
		fresh := *d
		done, err = g.register(ctx, app, old, &fresh, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// register writes a device over the one that has been read, with its place among its
// client's.
func (g *Registry) register(ctx context.Context, app string, old, fresh *Device, token string) (*Registered, error) {
	done := &Registered{App: app, Change: Inserted, Device: fresh, Token: token}
	fresh.version = old.version
	fresh.RegisteredAtMS = g.nowMS()
	fresh.SeenAtMS = fresh.RegisteredAtMS
	if fresh.Secret == "" {
		fresh.Secret = old.Secret
	}
	if old.version != 0 {
		fresh.LastActiveAtMS = max(fresh.LastActiveAtMS, old.LastActiveAtMS)
		done.Change = Updated
		if token == "" && sameDevice(old, fresh) {
			done.Change = Unchanged
		}
	}
	changes := []storage.PushChange{g.putDevice(app, fresh)}
	if old.version == 0 {
		changes = append(changes, erase(key(app, tableTombstones, "", fresh.ID)))
	}
	if fresh.ClientID != "" {
		changes = append(changes, set(key(app, tableClients, fresh.ClientID, fresh.ID), true, 0))
	}
	if old.ClientID != "" && old.ClientID != fresh.ClientID {
		changes = append(changes, erase(key(app, tableClients, old.ClientID, fresh.ID)))
	}
	switch err := g.o.Store.Apply(ctx, changes...); {
	case errors.Is(err, storage.ErrTooLarge):
		return nil, Fault("metadata", "the device is too large for the store")
	case err != nil:
		return nil, err
	}
	g.moved(app, old.State, fresh.State)
	return done, nil
}

// sameDevice reports whether a registration has said nothing new.
func sameDevice(a, b *Device) bool {
	x, y := *a, *b
	for _, d := range []*Device{&x, &y} {
		d.Secret, d.RegisteredAtMS, d.SeenAtMS, d.Hash, d.Sealed, d.version, d.due = "", 0, 0, "", "", 0, 0
		if d.Metadata != nil {
			d.Metadata = raw(d.Metadata) // as the store has it
		}
	}
	return reflect.DeepEqual(&x, &y)
}
