package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sockudo/caddy-sockudo/storage"
)

const goldenScope = "__sockudo_client_scope__:6d894aa3ee802549d7f340e7c1cf0d1c1cb14cd84f768d92ffaa6785337c4997"

// Checklist: push 27, 28
func TestSubscribe(t *testing.T) {
	r := newRegistryTest(t)
	hash := r.mustRegister(t, "d", "u").Device.TokenHash()
	for range 3 {
		s, err := r.Subscribe(t.Context(), "a", Subscription{Channel: "orders", DeviceID: "d"})
		if err != nil || s != (Subscription{Channel: "orders", DeviceID: "d", ClientID: "u", Provider: FCM, TokenHash: hash}) {
			t.Errorf("%+v %v", s, err)
		}
	}
	if n, err := r.CountChannel(t.Context(), "a", "orders"); n != 1 || err != nil {
		t.Errorf("%d subscriptions, %v", n, err)
	}
	// What is given stays, and a known device is not needed then.
	given := Subscription{Channel: "orders", DeviceID: "x", ClientID: "w", Provider: "webpush", TokenHash: "h", CredentialVersion: 2}
	s, err := r.Subscribe(t.Context(), "a", given)
	given.Provider = WebPush
	if err != nil || s != given {
		t.Errorf("%+v %v", s, err)
	}
	text, err := json.Marshal(s.View("a"))
	if want := `{"appId":"a","channel":"orders","deviceId":"x","clientId":"w","provider":"webPush","tokenHash":"h","credentialVersion":2}`; err != nil || string(text) != want {
		t.Errorf("%s %v", text, err)
	}
	r.consistent(t)
}

// Checklist: push 11
func TestSubscriptionFaults(t *testing.T) {
	r := newRegistryTest(t)
	long := strings.Repeat("x", MaxName+1)
	for field, s := range map[string][]Subscription{
		"channel":           {{DeviceID: "d"}, {Channel: " ", DeviceID: "d"}, {Channel: long, DeviceID: "d"}},
		"deviceId":          {{Channel: "c"}, {Channel: "c", DeviceID: long}, {Channel: "c", DeviceID: "nobody"}, {Channel: "c", DeviceID: goldenScope}, {Channel: "c", DeviceID: goldenScope, ClientID: "other"}},
		"clientId":          {{Channel: "c", DeviceID: "d", ClientID: long}},
		"provider":          {{Channel: "c", DeviceID: "d", Provider: "pigeon"}},
		"tokenHash":         {{Channel: "c", DeviceID: "d", TokenHash: long}},
		"credentialVersion": {{Channel: "c", DeviceID: "d", CredentialVersion: -1}},
	} {
		for _, one := range s {
			_, err := r.Subscribe(t.Context(), "a", one)
			wantFault(t, err, field)
		}
	}
}

// Checklist: push 29
func TestUnsubscribe(t *testing.T) {
	r := newRegistryTest(t)
	for i := range 70 {
		id := fmt.Sprintf("d%02d", i)
		r.mustRegister(t, id, "")
		r.mustSubscribe(t, id, "x", "y")
	}
	for i := range 70 {
		r.mustSubscribe(t, "d00", fmt.Sprint("more", i))
	}
	for _, step := range []struct {
		channel, device string
		n               int
	}{
		{"x", "d07", 1}, {"x", "d07", 0}, {"x", "", 69}, {"x", "", 0}, {"", "d00", 71}, {"", "d00", 0}, {"", "", 0}, {"nothing", "d01", 0}, {"y", "nobody", 0},
	} {
		if n, err := r.Unsubscribe(t.Context(), "a", step.channel, step.device); n != step.n || err != nil {
			t.Errorf("%q of %q: %d %v", step.channel, step.device, n, err)
		}
		r.consistent(t)
	}
	page, err := r.Channels(t.Context(), "a", "", 10)
	if err != nil || !slices.Equal(page.Items, []string{"y"}) || page.Next != "" {
		t.Errorf("%+v %v", page, err)
	}
	if left := r.records(t, tableChannels); len(left) != 1 {
		t.Errorf("%d channels are left", len(left))
	}
}

// walkPages reads a list to its end.
func walkPages[T any](t *testing.T, most int, page func(position string) (Page[T], error)) (all []T, pages int) {
	t.Helper()
	for position := ""; ; {
		p, err := page(position)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Items) > most {
			t.Errorf("a page of %d", len(p.Items))
		}
		all = append(all, p.Items...)
		pages++
		if position = p.Next; position == "" {
			return all, pages
		}
	}
}

// Checklist: push 9
func TestPagesOfDevices(t *testing.T) {
	t.Parallel()
	r := newRegistryTest(t)
	for i := range 2500 {
		r.mustRegister(t, fmt.Sprintf("d%05d", i), "")
	}
	all, pages := walkPages(t, 1000, func(position string) (Page[*Device], error) {
		return r.Devices(t.Context(), "a", position, 1000)
	})
	if len(all) != 2500 || pages != 3 {
		t.Fatalf("%d devices on %d pages", len(all), pages)
	}
	for i, d := range all {
		if d.ID != fmt.Sprintf("d%05d", i) {
			t.Fatalf("device %d is %s", i, d.ID)
		}
	}
	if _, pages := walkPages(t, 1250, func(position string) (Page[*Device], error) { return r.Devices(t.Context(), "a", position, 1250) }); pages != 2 {
		t.Errorf("%d pages where the last one is full", pages)
	}
}

