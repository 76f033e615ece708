package sockudo

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/natstest"
	"github.com/sockudo/caddy-sockudo/internal/redistest"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/storage"
)

// What the product's page writes of recovery, in both doors, and what an app makes of
// it.
func TestRecoverySettings(t *testing.T) {
	defaults := realtime.DefaultSettings().Recovery
	page := realtime.RecoverySettings{Enabled: true, BufferSize: 1000, TTL: 120 * time.Second, MaxBytes: defaults.MaxBytes}
	on := defaults
	on.Enabled = true
	for block, want := range map[string]realtime.RecoverySettings{
		"":             defaults,
		"recovery on":  on,
		"recovery off": defaults,
		"recovery {\nenabled true\nbuffer_size 1000\nttl_seconds 120\n}":         page,
		"recovery {\nenabled on\nbuffer_size 1000\nttl 120s\n}":                  page,
		"recovery {\nbuffer_size 1000\n}":                                        page,
		"recovery {\nenabled off\nbuffer_size 7\nttl 7s\nmax_bytes 7KiB\n}":      {BufferSize: 7, TTL: 7 * time.Second, MaxBytes: 7 << 10},
		"connection_recovery {\nmax_buffer_size 1000\nbuffer_ttl_seconds 120\n}": page,
	} {
		if s, app := settingsOf(t, block); s.Recovery != want || app.Recovery != (storage.AppRecovery{}) {
			t.Errorf("%s\ngot  %+v, and of the app %+v\nwant %+v", block, s.Recovery, app.Recovery, want)
		}
	}
	h := new(Handler)
	if err := json.Unmarshal([]byte(`{"recovery": {"enabled": true, "buffer_size": 1000, "ttl_seconds": 120}, "apps": [{"id": "a", "key": "k", "secret": "s"}]}`), h); err != nil {
		t.Fatal(err)
	}
	if d := mustResolve(t, &h.HubConfig, nil); d.settings.Recovery != page {
		t.Errorf("from JSON: %+v", d.settings.Recovery)
	}
}

// appOf is the app whose block begins with these words.
func appOf(t *testing.T, words string) *storage.App {
	t.Helper()
	d := mustResolve(t, &mustParse(t, "app demo {\nkey k\nsecret s\n"+words+"\n}").HubConfig, nil)
	return d.apps[0]
}

// What an app says of recovery, and what it leaves to the hub.
func TestRecoveryOfApps(t *testing.T) {
	on, off := true, false
	for words, want := range map[string]storage.AppRecovery{
		"":                             {},
		"recovery {\nbuffer_size 7\n}": {BufferSize: 7},
		"recovery {\nttl 7s\n}":        {TTL: 7 * time.Second},
		"recovery on":                  {Enabled: &on},
		"connection_recovery off":      {Enabled: &off},
		"recovery {\nenabled on\nmax_buffer_size 7\nbuffer_ttl_seconds 7\n}": {Enabled: &on, BufferSize: 7, TTL: 7 * time.Second},
		"policy {\nconnection_recovery {\nenabled off\n}\n}":                 {Enabled: &off},
	} {
		if app := appOf(t, words); !reflect.DeepEqual(app.Recovery, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", words, app.Recovery, want)
		}
	}
}

// How an app says that channels are compressed.
func TestDeltasOfApps(t *testing.T) {
	for words, want := range map[string]map[string]storage.ChannelDelta{
		"": nil,
		"delta ticker inherit\ndelta chat:* Disabled\ndelta *-x fossil\ndelta private-y XDELTA3": {
			"ticker": {}, "chat:*": {Disabled: true}, "*-x": {Algorithm: "fossil"}, "private-y": {Algorithm: "xdelta3"},
		},
		"delta a fossil {\nconflation_key data.id\nmax_conflation_keys 7\nenable_tags off\n}": {
			"a": {Algorithm: "fossil", ConflationKey: "data.id", MaxConflationKeys: 7, DropTags: true},
		},
		"delta a inherit {\nalgorithm Xdelta3\n}":      {"a": {Algorithm: "xdelta3"}},
		"delta a fossil {\nenabled off\n}":             {"a": {Algorithm: "fossil", Disabled: true}},
		"policy {\nchannels {\ndelta a disabled\n}\n}": {"a": {Disabled: true}},
	} {
		if app := appOf(t, words); !reflect.DeepEqual(app.Delta, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", words, app.Delta, want)
		}
	}
	t.Setenv("SOCKUDO_TEST_MODE", "disabled")
	if app := appOf(t, "delta a {env.SOCKUDO_TEST_MODE}"); !app.Delta["a"].Disabled {
		t.Errorf("by a placeholder: %+v", app.Delta)
	}
	h := mustParse(t, "app demo {\nkey k\nsecret s\ndelta a fossil {\nalgorithm {env.SOCKUDO_TEST_MODE}\n}\n}")
	_, err := resolve(&h.HubConfig, nil)
	expectError(t, err, `app demo: channel_delta_compression.a.algorithm: "disabled" is not one of fossil, xdelta3`)
}

