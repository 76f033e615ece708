package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

// Golden bytes of every V1 frame. A client library may parse them in any way;
// these are what it was tested with.
//
// Checklist: protocol 11, 13, 35, 50, 55, 76, 90, 92, 119
func TestGoldenFrames(t *testing.T) {
	ada := Member{UserID: "u2", Info: json.RawMessage(`{"name":"Bob"}`)}
	ids, hash := AppendMember(nil, nil, Member{UserID: "u1", Info: json.RawMessage(`{"name":"Ada"}`)})
	ids, hash = AppendMember(ids, hash, Member{UserID: `q"2`, Info: json.RawMessage(`{}`)})
	for _, test := range []struct {
		name    string
		message *Outbound
		want    string
	}{
		{"connection_established", ConnectionEstablished("123.456", 120), `{"event":"pusher:connection_established","data":"{\"socket_id\":\"123.456\",\"activity_timeout\":120}"}`},
		{"error", ErrorMessage(ErrOrigin), `{"event":"pusher:error","data":{"code":4009,"message":"Origin not allowed"}}`},
		{"ping", Ping, `{"event":"pusher:ping"}`},
		{"pong", Pong, `{"event":"pusher:pong"}`},
		{"subscription_succeeded", SubscriptionSucceeded("orders"), `{"event":"pusher_internal:subscription_succeeded","channel":"orders","data":"{}"}`},
		{"presence", PresenceSucceeded("presence-lobby", ids, hash, 2), `{"event":"pusher_internal:subscription_succeeded","channel":"presence-lobby","data":"{\"presence\":{\"ids\":[\"u1\",\"q\\\"2\"],\"hash\":{\"u1\":{\"name\":\"Ada\"},\"q\\\"2\":{}},\"count\":2}}"}`},
		{"member_added", MemberAdded("presence-lobby", ada), `{"event":"pusher_internal:member_added","channel":"presence-lobby","data":"{\"user_id\":\"u2\",\"user_info\":{\"name\":\"Bob\"}}"}`},
		{"member_removed", MemberRemoved("presence-lobby", "u2"), `{"event":"pusher_internal:member_removed","channel":"presence-lobby","data":"{\"user_id\":\"u2\"}"}`},
		{"cache_miss", CacheMiss("cache-prices"), `{"event":"pusher:cache_miss","channel":"cache-prices","data":"{}"}`},
		{"subscription_count", SubscriptionCount("orders", 3), `{"event":"pusher_internal:subscription_count","channel":"orders","data":"{\"subscription_count\":3}"}`},
		{"subscription_error", SubscriptionError("private-orders", ErrSignatureInvalid), `{"event":"pusher:subscription_error","channel":"private-orders","data":{"type":"AuthError","error":"Channel requires authentication","status":401}}`},
		{"signin_success", SigninSuccess(`{"id":"u1"}`), `{"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u1\"}"}}`},
		{"watchlist", WatchlistEvents([]string{"u2"}, []string{"u3"}), `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]},{\"name\":\"offline\",\"user_ids\":[\"u3\"]}]}"}`},
		{"watchlist offline only", WatchlistEvents(nil, []string{"u3"}), `{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u3\"]}]}"}`},
		{"event", EventMessage("order.created", "orders", json.RawMessage(`"{\"id\":8}"`), ""), `{"event":"order.created","channel":"orders","data":"{\"id\":8}"}`},
		{"client event", EventMessage("client-typing", "presence-room", json.RawMessage(`{"on":true}`), "u1"), `{"event":"client-typing","channel":"presence-room","data":{"on":true},"user_id":"u1"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			frame := test.message.Frame(FormatV1)
			if got := string(frame.Text()); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if !json.Valid(frame.Text()) {
				t.Error("the text is not valid JSON")
			}
		})
	}
}

func TestFrameHeaders(t *testing.T) {
	for _, n := range []int{1, 124, 125, 126, 65535, 65536, 100000} {
		f := TextFrame([]byte(strings.Repeat("x", n)))
		if f[0] != opText || len(f.Text()) != n {
			t.Errorf("%d bytes: opcode %x, text of %d", n, f[0], len(f.Text()))
		}
		want := 2
		if n > 65535 {
			want = 10
		} else if n > 125 {
			want = 4
		}
		if got := len(f) - n; got != want {
			t.Errorf("%d bytes: header of %d, want %d", n, got, want)
		}
	}
	if f := CloseFrame(4009, strings.Repeat("r", 200)); len(f) != 2+125 || f[1] != 125 {
		t.Errorf("close frame of %d bytes, length byte %d", len(f), f[1])
	}
}

// Strings pass as they were written, everything else is put into a string
// without reordering or reformatting.
//
// Checklist: http-api 41
func TestEventData(t *testing.T) {
	for _, test := range []struct {
		in, want string
		size     int
	}{
		{`"{\"id\":8}"`, `"{\"id\":8}"`, 8},
		{`"é\u00e9"`, `"é\u00e9"`, 4},
		{`{"b": 1.50, "a": [1, 2]}`, `"{\"b\":1.50,\"a\":[1,2]}"`, 20},
		{`42`, `"42"`, 2},
		{`[1,"x"]`, `"[1,\"x\"]"`, 7},
		{`null`, `"null"`, 4},
		{``, `"null"`, 4},
	} {
		data, size := EventData(json.RawMessage(test.in))
		if string(data) != test.want || size != test.size {
			t.Errorf("EventData(%s) = %s, %d; want %s, %d", test.in, data, size, test.want, test.size)
		}
	}
}

func TestAppendStringIsJSON(t *testing.T) {
	var all []byte
	for c := range 0x80 {
		all = append(all, byte(c))
	}
	for _, s := range []string{"", "plain", `"\` + "\n\r\t\b\f", string(all), "\u2028é☃😀<&>"} {
		encoded := AppendString(nil, s)
		var back string
		if err := json.Unmarshal(encoded, &back); err != nil || back != s {
			t.Errorf("%q became %s: %q, %v", s, encoded, back, err)
		}
	}
}
