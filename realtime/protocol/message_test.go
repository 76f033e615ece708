package protocol

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// Checklist: protocol 44, 45
func TestParseMessage(t *testing.T) {
	m, e := parseJSON([]byte(` {"event":"client-x","channel":"c","data":{"b":1.0,"a":2},"user_id":"evil"}`))
	if e != nil || m.Event != "client-x" || m.Channel != "c" || string(m.Data) != `{"b":1.0,"a":2}` {
		t.Errorf("%+v, %v", m, e)
	}
	for text, want := range map[string]string{
		`not json`:                     "Invalid message format",
		``:                             "Invalid message format",
		`[]`:                           "Invalid message format",
		`"x"`:                          "Invalid message format",
		`{"event":5}`:                  "Invalid message format",
		`{"event":"x","channel":[]}`:   "Invalid message format",
		`{}`:                           "Event name is required",
		`{"event":null}`:               "Event name is required",
		`{"event":""}`:                 "Event name is required",
		`{"Event":"x"}`:                "Event name is required",
		strings.Repeat(`{"a":`, 20000): "Invalid message format",
	} {
		if _, e := parseJSON([]byte(text)); e == nil || e.Code != CodeGenericError || !strings.Contains(e.Message, want) || e.Close {
			t.Errorf("%.40s: %+v", text, e)
		}
	}
}

// Checklist: protocol 51, 54
func TestCanonical(t *testing.T) {
	for _, prefix := range []string{"pusher:", "pusher_internal:", "sockudo:", "sockudo_internal:"} {
		if name, ok := Canonical(prefix + "subscribe"); name != "subscribe" || !ok {
			t.Errorf("%s: %q %v", prefix, name, ok)
		}
	}
	if _, ok := Canonical("subscribe"); ok {
		t.Error("a bare name is taken for a system event")
	}
}

// Checklist: protocol 56, 75, 180
func TestSubscribeForms(t *testing.T) {
	for _, data := range []string{
		`{"channel":"c","auth":"k:s","channel_data":"{}"}`,
		`"{\"channel\":\"c\",\"auth\":\"k:s\",\"channel_data\":\"{}\"}"`,
		`{"channel":"c","auth":"k:s","channel_data":"{}","filter":{"events":["a"]},"modes":["X"],"delta":true,"rewind":null}`,
	} {
		s, e := ParseSubscribe(json.RawMessage(data))
		if e != nil || s.Channel != "c" || s.Auth != "k:s" || s.ChannelData != "{}" || s.Rewind != nil {
			t.Errorf("%s: %+v, %v", data, s, e)
		}
	}
	for _, data := range []string{``, `null`, `5`, `"x"`, `{}`, `{"channel":5}`, `{"channel":"c","auth":5}`, `{"channel":"c","channel_data":{}}`, `{"channel":"c","filter":5}`, `{"channel":"c","modes":"x"}`, `{"channel":"c","delta":5}`} {
		if _, e := ParseSubscribe(json.RawMessage(data)); e == nil || e.Code != CodeGenericError {
			t.Errorf("%s: %v", data, e)
		}
	}
	for _, data := range []string{`"c"`, `{"channel":"c"}`, `"{\"channel\":\"c\"}"`} {
		if channel, e := ParseUnsubscribe(json.RawMessage(data)); e != nil || channel != "c" {
			t.Errorf("%s: %q, %v", data, channel, e)
		}
	}
}

// Checklist: protocol 93
func TestParseMember(t *testing.T) {
	for text, want := range map[string]Member{
		`{"user_id":"u1"}`:                          {UserID: "u1", Info: json.RawMessage(`{}`)},
		`{"user_id":7,"user_info":{"a": 1}}`:        {UserID: "7", Info: json.RawMessage(`{"a":1}`)},
		`{"user_id":"u","user_info":null}`:          {UserID: "u", Info: json.RawMessage(`null`)},
		`{"user_id":"\u0075","user_info":[1, "x"]}`: {UserID: "u", Info: json.RawMessage(`[1,"x"]`)},
	} {
		m, e := ParseMember(text)
		if e != nil || m.UserID != want.UserID || string(m.Info) != string(want.Info) {
			t.Errorf("%s: %+v, %v", text, m, e)
		}
	}
	for _, text := range []string{`{}`, `{"user_id":null}`, `{"user_id":""}`, `{"user_id":true}`, `{"user_id":{}}`} {
		if _, e := ParseMember(text); e == nil || e.Code != CodeChannelError {
			t.Errorf("%s: %v", text, e)
		}
	}
	if _, e := ParseMember(`x`); e == nil || e.Code != CodeGenericError {
		t.Error(e)
	}
}

