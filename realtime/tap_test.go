package realtime_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// heard takes from a tap until a kind has come, and returns all as short lines.
func heard(t *testing.T, tap *realtime.Tap, last realtime.Kind) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		all, missed, err := tap.Next(ctx)
		if err != nil || missed > 0 {
			t.Fatalf("%v, missed %d, after %q", err, missed, lines)
		}
		for _, h := range all {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", h.Kind, h.Channel, h.Event, h.UserID)))
		}
		if slices.ContainsFunc(all, func(h realtime.Happening) bool { return h.Kind == last }) {
			return lines
		}
	}
}

func TestTapHearsInOrder(t *testing.T) {
	f := newFixture(t, nil)
	all := f.hub.Tap(realtime.TapFilter{}, 1<<20)
	defer all.Close()
	members := f.hub.Tap(realtime.TapFilter{Channel: "presence-*", Kinds: []realtime.Kind{realtime.MemberAdded, realtime.MemberRemoved}}, 1<<20)
	defer members.Close()
	ada := f.dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	f.publish("presence-x", "greeting", `"hello"`)
	ada.conn.Disconnect(true)
	got := heard(t, all, realtime.Disconnected)
	want := []string{
		"connected", "received  pusher:subscribe", "member_added presence-x  ada", "channel_occupied presence-x", "subscribed presence-x  ada",
		"published presence-x greeting", "member_removed presence-x  ada", "unsubscribed presence-x  ada", "channel_vacated presence-x", "disconnected",
	}
	if !slices.Equal(got, want) {
		t.Errorf("heard\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := heard(t, members, realtime.MemberRemoved); !slices.Equal(got, []string{"member_added presence-x  ada", "member_removed presence-x  ada"}) {
		t.Errorf("the filter let through %q", got)
	}
}

// Signatures and tokens are in no happening.
func TestTapHidesSecrets(t *testing.T) {
	f := newFixture(t, nil)
	tap := f.hub.Tap(realtime.TapFilter{Kinds: []realtime.Kind{realtime.Received}}, 1<<20)
	defer tap.Close()
	ada := f.dial()
	ada.join("presence-x", `{"user_id":"ada"}`)
	all, _, err := tap.Next(t.Context())
	if err != nil || len(all) != 1 || all[0].Data != "" || all[0].Size == 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// What a tap has no room for is counted, and nobody waits for it.
func TestTapIsBounded(t *testing.T) {
	f := newFixture(t, nil)
	tap := f.hub.Tap(realtime.TapFilter{Kinds: []realtime.Kind{realtime.Published}}, 2000)
	const published = 50
	for range published {
		f.publish("room", "greeting", `"hello"`)
	}
	all, missed, err := tap.Next(t.Context())
	if err != nil || len(all) == 0 || len(all) > 10 || len(all)+int(missed) != published {
		t.Errorf("%d heard and %d missed of %d, %v", len(all), missed, published, err)
	}
	tap.Close()
	for range 2 {
		if _, _, err := tap.Next(t.Context()); !errors.Is(err, realtime.ErrTapClosed) {
			t.Errorf("after its end a tap says %v", err)
		}
	}
	f.hub.Close(t.Context())
	late := f.hub.Tap(realtime.TapFilter{}, 1000)
	if _, _, err := late.Next(t.Context()); !errors.Is(err, realtime.ErrTapClosed) {
		t.Errorf("after the hub's end a tap says %v", err)
	}
}

// A payload is cut between two characters.
func TestTapCutsData(t *testing.T) {
	f := newFixture(t, nil)
	tap := f.hub.Tap(realtime.TapFilter{}, 1<<20)
	defer tap.Close()
	data := `"` + strings.Repeat("ä", 10000) + `"`
	f.publish("room", "greeting", data)
	all, _, err := tap.Next(t.Context())
	if err != nil || len(all) != 1 || all[0].Size != len(data) || len(all[0].Data) > 16<<10 || strings.Trim(all[0].Data, `"ä`) != "" {
		t.Errorf("%d happenings, %v", len(all), err)
	}
}
