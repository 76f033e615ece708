package sockudo

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

// A token that the command makes is valid for the server, and lets a client in who may
// do what it permits and nothing else.
func TestToken(t *testing.T) {
	s, port := signSite(t)
	args := []string{"--app", "demo", "--address", s.admin, "--client", "user-7", "--allow", "orders-*=subscribe,history", "--allow", "a=b=subscribe", "--ttl", "15m"}
	got := runJSON[CapabilityToken](t, tokenCommand(), "", args...)
	parsed, e := protocol.ParseToken(got.Token, "demo-key", []string{"s3cr3t-canary"}, time.Now())
	if e != nil {
		t.Fatal(e)
	}
	if parsed.ClientID != "user-7" || parsed.ID != got.ID || got.Expires-got.Issued != 900 || parsed.Expires.Unix() != got.Expires {
		t.Errorf("%+v is not %+v", parsed, got)
	}
	if !parsed.Capabilities.Allows(protocol.OpSubscribe, "a=b") {
		t.Error("a name with an = in it is not understood")
	}
	if other := runJSON[CapabilityToken](t, tokenCommand(), "", args...); other.ID == got.ID {
		t.Error("two tokens have one id")
	}
	plain := strings.TrimSpace(mustRun(t, tokenCommand(), "", args...))
	k := dialV2(t, "127.0.0.1:"+port, "/app/demo-key?protocol=2&token="+plain)
	k.send(`{"event":"sockudo:subscribe","data":{"channel":"orders-1"}}`)
	k.expect("subscription_succeeded")
	k.send(`{"event":"sockudo:subscribe","data":{"channel":"other"}}`)
	k.expect("Missing capability for this channel")
	later := runJSON[CapabilityToken](t, tokenCommand(), "", append(args, "--not-before", "10m", "--jti", "mine")...)
	if _, e := protocol.ParseToken(later.Token, "demo-key", []string{"s3cr3t-canary"}, time.Now()); e == nil || !strings.Contains(e.Message, "not valid yet") || later.ID != "mine" {
		t.Errorf("%+v: %v", later, e)
	}
}

func TestTokenRefusals(t *testing.T) {
	t.Setenv(secretVariable, "x")
	for want, args := range map[string][]string{
		"--client is missing":                        {},
		"--allow is missing":                         {"--client", "c"},
		`"x" is not PATTERN=OPERATION`:               {"--client", "c", "--allow", "x"},
		"a pattern has at most one *":                {"--client", "c", "--allow", "a*b*=publish"},
		`there is no operation "fly"; there are sub`: {"--client", "c", "--allow", "x=publish,fly"},
		"--ttl 25h0m0s must be":                      {"--client", "c", "--allow", "x=publish", "--ttl", "25h"},
		"--ttl 1.5s must be":                         {"--client", "c", "--allow", "x=publish", "--ttl", "1500ms"},
		"--not-before 1h0m0s must be":                {"--client", "c", "--allow", "x=publish", "--not-before", "1h"},
		"the token would be refused: jti":            {"--client", "c", "--allow", "x=publish", "--jti", strings.Repeat("j", 129)},
	} {
		err := runCommand(tokenCommand(), append(args, "--key", "k")...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", args, err, want)
		}
	}
}

// dialV2 is dial for protocol V2.
func dialV2(t *testing.T, host, path string) *socket {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+host+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	t.Cleanup(func() { _ = c.Close() })
	s := &socket{t: t, Conn: c}
	s.expect("sockudo:connection_established")
	return s
}