// Checklist: push 10, 31
func TestPagesOfSubscriptions(t *testing.T) {
	r := newRegistryTest(t)
	channels := []string{"a", "a:b", "a:b:c", "ab", "notifications:user-1", "é", "[\"q\"]"}
	devices := []string{"1", "1:2", "x", "y:z"}
	for _, id := range devices {
		r.mustRegister(t, id, "")
		r.mustSubscribe(t, id, channels...)
	}
	for _, limit := range []int{1, 2, 3, 5, 100} {
		rows, _ := walkPages(t, limit, func(position string) (Page[Subscription], error) {
			return r.Subscriptions(t.Context(), "a", SubscriptionFilter{}, position, limit)
		})
		seen := map[string]bool{}
		for _, s := range rows {
			seen[s.Channel+"\n"+s.DeviceID] = true
		}
		if len(rows) != 28 || len(seen) != 28 {
			t.Errorf("limit %d: %d rows, %d different", limit, len(rows), len(seen))
		}
		names, _ := walkPages(t, limit, func(position string) (Page[string], error) { return r.Channels(t.Context(), "a", position, limit) })
		if !slices.IsSorted(names) || len(slices.Compact(names)) != len(channels) {
			t.Errorf("limit %d: channels %q", limit, names)
		}
		rows, _ = walkPages(t, limit, func(position string) (Page[Subscription], error) {
			return r.Subscriptions(t.Context(), "a", SubscriptionFilter{DeviceID: "1:2"}, position, limit)
		})
		if len(rows) != len(channels) {
			t.Errorf("limit %d: %d of a device", limit, len(rows))
		}
		rows, _ = walkPages(t, limit, func(position string) (Page[Subscription], error) {
			return r.Subscribers(t.Context(), "a", "a:b", position, limit)
		})
		if len(rows) != len(devices) {
			t.Errorf("limit %d: %d of a channel", limit, len(rows))
		}
	}
	pair, err := r.Subscriptions(t.Context(), "a", SubscriptionFilter{Channel: "a:b", DeviceID: "1:2"}, "", 100)
	if err != nil || len(pair.Items) != 1 || pair.Items[0].DeviceID != "1:2" || pair.Items[0].Channel != "a:b" {
		t.Errorf("%+v %v", pair, err)
	}
	_, err = r.Subscriptions(t.Context(), "a", SubscriptionFilter{}, "a:b", 100)
	wantFault(t, err, "cursor")
}

// Checklist: push 32
func TestSubscriptionsOfClients(t *testing.T) {
	r := newRegistryTest(t)
	r.mustRegister(t, "before", "user-42")
	r.mustRegister(t, "other", "user-43")
	s, err := r.Subscribe(t.Context(), "a", Subscription{Channel: "orders", ClientID: "user-42"})
	if err != nil || s.DeviceID != goldenScope || s.Provider != Realtime || s.TokenHash != Hash("user-42") || !s.OfClient() {
		t.Fatalf("%+v %v", s, err)
	}
	if again, err := r.Subscribe(t.Context(), "a", Subscription{Channel: "orders", ClientID: "user-42", DeviceID: goldenScope}); err != nil || again != s {
		t.Errorf("%+v %v", again, err)
	}
	r.mustRegister(t, "after", "user-42")
	page, err := r.Subscribers(t.Context(), "a", "orders", "", 10)
	if err != nil || len(page.Items) != 1 || !page.Items[0].OfClient() {
		t.Fatalf("%+v %v", page, err)
	}
	devices, _ := walkPages(t, 1, func(position string) (Page[*Device], error) {
		return r.ClientDevices(t.Context(), "a", page.Items[0].ClientID, position, 1)
	})
	if len(devices) != 2 || devices[0].ID != "after" || devices[1].ID != "before" {
		t.Errorf("%d devices", len(devices))
	}
	if n, err := r.Unsubscribe(t.Context(), "a", "", ClientScope("user-42")); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	r.consistent(t)
}

func TestLoadDevices(t *testing.T) {
	t.Parallel()
	r := newRegistryTest(t)
	ids := []string{"", "nobody", strings.Repeat("x", 1000), "d3", "d3"}
	for i := range 1100 {
		r.mustRegister(t, fmt.Sprint("d", i), "")
		ids = append(ids, fmt.Sprint("d", i))
	}
	all, err := r.LoadDevices(t.Context(), "a", ids)
	if err != nil || len(all) != len(ids) {
		t.Fatal(len(all), err)
	}
	for i, d := range all {
		if (d == nil) != (i < 3) || d != nil && d.ID != ids[i] {
			t.Fatalf("device %d is %+v", i, d)
		}
	}
	if _, err := r.Device(t.Context(), "a", strings.Repeat("x", 1000)); !errors.Is(err, storage.ErrNotFound) {
		t.Error(err)
	}
}

// However subscriptions come and go at once, the counters are right.
func TestSubscriptionsAtOnce(t *testing.T) {
	r := newRegistryTest(t)
	const workers = 8
	for i := range workers {
		r.mustRegister(t, fmt.Sprint("d", i), "u")
	}
	var all sync.WaitGroup
	for i := range workers {
		all.Go(func() {
			for k := range 40 {
				id, channel := fmt.Sprint("d", (i+k)%workers), fmt.Sprint("c", k%3)
				var err error
				switch k % 5 {
				case 0, 1, 2:
					_, err = r.Subscribe(t.Context(), "a", Subscription{Channel: channel, DeviceID: id, Provider: FCM, TokenHash: "h"})
				case 3:
					_, err = r.Unsubscribe(t.Context(), "a", channel, id)
				case 4:
					if i == 0 {
						_, err = r.DeleteDevice(t.Context(), "a", id)
					} else {
						_, err = r.Unsubscribe(t.Context(), "a", channel, "")
					}
				}
				if err != nil {
					t.Errorf("worker %d, step %d: %v", i, k, err)
				}
			}
		})
	}
	all.Wait()
	r.consistent(t)
}
