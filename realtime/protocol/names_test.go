package protocol

import (
	"reflect"
	"strings"
	"testing"
)

// Prefixes count only at the start of a name.
//
// Checklist: protocol 68, 69
func TestParseChannel(t *testing.T) {
	for name, want := range map[string]Channel{
		"orders":                    {Kind: Public, Logical: "orders"},
		"private-x":                 {Kind: Private, Logical: "x"},
		"private-cache-x":           {Kind: Private, Cache: true, Logical: "x"},
		"private-encrypted-x":       {Kind: Encrypted, Logical: "x"},
		"private-encrypted-cache-x": {Kind: Encrypted, Cache: true, Logical: "x"},
		"presence-x":                {Kind: Presence, Logical: "x"},
		"presence-cache-x":          {Kind: Presence, Cache: true, Logical: "x"},
		"cache-x":                   {Kind: Public, Cache: true, Logical: "x"},
		"my-cache-list":             {Kind: Public, Logical: "my-cache-list"},
		"xprivate-y":                {Kind: Public, Logical: "xprivate-y"},
		"#server-to-user-7":         {Kind: Public, Logical: "#server-to-user-7", User: "7"},
	} {
		want.Name = name
		if got := ParseChannel(name); got != want {
			t.Errorf("ParseChannel(%q) = %+v, want %+v", name, got, want)
		}
	}
}

