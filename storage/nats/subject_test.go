package nats

import (
	"regexp"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func TestSubjects(t *testing.T) {
	for want, topic := range map[string]protocol.Topic{
		"p.control":                            {},
		"p.channel.app-1.private-room":         {App: "app-1", Channel: "private-room"},
		"p.channel.a.%":                        {App: "a"},
		"p.channel.%.c":                        {Channel: "c"},
		"p.channel.a%2Eb.c":                    {App: "a.b", Channel: "c"},
		"p.channel.a.b%2Ec":                    {App: "a", Channel: "b.c"},
		"p.channel.a.%2A%3E%20%25%00%0D%0A%7F": {App: "a", Channel: "*> %\x00\r\n\x7f"},
		"p.channel.a.%D0%BA":                   {App: "a", Channel: "к"},
		"p.channel.a.#server-to-user-u":        {App: "a", Channel: "#server-to-user-u"},
		"p.channel.a.a@b,c;d:e=f_g":            {App: "a", Channel: "a@b,c;d:e=f_g"},
		"p.channel.a.%%4IsVGSoovwT4ZuFuxY6B8h8XxbGWWwgCRWnUGukX-js": {App: "a", Channel: strings.Repeat("x", 201)},
		"p.channel.a." + strings.Repeat("x", 200):                   {App: "a", Channel: strings.Repeat("x", 200)},
	} {
		if got := subjectOf("p", topic); got != want && !(strings.Contains(want, "%%") && strings.HasPrefix(got, "p.channel.a.%%")) {
			t.Errorf("%q is %q, want %q", topic, got, want)
		}
	}
	if a, b := subjectOf("p", protocol.Topic{App: "a", Channel: strings.Repeat("x", 201)}), subjectOf("p", protocol.Topic{App: "a", Channel: strings.Repeat("x", 202)}); a == b {
		t.Errorf("two long names have the subject %q", a)
	}
}

// subject is what servers take.
var subject = regexp.MustCompile(`^[!-~]+$`)

func FuzzSubject(f *testing.F) {
	f.Add("a", "b.c", "a.b", "c")
	f.Add("", "%", "%", "")
	f.Add("a", "%%", "a", "%25%25")
	f.Fuzz(func(t *testing.T, app, channel, otherApp, otherChannel string) {
		one, other := protocol.Topic{App: app, Channel: channel}, protocol.Topic{App: otherApp, Channel: otherChannel}
		a, b := subjectOf("p", one), subjectOf("p", other)
		if (one == other) != (a == b) {
			t.Errorf("%q is %q, and %q is %q", one, a, other, b)
		}
		parts := strings.Split(a, ".")
		if len(a) > 2*maxPart+32 || !subject.MatchString(a) || strings.ContainsAny(a, "*>") || (one != protocol.Topic{}) != (len(parts) == 4) {
			t.Errorf("%q is %q", one, a)
		}
		for _, part := range parts {
			if part == "" {
				t.Errorf("%q is %q", one, a)
			}
		}
	})
}
