package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pusher/pusher-http-go/v5"
	"golang.org/x/crypto/nacl/secretbox"
)

// sdk is the official SDK for Go, and what the server answered to it last.
type sdk struct {
	*pusher.Client
	answers *answers
}

type answers struct{ last string }

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	a.last, res.Body = string(body), io.NopCloser(bytes.NewReader(body))
	return res, err
}

func newSDK(s *server) sdk {
	a := new(answers)
	return sdk{&pusher.Client{
		AppID: s.app.ID, Key: s.app.Key, Secret: s.app.Secret, Host: s.addr(),
		EncryptionMasterKeyBase64: base64.StdEncoding.EncodeToString(masterKey),
		HTTPClient:                &http.Client{Transport: a, Timeout: 10 * time.Second},
	}, a}
}

// ok fails the test if the SDK did, or if the answer is not what it has to be.
func (c sdk) ok(t *testing.T, err error, answer string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if c.answers.last != answer {
		t.Errorf("the server answered %s, want exactly %s", c.answers.last, answer)
	}
}

// scene is what each test of the SDK starts with: a client of its own and names
// that only it uses.
type scene struct {
	*server
	sdk sdk
	tag string
}

func (s scene) name(base string) string { return base + "-" + s.tag }

func (s scene) socket(t *testing.T) *socket { return openSocket(t, s.socketURL(s.app.Key)) }

// member is the channel_data of a presence channel.
func member(id string) string { return `{"user_id":"` + id + `"}` }

func TestPusherHTTPGo(t *testing.T) {
	target := need(t)
	for _, method := range []struct {
		name string
		run  func(*testing.T, scene)
	}{
		{"Trigger", sdkTrigger},
		{"TriggerMulti", sdkTriggerMulti},
		{"TriggerExclusive", sdkTriggerExclusive},
		{"TriggerWithParams", sdkTriggerWithParams},
		{"TriggerBatch", sdkTriggerBatch},
		{"Trigger on an encrypted channel", sdkEncrypted},
		{"Channels", sdkChannels},
		{"Channel", sdkChannel},
		{"GetChannelUsers", sdkGetChannelUsers},
		{"AuthenticateUser and SendToUser", sdkSendToUser},
		{"AuthorizePrivateChannel", sdkAuthorizePrivate},
		{"AuthorizePresenceChannel", sdkAuthorizePresence},
		{"a wrong secret", sdkWrongSecret},
	} {
		t.Run(method.name, func(t *testing.T) {
			method.run(t, scene{target, newSDK(target), "go-" + strings.ReplaceAll(method.name, " ", "-")})
		})
	}
}

func sdkTrigger(t *testing.T, s scene) {
	c, room := s.socket(t), s.name("room")
	c.join(t, s.app, room, "")
	s.sdk.ok(t, s.sdk.Trigger(room, "object", map[string]any{"b": 1, "a": "é"}), "{}")
	s.sdk.ok(t, s.sdk.Trigger(room, "text", "plain"), "{}")
	s.sdk.ok(t, s.sdk.Trigger(room, "bytes", []byte(`{"z":1.0}`)), "{}")
	for event, want := range map[string]string{"object": `{"a":"é","b":1}`, "text": "plain", "bytes": `{"z":1.0}`} {
		f := c.wait(t, event, room, 1)
		if got := f.text(t); got != want {
			t.Errorf("%s: got %s, want %s", event, got, want)
		}
	}
}

func sdkTriggerMulti(t *testing.T, s scene) {
	c, names := s.socket(t), []string{s.name("one"), s.name("private-two")}
	for _, name := range names {
		c.join(t, s.app, name, "")
	}
	s.sdk.ok(t, s.sdk.TriggerMulti(names, "news", "n"), "{}")
	for _, name := range names {
		c.wait(t, "news", name, 1)
	}
}

func sdkTriggerExclusive(t *testing.T, s scene) {
	mine, theirs, room := s.socket(t), s.socket(t), s.name("room")
	mine.join(t, s.app, room, "")
	theirs.join(t, s.app, room, "")
	//nolint:staticcheck // deprecated, and still what many applications call
	err := s.sdk.TriggerExclusive(room, "saved", "n", mine.id)
	s.sdk.ok(t, err, "{}")
	s.sdk.ok(t, s.sdk.Trigger(room, "fence", "n"), "{}")
	theirs.wait(t, "saved", room, 1)
	mine.wait(t, "fence", room, 1)
	if got := mine.all("saved", room); len(got) > 0 {
		t.Errorf("the excluded socket got %v", got)
	}
}

