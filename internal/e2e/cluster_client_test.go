//go:build unix

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// await waits for a frame that has all parts in it, wherever it stands.
func (k *conn) await(parts ...string) string {
	k.t.Helper()
	var frame string
	until(k.t, fmt.Sprintf("frame with %q", parts), func() error {
		var err error
		frame, err = k.find(parts...)
		return err
	})
	return frame
}

// find is the last frame that has all parts in it.
func (k *conn) find(parts ...string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, frame := range slices.Backward(k.frames) {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(frame, part) }) {
			return frame, nil
		}
	}
	if k.err != nil {
		return "", k.err
	}
	return "", fmt.Errorf("it is not among %d frames", len(k.frames))
}

// join subscribes to a channel, and waits until that has succeeded. user is who
// joins a presence channel.
func (k *conn) join(channel, user string) {
	k.t.Helper()
	kind, member, auth := protocol.ParseChannel(channel), "", ""
	if user != "" {
		member = `{"user_id":"` + user + `"}`
	}
	if kind.Signed() {
		auth = protocol.SignChannel("app-key", "app-secret", k.id, channel, member)
	}
	data, err := json.Marshal(map[string]string{"channel": channel, "channel_data": member, "auth": auth})
	if err != nil {
		k.t.Fatal(err)
	}
	k.send(`{"event":"pusher:subscribe","data":` + string(data) + `}`)
	k.await("subscription_succeeded", `"channel":"`+channel+`"`)
}

// signin signs a user in.
func (k *conn) signin(user string, watched ...string) {
	k.t.Helper()
	data, err := json.Marshal(map[string]any{"id": user, "watchlist": watched})
	if err != nil {
		k.t.Fatal(err)
	}
	request, err := json.Marshal(map[string]string{"auth": protocol.SignUser("app-key", "app-secret", k.id, string(data)), "user_data": string(data)})
	if err != nil {
		k.t.Fatal(err)
	}
	k.send(`{"event":"pusher:signin","data":` + string(request) + `}`)
	k.await("signin_success")
}

// roster is what a client was told of the members of a channel.
type roster struct {
	present        map[string]bool
	added, removed map[string]int
	// faults are events that cannot follow on those before them.
	faults []string
}

func (r *roster) String() string {
	var ids []string
	for id := range r.present {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return strings.Join(ids, ",")
}

// roster replays what came on a channel.
func (k *conn) roster(channel string) *roster {
	r := &roster{present: map[string]bool{}, added: map[string]int{}, removed: map[string]int{}}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, frame := range k.frames {
		if !strings.Contains(frame, channel) {
			continue
		}
		var m struct{ Event, Channel, Data string }
		if json.Unmarshal([]byte(frame), &m) != nil || m.Channel != channel {
			continue
		}
		var data struct {
			UserID   string                 `json:"user_id"`
			Presence struct{ IDs []string } `json:"presence"`
		}
		if json.Unmarshal([]byte(m.Data), &data) != nil {
			continue
		}
		switch strings.TrimPrefix(m.Event, "pusher_internal:") {
		case "subscription_succeeded":
			for _, id := range data.Presence.IDs {
				r.present[id] = true
			}
		case "member_added":
			if r.present[data.UserID] {
				r.faults = append(r.faults, data.UserID+" came twice")
			}
			r.added[data.UserID]++
			r.present[data.UserID] = true
		case "member_removed":
			if !r.present[data.UserID] {
				r.faults = append(r.faults, data.UserID+" went without having come")
			}
			r.removed[data.UserID]++
			delete(r.present, data.UserID)
		}
	}
	return r
}

// sees waits until a client was told of exactly these members.
func (k *conn) sees(channel string, users ...string) *roster {
	k.t.Helper()
	slices.Sort(users)
	var r *roster
	until(k.t, "members as the client sees them", func() error {
		if err := k.closed(); err != nil {
			return err
		}
		if r = k.roster(channel); r.String() != strings.Join(users, ",") {
			return fmt.Errorf("it sees %s, want %q", r, users)
		}
		return nil
	})
	if len(r.faults) > 0 {
		k.t.Errorf("member events that cannot be: %q", r.faults)
	}
	return r
}

// occurrences is how many frames have all parts in them.
func (k *conn) occurrences(parts ...string) (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
next:
	for _, frame := range k.frames {
		for _, part := range parts {
			if !strings.Contains(frame, part) {
				continue next
			}
		}
		n++
	}
	return n
}

// expectClosed waits until a connection was closed with a code.
func (k *conn) expectClosed(code int) {
	k.t.Helper()
	until(k.t, fmt.Sprint("close with ", code), func() error {
		if err := k.closed(); !isClosed(err, code) {
			return fmt.Errorf("it is closed by: %w", err)
		}
		return nil
	})
}
