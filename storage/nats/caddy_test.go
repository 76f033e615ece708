package nats

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage/relay"
)

// provisioned reads a block as Caddy does.
func provisioned(text string) (*AdapterModule, error) {
	m := new(AdapterModule)
	err := m.UnmarshalCaddyfile(caddyfile.NewTestDispenser(text))
	if err == nil {
		err = m.Provision(caddy.Context{})
	}
	if err == nil {
		err = m.Validate()
	}
	return m, err
}

func TestBlocks(t *testing.T) {
	t.Setenv("TEST_NATS_PASSWORD", "hush")
	t.Setenv("TEST_NATS_SERVERS", "a:1, tls://b")
	for text, want := range map[string]Options{
		"nats":                           {},
		"nats {\n servers a nats://b\n}": {Servers: []string{"a", "nats://b"}},
		"nats {\n servers {env.TEST_NATS_SERVERS}\n}":                                      {Servers: []string{"a:1", "tls://b"}},
		"nats {\n prefix prod.sockudo\n username u\n password {env.TEST_NATS_PASSWORD}\n}": {Prefix: "prod.sockudo", Username: "u", Password: "hush"},
		"nats {\n token {env.TEST_NATS_PASSWORD}\n}":                                       {Token: "hush"},
		"nats {\n credentials_file /f\n}":                                                  {CredentialsFile: "/f"},
		"nats {\n nkey_file /f\n}":                                                         {NkeyFile: "/f"},
		"nats {\n tls {\n insecure_skip_verify\n}\n}":                                      {TLS: &words.TLSOptions{SkipVerify: true}},
		"nats {\n no_echo off\n}":                                                          {Echo: true},
		"nats {\n no_echo\n}":                                                              {},
		"nats {\n connection_timeout 1s\n request_timeout 2s\n max_reconnects 3\n subscription_capacity 4\n}": {
			Tuning: Tuning{Tuning: relay.Tuning{AnswerTimeout: 2 * time.Second, MaxReconnects: 3}, ConnectionTimeout: time.Second, Capacity: 4},
		},
	} {
		m, err := provisioned(text)
		if err != nil || !reflect.DeepEqual(m.options, want) {
			t.Errorf("%s\n%v: %+v\nwant %+v", text, err, m.options, want)
		}
	}
}

func TestBadBlocks(t *testing.T) {
	for _, c := range [][2]string{
		{"nats x", "wrong argument count"},
		{"nats {\n severs x\n}", "severs is unknown to this driver"},
		{"nats {\n nodes_number 3\n}", "nodes_number is unknown to this driver"},
		{"nats {\n servers\n}", "servers takes one value or more"},
		{"nats {\n servers ws://u:hush@a\n}", "servers: ws is not spoken here"},
		{"nats {\n servers a {env.TEST_NO_SUCH_VARIABLE}\n}", "TEST_NO_SUCH_VARIABLE"},
		{"nats {\n token {env.TEST_NO_SUCH_VARIABLE}\n}", "token: "},
		{"nats {\n prefix a..b\n}", "prefix must not have an empty part"},
		{"nats {\n username u\n}", "username and password are written together"},
		{"nats {\n username u\n password hush\n token hush\n}", "username or password must not be written beside token"},
		{"nats {\n request_timeout 5\n}", "request_timeout: \"5\" has no unit"},
		{"nats {\n connection_timeout -1s\n}", "connection_timeout must not be negative"},
		{"nats {\n max_reconnects -1\n}", "max_reconnects: \"-1\" is not a whole number"},
		{"nats {\n no_echo maybe\n}", "no_echo: \"maybe\" is not on or off"},
		{"nats {\n tls {\n ca /no/such/file\n}\n}", "tls: ca: open /no/such/file"},
	} {
		text, want := c[0], c[1]
		if _, err := provisioned(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s\n%v, want %q", text, err, want)
		}
	}
}

// TestKey wants another key for another hub, server, login or cluster, and the same
// one for another tuning.
func TestKey(t *testing.T) {
	key := func(hub, text string) string {
		m, err := provisioned(text)
		if err != nil {
			t.Fatal(err)
		}
		m.ForHub(hub)
		return m.Key()
	}
	keys := map[string]string{}
	for _, text := range []string{
		"nats", "nats {\n servers a\n}", "nats {\n prefix a\n}", "nats {\n token a\n}", "nats {\n username a\n password a\n}",
		"nats {\n credentials_file a\n}", "nats {\n nkey_file a\n}", "nats {\n tls\n}", "nats {\n no_echo off\n}",
	} {
		if other, ok := keys[key("hub", text)]; ok {
			t.Errorf("one key for\n%s\nand\n%s", text, other)
		}
		keys[key("hub", text)] = text
	}
	if key("hub", "nats") == key("other", "nats") {
		t.Error("one key for two hubs")
	}
	plain := key("hub", "nats")
	for _, text := range []string{
		"nats {\n servers nats://127.0.0.1:4222\n prefix sockudo_adapter:\n}",
		"nats {\n connection_timeout 1s\n request_timeout 2s\n max_reconnects 3\n subscription_capacity 4\n}",
	} {
		if key("hub", text) != plain {
			t.Errorf("another key for\n%s", text)
		}
	}
}

func TestTuneWithAnotherSpec(t *testing.T) {
	a := openAdapter(t, Options{Servers: []string{machine()}, Prefix: unique()})
	if err := a.Tune(nil); err == nil {
		t.Error("tuned by nothing")
	}
	m, err := provisioned("nats {\n subscription_capacity 9\n}")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Tune(m); err != nil || a.dialer.options.Capacity != 9 {
		t.Errorf("%v: %+v", err, a.dialer.options.Tuning)
	}
}