func sdkTriggerWithParams(t *testing.T, s scene) {
	c, lobby, info := s.socket(t), s.name("presence-lobby"), "user_count,subscription_count"
	c.join(t, s.app, lobby, member("ada"))
	s.socket(t).join(t, s.app, lobby, member("ada"))
	list, err := s.sdk.TriggerWithParams(lobby, "news", "n", pusher.TriggerParams{Info: &info, SocketID: &c.id})
	if err != nil {
		t.Fatal(err)
	}
	if got := counts(list.Channels[lobby].UserCount, list.Channels[lobby].SubscriptionCount); got != [2]int{1, 2} {
		t.Errorf("user_count and subscription_count are %v, the answer was %s", got, s.sdk.answers.last)
	}
}

// counts are two optional numbers, -1 for none.
func counts(users, sockets *int) [2]int {
	number := func(p *int) int {
		if p == nil {
			return -1
		}
		return *p
	}
	return [2]int{number(users), number(sockets)}
}

func sdkTriggerBatch(t *testing.T, s scene) {
	c, room, lobby := s.socket(t), s.name("room"), s.name("presence-lobby")
	c.join(t, s.app, room, "")
	c.join(t, s.app, lobby, member("ada"))
	_, err := s.sdk.TriggerBatch([]pusher.Event{{Channel: room, Name: "a", Data: "1"}, {Channel: room, Name: "b", Data: "2"}})
	s.sdk.ok(t, err, "{}")
	c.wait(t, "a", room, 1)
	c.wait(t, "b", room, 1)
	info := "user_count,subscription_count"
	list, err := s.sdk.TriggerBatch([]pusher.Event{
		{Channel: lobby, Name: "c", Data: "3", Info: &info}, {Channel: room, Name: "d", Data: "4"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list.Batch) != 2 {
		t.Fatalf("want two objects, the answer was %s", s.sdk.answers.last)
	}
	for i, want := range [][2]int{{1, 1}, {-1, -1}} {
		if got := counts(list.Batch[i].UserCount, list.Batch[i].SubscriptionCount); got != want {
			t.Errorf("event %d: counts are %v, want %v", i, got, want)
		}
	}
}

func sdkEncrypted(t *testing.T, s scene) {
	c, room := s.socket(t), s.name("private-encrypted-room")
	var answer map[string]string
	decode(t, must(s.sdk.AuthorizePrivateChannel(query("socket_id", c.id, "channel_name", room)))(t), &answer)
	c.subscribe(t, map[string]string{"channel": room, "auth": answer["auth"]})
	s.sdk.ok(t, s.sdk.Trigger(room, "secret", map[string]int{"n": 1}), "{}")
	var box struct{ Nonce, Ciphertext []byte }
	decode(t, []byte(c.wait(t, "secret", room, 1).text(t)), &box)
	key, err := base64.StdEncoding.DecodeString(answer["shared_secret"])
	if err != nil {
		t.Fatal(err)
	}
	plain, ok := secretbox.Open(nil, box.Ciphertext, (*[24]byte)(box.Nonce), (*[32]byte)(key))
	if !ok || string(plain) != `{"n":1}` {
		t.Errorf("decrypted %q, %v", plain, ok)
	}
}

func sdkChannels(t *testing.T, s scene) {
	c, room, lobby := s.socket(t), s.name("room"), s.name("presence-lobby")
	c.join(t, s.app, room, "")
	c.join(t, s.app, lobby, member("ada"))
	all, err := s.sdk.Channels(pusher.ChannelsParams{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{room, lobby} {
		if _, there := all.Channels[name]; !there {
			t.Errorf("%s is not in the list", name)
		}
	}
	prefix, info := lobby, "user_count"
	some, err := s.sdk.Channels(pusher.ChannelsParams{FilterByPrefix: &prefix, Info: &info})
	if err != nil {
		t.Fatal(err)
	}
	if len(some.Channels) != 1 || some.Channels[lobby].UserCount != 1 {
		t.Errorf("the answer was %s", s.sdk.answers.last)
	}
}

func sdkChannel(t *testing.T, s scene) {
	c, lobby, info := s.socket(t), s.name("presence-lobby"), "user_count,subscription_count"
	c.join(t, s.app, lobby, member("ada"))
	s.socket(t).join(t, s.app, lobby, member("bob"))
	got, err := s.sdk.Channel(lobby, pusher.ChannelParams{Info: &info})
	if err != nil {
		t.Fatal(err)
	}
	if want := (pusher.Channel{Name: lobby, Occupied: true, UserCount: 2, SubscriptionCount: 2}); *got != want {
		t.Errorf("got %+v, want %+v", *got, want)
	}
	empty, err := s.sdk.Channel(s.name("empty"), pusher.ChannelParams{})
	s.sdk.ok(t, err, `{"occupied":false}`)
	if empty.Occupied {
		t.Error("a channel without subscribers is occupied")
	}
}

func sdkGetChannelUsers(t *testing.T, s scene) {
	lobby := s.name("presence-lobby")
	for range 2 {
		s.socket(t).join(t, s.app, lobby, member("ada"))
	}
	users, err := s.sdk.GetChannelUsers(lobby)
	if err != nil {
		t.Fatal(err)
	}
	if len(users.List) != 1 || users.List[0].ID != "ada" {
		t.Errorf("got %+v", users.List)
	}
}

func sdkSendToUser(t *testing.T, s scene) {
	c, user := s.socket(t), s.name("user")
	var answer map[string]string
	decode(t, must(s.sdk.AuthenticateUser(query("socket_id", c.id), map[string]any{"id": user}))(t), &answer)
	c.send(t, "pusher:signin", "", answer)
	var data struct {
		UserData string `json:"user_data"`
	}
	decode(t, c.wait(t, "pusher:signin_success", "", 1).Data, &data)
	if data.UserData != answer["user_data"] {
		t.Errorf("confirmed %s, sent %s", data.UserData, answer["user_data"])
	}
	s.sdk.ok(t, s.sdk.SendToUser(user, "notice", "hi"), "{}")
	c.wait(t, "notice", "#server-to-user-"+user, 1)
}

func sdkAuthorizePrivate(t *testing.T, s scene) {
	c, room := s.socket(t), s.name("private-room")
	var answer map[string]string
	decode(t, must(s.sdk.AuthorizePrivateChannel(query("socket_id", c.id, "channel_name", room)))(t), &answer)
	answer["channel"] = room
	c.subscribe(t, answer)
}

func sdkAuthorizePresence(t *testing.T, s scene) {
	c, lobby := s.socket(t), s.name("presence-lobby")
	who := pusher.MemberData{UserID: "ada", UserInfo: map[string]string{"name": "Ada"}}
	var answer map[string]string
	decode(t, must(s.sdk.AuthorizePresenceChannel(query("socket_id", c.id, "channel_name", lobby), who))(t), &answer)
	answer["channel"] = lobby
	f := c.subscribe(t, answer)
	if got, want := f.text(t), `{"presence":{"ids":["ada"],"hash":{"ada":{"name":"Ada"}},"count":1}}`; !sameJSON(t, got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func sdkWrongSecret(t *testing.T, s scene) {
	s.sdk.Secret = "not-it"
	for what, err := range map[string]error{
		"Trigger":  s.sdk.Trigger(s.name("room"), "news", "n"),
		"Channels": func() error { _, err := s.sdk.Channels(pusher.ChannelsParams{}); return err }(),
	} {
		if err == nil || !strings.Contains(err.Error(), "Status Code: 401") {
			t.Errorf("%s: %v, want a 401", what, err)
		}
	}
}

// query is the body that a client library posts to an auth endpoint.
func query(pairs ...string) []byte {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return []byte(v.Encode())
}

// must takes the two results of a call and gives the first to a test.
func must(body []byte, err error) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
}

func decode(t *testing.T, text []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// sameJSON compares by value.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	compact := func(s string) string {
		var v any
		decode(t, []byte(s), &v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return compact(a) == compact(b)
}
