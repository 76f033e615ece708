package rest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/storage"
)

// lists are the lists of the API, with the kinds of their cursors.
var lists = map[string]push.CursorKind{
	"credentials": push.CursorCredential, "templates": push.CursorTemplate, "deviceRegistrations": push.CursorDevice,
	"channelSubscriptions": push.CursorSubscription, "channelSubscriptions/channels": push.CursorChannel,
	"deadLetters": push.CursorDeadLetter, "publish/p/deliveries": push.CursorDelivery, "publish/p/events": push.CursorEvent,
}

// Checklist: push 8, 10
func TestCursors(t *testing.T) {
	s := newSite(t, func(one *setup) {
		one.app.PreviousSecrets = []storage.PreviousSecret{{Secret: "older", Until: time.Now().Add(time.Hour)}, {Secret: "oldest", Until: time.Now().Add(-time.Hour)}}
	})
	read[any](t, s.do("POST", "publish", publishBody("p", `{"type":"device","device_id":"d"}`)), 202)
	for path, kind := range lists {
		for _, limit := range []string{"0", "1001", "-1", "x", "", "1.5", "99999999999999999999"} {
			s.do("GET", path+"?limit="+limit, "").fails(t, 400, "invalid_input", "limit must be between 1 and 1000")
		}
		position := "x"
		if kind == push.CursorSubscription {
			position = `["x","y"]`
		}
		good := push.EncodeCursor(appSecret, appID, kind, position)
		wrong := map[string]string{
			"garbage": "garbage", "unsigned": strings.Split(good, ".")[0], "cut": good[:len(good)-2], "too long": strings.Repeat("A", 5000) + ".A",
			"another app's":       push.EncodeCursor(appSecret, otherID, kind, position),
			"by another app":      push.EncodeCursor("secret-2", otherID, kind, position),
			"another secret's":    push.EncodeCursor("stranger", appID, kind, position),
			"an expired secret's": push.EncodeCursor("oldest", appID, kind, position),
		}
		for _, other := range lists {
			if other != kind {
				wrong["that of "+string(other)] = push.EncodeCursor(appSecret, appID, other, position)
			}
		}
		for name, cursor := range wrong {
			got := s.do("GET", path+"?cursor="+url.QueryEscape(cursor), "")
			if got.status != 400 || !strings.Contains(got.body, `"error":"cursor: `) || !strings.Contains(got.body, `"invalid_input"`) {
				t.Errorf("%s with a cursor %s: %d %s", path, name, got.status, got.body)
			}
		}
		for _, cursor := range []string{"", good, push.EncodeCursor("older", appID, kind, position)} {
			if got := s.do("GET", path+"?limit=1000&cursor="+url.QueryEscape(cursor), ""); got.status != 200 {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	}
}

// walk reads a list page by page.
func walk[T any](s *site, path string, limit int) (items []T, sizes []int) {
	s.t.Helper()
	path += fmt.Sprintf("?limit=%d", limit)
	for cursor := ""; ; {
		got := read[list[T]](s.t, s.do("GET", path+"&cursor="+url.QueryEscape(cursor), ""), 200)
		items, sizes = append(items, got.Items...), append(sizes, len(got.Items))
		if got.More != (got.Next != nil) {
			s.t.Fatalf("%s: has_more is %v with the cursor %v", path, got.More, got.Next)
		}
		if !got.More {
			return items, sizes
		}
		cursor = *got.Next
	}
}

// Checklist: push 9
func TestDevicePages(t *testing.T) {
	s := newSite(t)
	for i := range 2500 {
		r, err := push.ParseRegistration([]byte(deviceBody(fmt.Sprintf("d%04d", i), fmt.Sprintf("t%d", i))))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.registry.Register(t.Context(), appID, r, false); err != nil {
			t.Fatal(err)
		}
	}
	devices, sizes := walk[push.DeviceView](s, "deviceRegistrations", 1000)
	if fmt.Sprint(sizes) != "[1000 1000 500]" {
		t.Errorf("the pages have %v devices", sizes)
	}
	for i, d := range devices {
		if want := fmt.Sprintf("d%04d", i); d.ID != want {
			t.Fatalf("device %d is %s", i, d.ID)
		}
	}
	if got := read[list[any]](t, s.do("GET", "deviceRegistrations", ""), 200); len(got.Items) != 100 {
		t.Errorf("a page has %d devices", len(got.Items))
	}
}

// Checklist: push 10, 31
func TestSubscriptionPages(t *testing.T) {
	s := newSite(t)
	var want []string
	for _, channel := range []string{"a", "a:b", "a:b:c", `a","b`, "b", "notifications:user-1"} {
		for _, device := range []string{"a:b", "d", "e:"} {
			body := fmt.Sprintf(`{"channel":%q,"deviceId":%q,"provider":"fcm","tokenHash":"h"}`, channel, device)
			read[any](t, s.do("POST", "channelSubscriptions", body), 201)
			want = append(want, channel+" "+device)
		}
	}
	for limit := 1; limit <= 7; limit++ {
		rows, _ := walk[push.SubscriptionView](s, "channelSubscriptions", limit)
		seen := map[string]bool{}
		for _, row := range rows {
			seen[row.Channel+" "+row.DeviceID] = true
		}
		if len(rows) != len(want) || len(seen) != len(want) {
			t.Errorf("limit %d: %d rows, %d of them different, want %d", limit, len(rows), len(seen), len(want))
		}
		names, _ := walk[string](s, "channelSubscriptions/channels", limit)
		if got := strings.Join(names, "|"); got != `a|a","b|a:b|a:b:c|b|notifications:user-1` {
			t.Errorf("limit %d: the channels are %s", limit, got)
		}
	}
	for path, n := range map[string]int{"channelSubscriptions?channel=a:b:c": 3, "channelSubscriptions?deviceId=a:b": 6, "channelSubscriptions?channel=a&deviceId=d": 1, "channelSubscriptions?channel=x": 0} {
		if got := read[list[any]](t, s.do("GET", path, ""), 200); len(got.Items) != n || got.Items == nil {
			t.Errorf("%s: %d rows", path, len(got.Items))
		}
	}
}