// Checklist: protocol 123
func TestParseUser(t *testing.T) {
	u, e := ParseUser(`{"id":"u1","user_info":{"n":1},"watchlist":["a",5,"b"]}`)
	if e != nil || u.ID != "u1" || string(u.Info) != `{"n":1}` || strings.Join(u.Watchlist, ",") != "a,b" {
		t.Errorf("%+v, %v", u, e)
	}
	for _, text := range []string{``, `{}`, `{"id":""}`, `{"id":5}`, `{"id":"u","watchlist":5}`} {
		if _, e := ParseUser(text); e == nil || e.Code != CodeUnauthorized {
			t.Errorf("%s: %v", text, e)
		}
	}
}

func FuzzMessage(f *testing.F) {
	for _, s := range []string{`{"event":"pusher:subscribe","data":{"channel":"x"}}`, `{"event":"client-a","channel":"private-b","data":"x"}`, `[]`, "\xff", `{"event":"a","event":"b"}`, `{"event":"pusher:signin","data":"{\"auth\":\"\",\"user_data\":\"{}\"}"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, e := ParseMessage(FormatJSON, text)
		if e != nil {
			if !json.Valid(ErrorMessage(e).Frame(FormatV1).Text()) && utf8.ValidString(e.Message) {
				t.Errorf("error frame is not JSON: %s", ErrorMessage(e).Frame(FormatV1).Text())
			}
			return
		}
		if m.Data != nil && utf8.Valid(text) {
			if f := EventMessage(m.Event, m.Channel, m.Data, "u").Frame(FormatV1); !json.Valid(f.Text()) {
				t.Errorf("frame is not JSON: %s", f.Text())
			}
		}
		_, _ = ParseSubscribe(m.Data)
		_, _ = ParseUnsubscribe(m.Data)
		_, _ = ParseSignin(m.Data)
	})
}

func FuzzSubscribeData(f *testing.F) {
	for _, s := range []string{`{"channel":"x","auth":"k:s"}`, `"{\"channel\":\"x\"}"`, `{"user_id":1e400}`, `{"user_id":"u","user_info":{"a":[1]}}`, `{"id":"u","watchlist":["x"]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s, e := ParseSubscribe(json.RawMessage(text)); e == nil && s.Channel == "" && !strings.Contains(text, "channel") {
			t.Errorf("%q has no channel", text)
		}
		if m, e := ParseMember(text); e == nil {
			if m.UserID == "" {
				t.Errorf("%q has an empty user", text)
			}
			ids, hash := AppendMember(nil, nil, m)
			if f := PresenceSucceeded("presence-x", ids, hash, 1); utf8.ValidString(text) && !json.Valid(f.Frame(FormatV1).Text()) {
				t.Errorf("%q gives %s", text, f.Frame(FormatV1).Text())
			}
		}
		_, _ = ParseUser(text)
	})
}

func FuzzChannelName(f *testing.F) {
	for _, s := range []string{"orders", "private-cache-a:b#c,d", "#server-to-user-1", "[meta]x", "a*b", "\xff", ""} {
		f.Add(s)
	}
	rules := ChannelRules{Namespace: func(name string) (NamespaceRules, bool) {
		return NamespaceRules{UserLimited: true}, name == "ns"
	}}
	f.Fuzz(func(t *testing.T, name string) {
		c := ParseChannel(name)
		if !strings.HasSuffix(name, c.Logical) {
			t.Errorf("%q: logical name %q", name, c.Logical)
		}
		if rules.Check(c) == nil {
			if name == "" || len(name) > DefaultChannelNameLength || strings.ContainsAny(name, " */[]\"\\") || !utf8.ValidString(name) {
				t.Errorf("%q is accepted", name)
			}
		}
	})
}
