package push

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/storage"
)

func (r *registryTest) mustDevice(t *testing.T, id string) *Device {
	t.Helper()
	d, err := r.Device(t.Context(), "a", id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Checklist: push 86
func TestTransientFailuresMakeFailed(t *testing.T) {
	var moves []string
	r := newRegistryTest(t, func(o *RegistryOptions) {
		o.OnTransition = func(app string, from, to State) { moves = append(moves, fmt.Sprint(app, from, to)) }
	})
	hash := r.mustRegister(t, "d", "").Device.TokenHash()
	for i, want := range []State{Failing, Failing, Failed, Failed} {
		state, err := r.DeviceFailed(t.Context(), "a", "d", hash, "busy")
		if err != nil || state != want {
			t.Errorf("failure %d: %s %v", i+1, state, err)
		}
	}
	if d := r.mustDevice(t, "d"); d.State != Failed || d.Failures != 3 || d.Error != "busy" {
		t.Errorf("%+v", d)
	}
	// FAILED absorbs, until the device is registered again, with the same address too.
	if err := r.DeviceDelivered(t.Context(), "a", "d", hash, r.clock.now().Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if d := r.mustDevice(t, "d"); d.State != Failed {
		t.Errorf("after a delivery: %+v", d)
	}
	if done := r.mustRegister(t, "d", ""); done.Change != Updated {
		t.Errorf("registered again: %s", done.Change)
	}
	if d := r.mustDevice(t, "d"); d.State != Active || d.Failures != 0 || d.Error != "" {
		t.Errorf("registered again: %+v", d)
	}
	if want := "[aACTIVEFAILING aFAILINGFAILED aFAILEDACTIVE]"; fmt.Sprint(moves) != want {
		t.Errorf("transitions %v", moves)
	}
}

func TestDeliveryEndsFailing(t *testing.T) {
	r := newRegistryTest(t, func(o *RegistryOptions) { o.FailuresAllowed = 1 }) // the floor is 2
	hash := r.mustRegister(t, "d", "").Device.TokenHash()
	for range 3 {
		if state, err := r.DeviceFailed(t.Context(), "a", "d", hash, "busy"); err != nil || state != Failing {
			t.Fatalf("%s %v", state, err)
		}
		if err := r.DeviceDelivered(t.Context(), "a", "d", hash, r.clock.now()); err != nil {
			t.Fatal(err)
		}
		if d := r.mustDevice(t, "d"); d.State != Active || d.Failures != 0 || d.Error != "" {
			t.Errorf("%+v", d)
		}
	}
}

// A delivery is written about once an hour.
func TestDeliveriesAreWrittenSeldom(t *testing.T) {
	r := newRegistryTest(t)
	hash := r.mustRegister(t, "d", "").Device.TokenHash()
	versions := map[uint64]bool{}
	for range 180 { // three hours
		r.clock.forward(time.Minute)
		if err := r.DeviceDelivered(t.Context(), "a", "d", hash, r.clock.now()); err != nil {
			t.Fatal(err)
		}
		versions[r.mustDevice(t, "d").version] = true
	}
	if d := r.mustDevice(t, "d"); len(versions) != 4 || r.clock.now().UnixMilli()-d.LastActiveAtMS > time.Hour.Milliseconds() {
		t.Errorf("%d versions, last active %d", len(versions), d.LastActiveAtMS)
	}
}

// Checklist: push 84
func TestLateResultsKeepNewAddress(t *testing.T) {
	r := newRegistryTest(t)
	old := r.mustRegister(t, "d", "").Device.TokenHash()
	due := r.clock.now().Add(time.Hour)
	if _, err := r.Register(t.Context(), "a", phone("d", "new"), false); err != nil {
		t.Fatal(err)
	}
	if done, err := r.Quarantine(t.Context(), "a", "d", old, time.Time{}, "gone", due); done || err != nil {
		t.Errorf("the old address: %v %v", done, err)
	}
	if state, err := r.DeviceFailed(t.Context(), "a", "d", old, "busy"); state != "" || err != nil {
		t.Errorf("the old address: %q %v", state, err)
	}
	if err := r.DeviceDelivered(t.Context(), "a", "d", old, due); err != nil {
		t.Error(err)
	}
	// A provider that says since when it is invalid speaks of the time before.
	for _, since := range []time.Time{r.clock.now().Add(-time.Second), r.clock.now()} {
		if done, err := r.Quarantine(t.Context(), "a", "d", Hash("new"), since, "gone", due); done || err != nil {
			t.Errorf("since %v: %v %v", since, done, err)
		}
	}
	if d := r.mustDevice(t, "d"); d.State != Active || d.InvalidAtMS != 0 || d.LastActiveAtMS != 0 {
		t.Errorf("%+v", d)
	}
	if done, err := r.Quarantine(t.Context(), "a", "d", Hash("new"), r.clock.now().Add(time.Millisecond), "gone", due); !done || err != nil {
		t.Errorf("after the registration: %v %v", done, err)
	}
	if done, err := r.Quarantine(t.Context(), "a", "nobody", Hash("new"), time.Time{}, "gone", due); done || err != nil {
		t.Errorf("nobody: %v %v", done, err)
	}
}

// A result that meets a registration on its way to the store does not undo it.
func TestResultsMeetRegistration(t *testing.T) {
	for name, result := range map[string]func(*registryTest, string) error{
		"delivered": func(r *registryTest, hash string) error {
			return r.DeviceDelivered(context.Background(), "a", "d", hash, r.clock.now().Add(time.Hour))
		},
		"failed": func(r *registryTest, hash string) error {
			_, err := r.DeviceFailed(context.Background(), "a", "d", hash, "busy")
			return err
		},
		"invalid": func(r *registryTest, hash string) error {
			done, err := r.Quarantine(context.Background(), "a", "d", hash, time.Time{}, "gone", r.clock.now())
			if done {
				return errors.New("it says that it has done it")
			}
			return err
		},
	} {
		r := newRegistryTest(t)
		hash := r.mustRegister(t, "d", "").Device.TokenHash()
		r.store.before = func() {
			if _, err := r.Register(context.Background(), "a", phone("d", "new"), false); err != nil {
				t.Error(err)
			}
		}
		if err := result(r, hash); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := r.mustDevice(t, "d"); d.TokenHash() != Hash("new") || d.State != Active || d.LastActiveAtMS != 0 {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

// A device that may only have the wrong environment is set aside and not removed.
func TestDevicesAreSetAside(t *testing.T) {
	r := newRegistryTest(t)
	hash := r.mustRegister(t, "d", "").Device.TokenHash()
	done, err := r.Quarantine(t.Context(), "a", "d", hash, time.Time{}, "BadDeviceToken", time.Time{})
	if !done || err != nil {
		t.Fatal(done, err)
	}
	if d := r.mustDevice(t, "d"); d.State != Failed || d.InvalidAtMS != 0 || d.due != 0 || !strings.HasPrefix(d.Error, "[REDACTED:") {
		t.Errorf("%+v due %d", d, d.due)
	}
}

// due lists what is due of the devices.
func (r *registryTest) dueDevices(t *testing.T) []storage.PushRecord {
	t.Helper()
	all, err := r.store.Due(t.Context(), DeviceTable, r.clock.now().UnixMilli(), 100)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Checklist: push 83
func TestInvalidDevicesAreRemoved(t *testing.T) {
	r := newRegistryTest(t)
	hash := r.mustRegister(t, "d", "u").Device.TokenHash()
	r.mustSubscribe(t, "d", "x", "y")
	if done, err := r.Quarantine(t.Context(), "a", "d", hash, time.Time{}, "UNREGISTERED", r.clock.now().Add(time.Minute)); !done || err != nil {
		t.Fatal(done, err)
	}
	if all := r.dueDevices(t); len(all) != 0 {
		t.Errorf("due at once: %d", len(all))
	}
	r.clock.forward(time.Minute)
	all := r.dueDevices(t)
	if len(all) != 1 {
		t.Fatalf("due: %d", len(all))
	}
	if done, err := r.RemoveInvalid(t.Context(), all[0]); !done || err != nil {
		t.Fatal(done, err)
	}
	for _, table := range []string{tableDevices, tableClients, tableSubscribers, tableInterests, tableChannels} {
		if left := r.records(t, table); len(left) != 0 {
			t.Errorf("%s has %d records", table, len(left))
		}
	}
	stone, err := r.Tombstone(t.Context(), "a", "d")
	if err != nil || *stone != (Tombstone{DeviceID: "d", TokenHash: hash, Reason: "UNREGISTERED", AtMS: r.clock.now().UnixMilli()}) {
		t.Errorf("%+v %v", stone, err)
	}
	r.clock.forward(30*24*time.Hour + time.Second)
	stones, err := r.store.Due(t.Context(), TombstoneTable, r.clock.now().UnixMilli(), 10)
	if err != nil || len(stones) != 1 {
		t.Fatal(stones, err)
	}
	for range 2 {
		if err := r.DropTombstone(t.Context(), stones[0]); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Tombstone(t.Context(), "a", "d"); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("the tombstone is there: %v", err)
	}
}

// A device that has been registered again is not removed.
func TestQuarantineEndsWithRegistration(t *testing.T) {
	r := newRegistryTest(t)
	hash := r.mustRegister(t, "d", "").Device.TokenHash()
	if done, err := r.Quarantine(t.Context(), "a", "d", hash, time.Time{}, "gone", r.clock.now()); !done || err != nil {
		t.Fatal(done, err)
	}
	all := r.dueDevices(t)
	if len(all) != 1 {
		t.Fatalf("due: %d", len(all))
	}
	r.store.before = func() { r.mustRegister(t, "d", "") }
	if done, err := r.RemoveInvalid(t.Context(), all[0]); done || err != nil {
		t.Errorf("removed: %v %v", done, err)
	}
	if d := r.mustDevice(t, "d"); d.State != Active || d.InvalidAtMS != 0 || d.due != 0 {
		t.Errorf("%+v", d)
	}
	if done, err := r.SweepDevice(t.Context(), all[0]); done != SweptNothing || err != nil {
		t.Errorf("swept: %q %v", done, err)
	}
}

func TestStaleDevicesAreRemoved(t *testing.T) {
	const day = 24 * time.Hour
	r := newRegistryTest(t, func(o *RegistryOptions) { o.StaleAfter = 90 * day })
	r.mustRegister(t, "idle", "")
	active := r.mustRegister(t, "active", "").Device.TokenHash()
	future := phone("future", "t")
	future.LastActiveAtMS = r.clock.now().Add(1000 * day).UnixMilli() // a clock that is wrong
	if _, err := r.Register(t.Context(), "a", future, false); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(60 * day)
	if err := r.DeviceDelivered(t.Context(), "a", "active", active, r.clock.now()); err != nil {
		t.Fatal(err)
	}
	r.clock.forward(31 * day)
	swept := map[string]Swept{}
	for _, record := range r.dueDevices(t) {
		done, err := r.SweepDevice(t.Context(), record)
		if err != nil {
			t.Fatal(err)
		}
		swept[record.Key.Name] = done
	}
	if fmt.Sprint(swept) != "map[future:stale idle:stale]" {
		t.Errorf("swept %v", swept)
	}
	if all := r.records(t, tableDevices); len(all) != 1 || len(r.records(t, tableTombstones)) != 0 {
		t.Errorf("%d devices are left", len(all))
	}
	// With another time, or none, the devices are looked at once more and then left.
	r.o.StaleAfter = 0
	r.clock.forward(1000 * day)
	for _, record := range r.dueDevices(t) {
		if done, err := r.SweepDevice(t.Context(), record); done != SweptNothing || err != nil {
			t.Errorf("swept %q %v", done, err)
		}
	}
	if all := r.dueDevices(t); len(all) != 0 {
		t.Errorf("%d are due for ever", len(all))
	}
}