// Checklist: protocol 57, 58, 59, 60
// Checklist: http-api 31, 32, 33, 34, 35, 36
// Checklist: configuration 46
func TestChannelRules(t *testing.T) {
	rules := ChannelRules{Namespace: func(name string) (NamespaceRules, bool) {
		switch name {
		case "chat":
			return NamespaceRules{}, true
		case "short":
			return NamespaceRules{MaxLength: 10}, true
		case "team":
			return NamespaceRules{UserLimited: true}, true
		case "num":
			return NamespaceRules{Match: func(s string) bool { return strings.HasSuffix(s, "1") }}, true
		}
		return NamespaceRules{}, false
	}}
	for _, name := range []string{
		"a", "a_b", "a-b", "a=b", "a@b", "a,b", "a;b", "a.b", "chat:b", "private-chat:1", "presence-cache-chat:x",
		"#server-to-user-u1", "#server-to-user-a:b", "team:room#u1,u2", "private-team:room#u_1", "num:1", "short:12",
		strings.Repeat("x", 200),
	} {
		if err := rules.Check(ParseChannel(name)); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "private-", "presence-cache-", "a b", "a/b", "a!b", "é", "a*", "[meta]a", "foo:bar", "private-foo:bar",
		"room#u1", "team:room#", "team:room#u1#u2", "team:room#u1,,u2", "team:room#u!", "#x", "private-#x", "chat:room#u1",
		"short:12345", "num:2", strings.Repeat("x", 201), "a\x00b", "a\nb",
	} {
		if err := rules.Check(ParseChannel(name)); err == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	limited := ChannelRules{MaxLength: 5}
	if limited.Check(ParseChannel("12345")) != nil || limited.Check(ParseChannel("123456")) == nil {
		t.Error("the app's limit does not count")
	}
}

// Checklist: protocol 21, 22
// Checklist: configuration 136
func TestOrigins(t *testing.T) {
	for _, test := range []struct {
		pattern string
		allow   []string
		refuse  []string
	}{
		{"*", []string{"", "https://x"}, nil},
		{"any", []string{"", "null"}, nil},
		{"https://app.example.com", []string{"https://app.example.com", "HTTPS://APP.example.com"}, []string{"http://app.example.com", "https://app.example.com:8443", ""}},
		{"localhost:3000", []string{"http://localhost:3000", "https://localhost:3000"}, []string{"http://localhost:3001", "http://localhost", ""}},
		{"*.example.com", []string{"https://example.com", "https://a.example.com", "http://a.b.example.com:81"}, []string{"https://badexample.com", "https://example.com.evil.org", ""}},
		{"https://*.example.com", []string{"https://a.example.com"}, []string{"http://a.example.com", "https://example.com"}},
		{"https://app-*", []string{"https://app-1.x"}, []string{"https://ap"}},
	} {
		origins, err := NewOrigins([]string{test.pattern})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range test.allow {
			if !origins.Allow(o) {
				t.Errorf("%s refuses %q", test.pattern, o)
			}
		}
		for _, o := range test.refuse {
			if origins.Allow(o) {
				t.Errorf("%s admits %q", test.pattern, o)
			}
		}
	}
	for _, bad := range []string{"", "*.*.com", "https://", "://x", "*."} {
		if _, err := NewOrigins([]string{bad}); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
	if !(Origins{}).Allow("") {
		t.Error("an empty list must not check")
	}
}

// Checklist: protocol 2, 4, 5, 6, 7, 8, 9, 10
func TestNegotiate(t *testing.T) {
	for query, want := range map[string]Version{
		"": V1, "protocol=7": V1, "protocol=5": V1, "protocol=6": V1, "protocol=1": V1, "protocol=0": V1, "protocol=3": V1,
		"protocol=255": V1, "protocol=2": V2, "protocol=7&client=js&version=8.4.0&flash=false&x=%20": V1,
		"protocol=7&format=msgpack&append_mode=foo": V1, "echo_messages=true": V1, "append_rollup_window=30": V1,
		"x=a;b&client=100%&y=%zz&protocol=7": V1,
	} {
		if terms, err := Negotiate(query); terms.Format.Version() != want || err != nil {
			t.Errorf("%q: %+v, %v; want %v", query, terms, err, want)
		}
	}
	for query, want := range map[string]Terms{
		"protocol=2": {Format: FormatJSON}, "protocol=2&format=+JSON+": {Format: FormatJSON}, "protocol=2&format=msgpack": {Format: FormatMessagePack},
		"protocol=2&format=messagepack": {Format: FormatMessagePack}, "protocol=2&format=proto": {Format: FormatProtobuf},
		"format=Protobuf&protocol=2&append_mode=full&append_rollup_window=40&token=a.b.c": {Format: FormatProtobuf, AppendFull: true, Token: "a.b.c"},
		"protocol=7&token=t": {AppendFull: true, Token: "t"},
	} {
		if terms, err := Negotiate(query); !reflect.DeepEqual(terms, want) || err != nil {
			t.Errorf("%q: %+v, %v; want %+v", query, terms, err, want)
		}
	}
	if terms, err := Negotiate("protocol=2&echo_messages=false"); err != nil || terms.Echo == nil || *terms.Echo {
		t.Errorf("echo_messages=false: %+v, %v", terms, err)
	}
	for _, query := range []string{
		"protocol=2&format=xml", "protocol=2&append_mode=foo", "protocol=2&append_rollup_window=30", "protocol=2&append_mode=Full",
	} {
		if _, err := Negotiate(query); err == nil {
			t.Errorf("%q is accepted", query)
		}
	}
	for _, query := range []string{"protocol=256", "protocol=-1", "protocol=abc", "protocol=", "echo_messages=yes", "append_rollup_window=x"} {
		if _, err := Negotiate(query); err == nil {
			t.Errorf("%q is accepted", query)
		}
	}
}

// Checklist: protocol 12
func TestSocketID(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := NewSocketID()
		a, b, ok := strings.Cut(id, ".")
		if !ok || !ValidSocketID(id) || len(a) > 10 || len(b) > 10 || seen[id] {
			t.Fatalf("socket id %q", id)
		}
		seen[id] = true
	}
	for _, bad := range []string{"", ".", "1.", ".1", "1", "1.2.3", "a.b", "1.-2", "1.2 "} {
		if ValidSocketID(bad) {
			t.Errorf("%q is valid", bad)
		}
	}
}
