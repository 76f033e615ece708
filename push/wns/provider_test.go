package wns

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// wantFault wants an error about a member that does not show a secret.
func wantFault(t *testing.T, what string, err error, field string) {
	t.Helper()
	f, ok := errors.AsType[*push.FieldError](err)
	if !ok || f.Field != field || strings.Contains(err.Error(), "hush") {
		t.Errorf("%.200s: %v; want a fault of %s", what, err, field)
	}
}

// Checklist: push 19
func TestChannels(t *testing.T) {
	if (Provider{}).Kind() != push.WNS {
		t.Error("it is not wns")
	}
	for uri, good := range map[string]bool{
		"https://db5.notify.windows.com/?token=AwY":       true,
		"https://DB5.Notify.Windows.com/w/?token=AwY%2b":  true,
		"https://a.db5.notify.windows.com:443/?token=AwY": true,
		"":     false,
		"hush": false,
		"http://db5.notify.windows.com/?token=hush":                   false,
		"https://notify.windows.com/?token=hush":                      false,
		"https://.notify.windows.com/?token=hush":                     false,
		"https://evilnotify.windows.com/?token=hush":                  false,
		"https://db5.notify.windows.com.example/?token=hush":          false,
		"https://db5.notify.windows.com./?token=hush":                 false,
		"https://db5.notify.windows.com:8443/?token=hush":             false,
		"https://db5.notify.windows.com:/?token=hush":                 false,
		"https://hush@db5.notify.windows.com/?token=x":                false,
		"https://u:hush@db5.notify.windows.com/?token=x":              false,
		"https://example.com/.notify.windows.com":                     false,
		"https://example.com?.notify.windows.com":                     false,
		"https://example.com#.notify.windows.com":                     false,
		"https://example.com\\.notify.windows.com/":                   false,
		"https://example.com%2f.notify.windows.com/":                  false,
		"https://db5.notify.windows.com/#hush":                        false,
		"https://db5.notify.windows.com/#":                            false,
		"https://db5.notify.windows.com/ hush":                        false,
		"https://db5.notify.windows.com/\nhush":                       false,
		"https://dbä.notify.windows.com/":                             false,
		"https://[::1]/":                                              false,
		"https://127.0.0.1/?token=hush":                               false,
		"https://localhost/?token=hush":                               false,
		"https://x.local/?token=hush":                                 false,
		"https://db5.notify.windows.com/" + strings.Repeat("a", 3000): false,
		"https:db5.notify.windows.com":                                false,
		"//db5.notify.windows.com/":                                   false,
	} {
		err := Provider{}.CheckRecipient(&push.Recipient{TransportType: "wns", ChannelURI: uri}, push.Policy{})
		if good && err != nil {
			t.Errorf("%.60q: %v", uri, err)
		} else if !good {
			wantFault(t, uri, err, "channelUri")
		}
	}
	local := push.Policy{AllowLocal: true}
	for uri, good := range map[string]bool{
		"https://127.0.0.1:4711/?token=x": true, "https://localhost/?token=x": true, "https://db5.notify.windows.com/?token=AwY": true,
		"http://127.0.0.1/": false, "https://hush@127.0.0.1/": false, "https:///x": false,
	} {
		err := Provider{}.CheckRecipient(&push.Recipient{TransportType: "wns", ChannelURI: uri}, local)
		if good && err != nil {
			t.Errorf("%q: %v", uri, err)
		} else if !good {
			wantFault(t, uri, err, "channelUri")
		}
	}
}

func TestMaterial(t *testing.T) {
	for text, field := range map[string]string{
		`{"packageSid":"ms-app://s-1","clientSecret":"hush"}`: "",
		`{"providerToken":"hush"}`:                            "",
		`7`:                                                   "packageSid",
		`{}`:                                                  "packageSid",
		`{"clientSecret":"hush"}`:                             "packageSid",
		`{"packageSid":"ms-app://s-1"}`:                       "clientSecret",
		`{"packageSid":"hush hush","clientSecret":"hush"}`: "packageSid",
		`{"packageSid":"s","clientSecret":"hush\u0000"}`:   "clientSecret",
		`{"packageSid":"s","providerToken":"hush"}`:        "providerToken",
		`{"providerToken":"hush\nhush"}`:                   "providerToken",
	} {
		err := Provider{}.CheckMaterial(json.RawMessage(text))
		_, connected := Provider{}.Connect(json.RawMessage(text), push.ConnectOptions{})
		if field == "" {
			if err != nil || connected != nil {
				t.Errorf("%s: %v, %v", text, err, connected)
			}
			continue
		}
		wantFault(t, text, err, field)
		wantFault(t, text, connected, field)
	}
	_, err := Provider{}.Connect(json.RawMessage(`{"providerToken":"hush"}`), push.ConnectOptions{Endpoint: "nowhere"})
	wantFault(t, "an endpoint", err, "endpoint")
	if got := scope("https://login.microsoftonline.com/t/oauth2/v2.0/token"); got != "https://wns.windows.com/.default" {
		t.Errorf("the scope at Entra is %s", got)
	}
	if got := scope(tokenEndpoint); got != "notify.windows.com" {
		t.Errorf("the scope is %s", got)
	}
}

func FuzzChannel(f *testing.F) {
	f.Add("https://db5.notify.windows.com/?token=AwY")
	f.Add("https://example.com\\@x.notify.windows.com")
	f.Add("https://x.notify.windows.com:443%2f@example.com")
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := parseChannel(uri, false)
		if err != nil {
			return
		}
		if u.Scheme != "https" || u.User != nil || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".notify.windows.com") || u.Port() != "" && u.Port() != "443" {
			t.Errorf("%q leads to %s", uri, u)
		}
	})
}
