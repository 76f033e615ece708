package push

import (
	"context"
	"errors"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

// notable is how much later a delivery must be for the device to be written again.
const notable = time.Hour

// DeviceFailed counts a transient failure of a device's address: the first one makes the
// device FAILING, and RegistryOptions.FailuresAllowed of them FAILED. It answers the
// state after that. A device that does not exist or has got another address is left
// alone, and the state is empty.
func (g *Registry) DeviceFailed(ctx context.Context, app, id, tokenHash, reason string) (State, error) {
	var now State
	d, err := g.changeDevice(ctx, app, id, tokenHash, func(d *Device) bool {
		now = d.State
		if d.State == Failed {
			return false
		}
		d.Failures++
		d.State = Failing
		if d.Failures >= g.o.FailuresAllowed {
			d.State = Failed
		}
		d.Error, now = RedactReason(reason), d.State
		return true
	})
	if d == nil {
		now = ""
	}
	return now, err
}

// DeviceDelivered notes that a notification has been accepted for a device's address at
// a time. It writes only what has changed noticeably.
func (g *Registry) DeviceDelivered(ctx context.Context, app, id, tokenHash string, at time.Time) error {
	_, err := g.changeDevice(ctx, app, id, tokenHash, func(d *Device) bool { return d.delivered(at) })
	return err
}

// delivered changes a device that has been reached, and reports whether that is worth
// writing.
func (d *Device) delivered(at time.Time) bool {
	later := at.UnixMilli()-d.SeenAtMS >= notable.Milliseconds()
	if d.State == Failed || d.State == Active && d.Failures == 0 && !later {
		return false // a failed one is until it is registered again
	}
	d.State, d.Failures, d.Error = Active, 0, ""
	d.SeenAtMS = max(d.SeenAtMS, at.UnixMilli())
	d.LastActiveAtMS = max(d.LastActiveAtMS, at.UnixMilli())
	return true
}

// DevicesDelivered is DeviceDelivered for many devices that have just been read, in few
// changes.
func (g *Registry) DevicesDelivered(ctx context.Context, app string, devices []*Device, at time.Time) error {
	const most = 50
	var changed []*Device
	var changes []storage.PushChange
	flush := func() error {
		err := g.o.Store.Apply(ctx, changes...)
		if errors.Is(err, storage.ErrConflict) { // one of them has been changed: each by itself
			err = nil
			for _, d := range changed {
				err = errors.Join(err, g.DeviceDelivered(ctx, app, d.ID, d.TokenHash(), at))
			}
		}
		changed, changes = changed[:0], changes[:0]
		return err
	}
	seen := map[string]bool{}
	for _, read := range devices {
		d := *read
		if from := d.State; !seen[d.ID] && d.delivered(at) {
			seen[d.ID] = true
			g.moved(app, from, d.State)
			changed, changes = append(changed, &d), append(changes, g.putDevice(app, &d))
		}
		if len(changes) == most {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if len(changes) == 0 {
		return nil
	}
	return flush()
}

// Quarantine makes a device FAILED because its provider has called its address invalid,
// and has it removed at the time due by RemoveInvalid. If due is zero the device is only
// set aside until it is registered again. It does nothing, and answers false, if the
// device has got another address since, or has been registered after invalidSince, where
// the provider has told that.
func (g *Registry) Quarantine(ctx context.Context, app, id, tokenHash string, invalidSince time.Time, reason string, due time.Time) (bool, error) {
	done := false
	d, err := g.changeDevice(ctx, app, id, tokenHash, func(d *Device) bool {
		done = invalidSince.IsZero() || invalidSince.UnixMilli() > d.RegisteredAtMS
		switch {
		case !done:
			return false
		case d.InvalidAtMS != 0, due.IsZero() && d.State == Failed:
			return false // it is known already
		}
		d.State, d.Error = Failed, RedactReason(reason)
		if !due.IsZero() {
			d.InvalidAtMS, d.due = g.nowMS(), due.UnixMilli()
		}
		return true
	})
	return done && d != nil && err == nil, err
}

// changeDevice changes a device that has an address. It is nil if there is none.
func (g *Registry) changeDevice(ctx context.Context, app, id, tokenHash string, change func(*Device) bool) (*Device, error) {
	var d *Device
	err := g.again(ctx, func() (err error) {
		d, err = g.device(ctx, app, id)
		if errors.Is(err, storage.ErrNotFound) || err == nil && d.TokenHash() != tokenHash {
			d = nil
			return nil
		}
		if err != nil {
			return err
		}
		from := d.State
		if !change(d) {
			return nil
		}
		if err := g.o.Store.Apply(ctx, g.putDevice(app, d)); err != nil {
			return err
		}
		g.moved(app, from, d.State)
		return nil
	})
	return d, err
}

// moved tells of a device in another state.
func (g *Registry) moved(app string, from, to State) {
	if from != "" && from != to && g.o.OnTransition != nil {
		g.o.OnTransition(app, from, to)
	}
}