// Namespaces permit V2 clients everything unless they say otherwise.
func TestNamespacePermissions(t *testing.T) {
	for words, want := range map[string]storage.Namespace{
		"":                               {Name: "n"},
		"allow_subscribe_for_client off": {Name: "n", NoSubscribe: true},
		"allow_publish_for_client false": {Name: "n", NoPublish: true},
		"allow_presence_for_client off":  {Name: "n", NoPresence: true},
		"allow_presence_for_client":      {Name: "n"},
		"allow_subscribe_for_client on\nallow_publish_for_client on\nallow_presence_for_client on": {Name: "n"},
	} {
		if app := appOf(t, "namespace n {\n"+words+"\n}"); !reflect.DeepEqual(*app.Namespaces["n"], want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", words, *app.Namespaces["n"], want)
		}
	}
}

// A policy that the admin API shows can be given back to it as it is.
func TestShownPoliciesAreRead(t *testing.T) {
	for _, app := range mustResolve(t, &mustParse(t, fullBlock(t)).HubConfig, nil).apps {
		policy, err := storage.MarshalPolicy(app)
		if err != nil {
			t.Fatal(err)
		}
		change := new(AppChange)
		if err := decodeConfig([]byte(`{"policy": `+string(policy)+`}`), change); err != nil {
			t.Errorf("%v in %s", err, policy)
			continue
		}
		change.ID, change.Key, change.Secret = app.ID, app.Key, app.Secret
		again, err := change.record()
		if err != nil {
			t.Errorf("%v in %s", err, policy)
			continue
		}
		for _, a := range []*storage.App{app, again} {
			for _, n := range a.Namespaces {
				n.Match = nil // functions do not compare
			}
		}
		if !reflect.DeepEqual(app, again) {
			t.Errorf("the app became\n%+v\nand was\n%+v", again, app)
		}
	}
}

// Times that close clients which are well are warned of.
func TestIdleWarning(t *testing.T) {
	const warning = "websocket: idle_timeout closes silent V2 clients after "
	for block, want := range map[string]string{
		"":                                   "",
		"activity_timeout 239s":              "",
		"activity_timeout 600s":              warning + "2m0s, before the first ping, which they get after 5m0s",
		"websocket {\nidle_timeout 60s\n}":   warning + "1m0s, before the first ping, which they get after 1m0s",
		"websocket {\nping_interval 200s\n}": warning + "2m0s, before the first ping, which they get after 3m20s",
		"activity_timeout 600s\nwebsocket {\nidle_timeout off\n}":                "",
		"activity_timeout 600s\nwebsocket {\nauto_ping off\n}":                   "",
		"activity_timeout 2s\nwebsocket {\nping_interval 1s\nidle_timeout 5s\n}": warning + "5s, before the first ping, which they get after 5s",
	} {
		d := mustResolve(t, &mustParse(t, block+"\n"+appBlock).HubConfig, nil)
		if got := strings.Join(d.warnings, "; "); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", block, got, want)
		}
	}
}

// The log says once for each hub that its clients cannot resume at another node.
func TestRecoveryWarning(t *testing.T) {
	server, cache := natstest.Start(t, ""), redistest.Start(t)
	s := newServer(t)
	hub := func(name, more string) string {
		return site(freePort(t), strings.Replace(natsHub(name, server.Addr(), ""), appBlock, more, 1))
	}
	const withRecovery = "app demo {\nkey demo-key\nsecret s3cr3t-canary\nrecovery on\n}\napp more {\nkey more-key\nsecret s3cr3t-canary\nrecovery on\n}\n"
	s.mustLoad("", hub("plain", appBlock)+hub("hub", appBlock+"recovery on\n")+hub("file", appBlock+"recovery on\ncache sqlite\n")+
		hub("shared", appBlock+"recovery on\ncache redis {\naddress "+cache.Addr()+"\n}\n")+hub("apps", withRecovery)+
		site(freePort(t), "sockudo local {\nrecovery on\n"+appBlock+"}"))
	for hub, want := range map[string]int{"plain": 0, "hub": 1, "file": 1, "shared": 0, "apps": 1, "local": 0} {
		got := 0
		for line := range strings.SplitSeq(s.logged(), "\n") {
			if strings.Contains(line, "start anew (stream_reset)") && strings.Contains(line, `"hub":"`+hub+`"`) {
				got++
			}
		}
		if got != want {
			t.Errorf("hub %s: the log warns %d times, want %d", hub, got, want)
		}
	}
}
