package push

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

// Checklist: push 22
func TestDeleteDevice(t *testing.T) {
	r := newRegistryTest(t)
	token := r.mustRegister(t, "d", "u").Token
	r.mustRegister(t, "e", "u")
	channels := make([]string, 0, 100) // more than one step
	for i := range 100 {
		channels = append(channels, fmt.Sprintf("c%03d", i))
	}
	r.mustSubscribe(t, "d", channels...)
	r.mustSubscribe(t, "e", channels[:2]...)
	if existed, err := r.DeleteDevice(t.Context(), "a", "d"); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if existed, err := r.DeleteDevice(t.Context(), "a", "d"); existed || err != nil {
		t.Errorf("twice: %v %v", existed, err)
	}
	if err := r.VerifyToken(t.Context(), "a", "d", token); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("its token: %v", err)
	}
	r.consistent(t)
	if left := r.records(t, tableSubscribers); len(left) != 2 || left[0].Key.Name != "e" {
		t.Errorf("%d subscriptions are left", len(left))
	}
	if left := r.records(t, tableClients); len(left) != 1 {
		t.Errorf("%d devices of the client", len(left))
	}
	if left := r.records(t, tableChannels); len(left) != 2 {
		t.Errorf("%d channels are left", len(left))
	}
}

// Wherever a deletion is cut off, the device is gone, and what is left of it is removed by
// whatever comes next.
func TestDeletionIsCutOff(t *testing.T) {
	t.Parallel()
	finish := map[string]func(*testing.T, *registryTest){
		"deletion": func(t *testing.T, r *registryTest) {
			if existed, err := r.DeleteDevice(t.Context(), "a", "d"); existed || err != nil {
				t.Errorf("again: %v %v", existed, err)
			}
		},
		"sweep": func(t *testing.T, r *registryTest) {
			r.clock.forward(leftoverAfter)
			all := r.dueDevices(t)
			if len(all) != 1 {
				t.Fatalf("%d are due", len(all))
			}
			if done, err := r.SweepDevice(t.Context(), all[0]); done != SweptLeftover || err != nil {
				t.Errorf("swept %q %v", done, err)
			}
		},
		"registration": func(t *testing.T, r *registryTest) {
			if done := r.mustRegister(t, "d", "v"); done.Change != Inserted || done.Token == "" {
				t.Errorf("registered: %+v", done)
			}
			if _, err := r.DeleteDevice(t.Context(), "a", "d"); err != nil {
				t.Error(err)
			}
		},
		"subscription": func(t *testing.T, r *registryTest) {
			_, err := r.Subscribe(t.Context(), "a", Subscription{Channel: "x", DeviceID: "d"})
			wantFault(t, err, "deviceId")
		},
	}
	for name, next := range finish {
		for cut := int64(1); cut <= 4; cut++ {
			r := newRegistryTest(t)
			r.mustRegister(t, "d", "u")
			for i := range 70 {
				r.mustSubscribe(t, "d", fmt.Sprint("c", i))
			}
			r.store.left.Store(cut)
			_, err := r.DeleteDevice(t.Context(), "a", "d")
			r.store.left.Store(-1)
			if !errors.Is(err, errCut) {
				t.Fatalf("it was not cut off: %v", err)
			}
			r.consistent(t)
			if _, err := r.Device(t.Context(), "a", "d"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("the device is there: %v", err)
			}
			if all, err := r.LoadDevices(t.Context(), "a", []string{"d"}); err != nil || all[0] != nil {
				t.Errorf("the device is loaded: %v", err)
			}
			if page, err := r.Devices(t.Context(), "a", "", 10); err != nil || len(page.Items) != 0 {
				t.Errorf("the device is listed: %v", err)
			}
			next(t, r)
			for _, table := range []string{tableDevices, tableClients, tableSubscribers, tableInterests, tableChannels} {
				if left := r.records(t, table); len(left) != 0 {
					t.Errorf("%s after %d: %s has %d records", name, cut, table, len(left))
				}
			}
		}
	}
}

// A subscription that meets the deletion of its device is not left behind.
func TestSubscriptionMeetsDeletion(t *testing.T) {
	r := newRegistryTest(t)
	r.mustRegister(t, "d", "")
	r.store.before = func() {
		if _, err := r.DeleteDevice(context.Background(), "a", "d"); err != nil {
			t.Error(err)
		}
	}
	_, err := r.Subscribe(t.Context(), "a", Subscription{Channel: "x", DeviceID: "d"})
	wantFault(t, err, "deviceId")
	if left := r.records(t, tableSubscribers); len(left) != 0 {
		t.Errorf("%d subscriptions are left", len(left))
	}
}

// A device that is registered again while it is deleted stays, with what it is subscribed
// to from then on.
func TestRegistrationMeetsDeletion(t *testing.T) {
	r := newRegistryTest(t)
	r.mustRegister(t, "d", "")
	r.mustSubscribe(t, "d", "old")
	steps := 0
	r.store.before = func() {
		r.store.before = func() { // the second change of the deletion
			steps++
			r.mustRegister(t, "d", "")
			r.mustSubscribe(t, "d", "new")
		}
	}
	if existed, err := r.DeleteDevice(t.Context(), "a", "d"); !existed || err != nil {
		t.Fatal(existed, err)
	}
	if steps != 1 {
		t.Fatal("the deletion had one step")
	}
	page, err := r.Subscriptions(t.Context(), "a", SubscriptionFilter{DeviceID: "d"}, "", 10)
	if err != nil || len(page.Items) != 1 || page.Items[0].Channel != "new" {
		t.Errorf("%+v %v", page, err)
	}
	r.mustDevice(t, "d")
	r.consistent(t)
}

// Checklist: push 23
func TestDeleteClient(t *testing.T) {
	r := newRegistryTest(t)
	for i := range 120 {
		r.mustRegister(t, fmt.Sprintf("d%03d", i), "u")
	}
	r.mustRegister(t, "other", "v")
	r.mustRegister(t, "moved", "u")
	r.mustRegister(t, "moved", "v")
	if n, err := r.CountClient(t.Context(), "a", "u"); n != 120 || err != nil {
		t.Errorf("%d devices, %v", n, err)
	}
	lists := &listCounter{PushStore: r.o.Store}
	r.o.Store = lists
	if n, err := r.DeleteClient(t.Context(), "a", "u"); n != 120 || err != nil {
		t.Errorf("%d deleted, %v", n, err)
	}
	if lists.devices != 0 {
		t.Error("all devices have been read, not those of the client")
	}
	if left := r.records(t, tableDevices); len(left) != 2 {
		t.Errorf("%d devices are left", len(left))
	}
	if n, err := r.DeleteClient(t.Context(), "a", "u"); n != 0 || err != nil {
		t.Errorf("%d deleted again, %v", n, err)
	}
	if n, err := r.CountClient(t.Context(), "a", "v"); n != 2 || err != nil {
		t.Errorf("%d of the other client, %v", n, err)
	}
}

// listCounter counts who walks over all devices.
type listCounter struct {
	storage.PushStore
	devices int
}

func (s *listCounter) List(ctx context.Context, q storage.PushQuery) ([]storage.PushRecord, error) {
	if q.Table == tableDevices {
		s.devices++
	}
	return s.PushStore.List(ctx, q)
}
