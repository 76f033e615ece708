package rest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// Checklist: http-api 76
func TestHTTP076Channels(t *testing.T) {
	n := newNode(t, testApp())
	n.get("channels").is(t, 200, `{"channels":{}}`)
	n.connect().subscribe("a").subscribe("presence-p", "u1")
	n.connect().subscribe("a").subscribe("b")
	n.get("channels").is(t, 200, `{"channels":{"a":{},"b":{},"presence-p":{}}}`)
	n.get("channels", "filter_by_prefix", "presence-").is(t, 200, `{"channels":{"presence-p":{}}}`)
	n.get("channels", "filter_by_prefix", "none").is(t, 200, `{"channels":{}}`)
	n.get("channels", "info", "subscription_count").is(t, 200, `{"channels":{"a":{"subscription_count":2},"b":{"subscription_count":1},"presence-p":{"subscription_count":1}}}`)
	n.get("channels", "info", "user_count,subscription_count", "filter_by_prefix", "presence-").is(t, 200, `{"channels":{"presence-p":{"user_count":1,"subscription_count":1}}}`)
	// Asked for nothing that a channel has, the channel is left out.
	n.get("channels", "info", "cache").is(t, 200, `{"channels":{}}`)
	n.get("channels", "info", "").is(t, 200, `{"channels":{}}`)
}

// Checklist: http-api 77
func TestHTTP077UserCountOfAll(t *testing.T) {
	n := newNode(t, testApp())
	n.connect().subscribe("presence-p", "u1")
	n.get("channels", "info", "user_count").is(t, 200, `{"channels":{"presence-p":{"user_count":1}}}`)
	n.connect().subscribe("a")
	const text = "user_count is only available for presence channels. Use filter_by_prefix=presence-"
	n.get("channels", "info", "user_count").fails(t, 400, "invalid_input", text)
	n.get("channels", "info", "subscription_count,user_count", "filter_by_prefix", "a").fails(t, 400, "invalid_input", text)
	n.get("channels", "info", "user_count", "filter_by_prefix", "presence").is(t, 200, `{"channels":{"presence-p":{"user_count":1}}}`)
}

// V1 refuses such subscriptions, and the channels of a user are no odd names.
// Checklist: http-api 78
func TestHTTP078OddNames(t *testing.T) {
	n := newNode(t, testApp())
	s := n.connect().subscribe("a")
	for _, channel := range []string{"foo*", "[meta]a", "x:y"} {
		s.conn.Receive([]byte(body("event", "pusher:subscribe", "data", map[string]string{"channel": channel})))
	}
	n.connect().signin("u").subscribe("#server-to-user-u")
	n.get("channels").is(t, 200, `{"channels":{"#server-to-user-u":{},"a":{}}}`)
	n.get("channels/%23server-to-user-u", "info", "subscription_count").is(t, 200, `{"occupied":true,"subscription_count":1}`)
}

// Checklist: http-api 79, 80
func TestHTTP079Channel(t *testing.T) {
	n := newNode(t, testApp())
	n.get("channels/x").is(t, 200, `{"occupied":false}`)
	n.get("channels/x", "info", "subscription_count").is(t, 200, `{"occupied":false,"subscription_count":0}`)
	n.get("channels/presence-x", "info", "user_count").is(t, 200, `{"occupied":false,"user_count":0}`)
	n.get("channels/x", "info", "user_count").fails(t, 400, "invalid_input", "user_count is only available for presence channels")
	n.get("channels/x%20y").fails(t, 400, "invalid_input", "invalid characters")
	n.connect().subscribe("x").subscribe("presence-x", "u1")
	n.get("channels/x").is(t, 200, `{"occupied":true}`)
	n.get("channels/x", "info", "subscription_count,unknown").is(t, 200, `{"occupied":true,"subscription_count":1}`)
	n.get("channels/presence-x", "info", "user_count,subscription_count").is(t, 200, `{"occupied":true,"user_count":1,"subscription_count":1}`)
}

// Checklist: http-api 81
func TestHTTP081CachedEvent(t *testing.T) {
	n := newNode(t, testApp(), func(s *realtime.Settings) { s.Limits.CacheTTL = time.Hour })
	n.get("channels/cache-c", "info", "cache").is(t, 200, `{"occupied":false}`)
	n.post("events", body("name", "tick", "channels", []string{"cache-c", "foo-cache-bar"}, "data", `say "42"`)).is(t, 200, `{}`)
	var got struct {
		Occupied bool
		Cache    struct {
			Data string
			TTL  int
		}
	}
	a := n.get("channels/cache-c", "info", "cache")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if got.Cache.Data != `{"event":"tick","channel":"cache-c","data":"say \"42\""}` || got.Cache.TTL < 3590 || got.Cache.TTL > 3600 {
		t.Errorf("got %s", a.body)
	}
	n.get("channels/cache-c").is(t, 200, `{"occupied":false}`)
	// A name that holds the word elsewhere is no cache channel (Q12).
	n.get("channels/foo-cache-bar", "info", "cache").is(t, 200, `{"occupied":false}`)
}

// Checklist: http-api 82, 83
func TestHTTP082Users(t *testing.T) {
	n := newNode(t, testApp())
	n.get("channels/x/users").fails(t, 400, "invalid_input", "Only presence channels support this endpoint")
	n.get("channels/x%20y/users").fails(t, 400, "invalid_input", "invalid characters")
	n.get("channels/presence-p/users").is(t, 200, `{"users":[]}`)
	n.connect().subscribe("presence-p", `u"1`)
	n.connect().subscribe("presence-p", `u"1`)
	n.connect().subscribe("presence-p", "u2")
	var got struct{ Users []struct{ ID string } }
	a := n.get("channels/presence-p/users")
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	var ids []string
	for _, u := range got.Users {
		ids = append(ids, u.ID)
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{`u"1`, "u2"}) {
		t.Errorf("users %q", ids)
	}
	n.get("channels/presence-p", "info", "user_count,subscription_count").is(t, 200, `{"occupied":true,"user_count":2,"subscription_count":3}`)
}

// Checklist: http-api 84, 85
func TestHTTP084CloseUser(t *testing.T) {
	n := newNode(t, testApp())
	for _, c := range []struct {
		path, reason string
		code         int
	}{
		{"terminate_connections", "You got disconnected by the app.", 4009},
		{"force_reconnect", "Force reconnect requested by the app.", 4200},
	} {
		first, second, other := n.connect().signin("u 1/x"), n.connect().signin("u 1/x"), n.connect().signin("u2")
		n.post("users/u%201%2Fx/"+c.path, `{}`).is(t, 200, `{"ok":true}`)
		n.post("users/unknown/"+c.path, `{}`).is(t, 200, `{"ok":true}`)
		n.post("users/unknown/"+c.path, `what is this`).is(t, 200, `{"ok":true}`)
		for _, s := range []*socket{first, second} {
			if e := s.end(); e == nil || e.Code != c.code || e.Message != c.reason {
				t.Errorf("%s: closed with %+v", c.path, e)
			}
			s.conn.Disconnect(true)
		}
		if other.end() != nil {
			t.Errorf("%s: another user was closed", c.path)
		}
	}
}

func TestConnections(t *testing.T) {
	n := newNode(t, testApp())
	n.get("connections").is(t, 200, `{"connections":0}`)
	s := n.connect()
	n.connect()
	n.get("connections").is(t, 200, `{"connections":2}`)
	s.conn.Disconnect(true)
	n.get("connections").is(t, 200, `{"connections":1}`)
}
