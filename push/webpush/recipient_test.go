package webpush

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// fieldOf is the member that an error is about.
func fieldOf(err error) string {
	if f, ok := errors.AsType[*push.FieldError](err); ok {
		return f.Field
	}
	return ""
}

// recipient is one with keys that are good.
func recipient(t testing.TB, endpoint string) push.Recipient {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return push.Recipient{
		TransportType: "web", Endpoint: endpoint,
		P256dh: encoding.EncodeToString(key.PublicKey().Bytes()), Auth: "k8JV6sjdbhAi1n3_LDBLvA",
	}
}

// refusedEndpoints are what no policy but that for local ones lets in, and the first
// group none at all.
var refusedEndpoints = [][]string{
	{
		"", "push", "//push.example.com/x", "http://push.example.com/x", "wss://push.example.com/x", "https:/x", "https:push.example.com", "https://",
		"https:///x", "https://:443/x", "https://user@push.example.com/x", "https://user:pw@push.example.com/x", "https://@push.example.com/x",
		"https://push.example.com:/x", "https://push.example.com:0/x", "https://push.example.com:65536/x", "https://push.example.com:https/x",
		"https://push..example.com/x", "https://.example.com/x", "https://push example.com/x", "https://push.example.com/\x00", "https://ｐush.example.com/x",
		"https://p%75sh.example.com/x", "https://push.example.com\\@10.0.0.1/x", "https://127.1/x", "https://2130706433/x", "https://0x7f000001/x",
		"https://0x7f.1/x", "https://10.0.0.1.2/x", "https://010.0.0.1/x", "https://[fe80::1%25eth0]/x", "https://[::1/x", "https://" + strings.Repeat("a", 64) + ".com/x",
		"https://" + strings.Repeat("a.", 127) + "com/x", "https://push.example.com/" + strings.Repeat("x", MaxEndpoint),
	},
	{
		"https://localhost/x", "https://LOCALHOST/x", "https://localhost./x", "https://a.localhost:8443/x", "https://x.local/x", "https://X.Local./x", "https://local/x",
		"https://10.0.0.1/x", "https://127.0.0.1/x", "https://127.0.0.2:8443/x", "https://192.168.1.1/x", "https://172.16.0.1/x", "https://169.254.169.254/x",
		"https://0.0.0.0/x", "https://100.64.0.1/x", "https://192.0.2.1/x", "https://198.51.100.1/x", "https://203.0.113.1/x", "https://224.0.0.1/x",
		"https://255.255.255.255/x", "https://127.0.0.1./x", "https://[::1]/x", "https://[::]/x", "https://[::ffff:127.0.0.1]/x", "https://[::ffff:10.0.0.1]/x", "https://[fc00::1]/x",
		"https://[fe80::1]/x", "https://[ff02::1]/x", "https://[64:ff9b::10.0.0.1]/x", "https://[2002:7f00:1::]/x",
	},
}

// Checklist: push 19
func TestEndpoints(t *testing.T) {
	for i, group := range refusedEndpoints {
		for _, text := range group {
			for _, local := range []bool{false, true} {
				r := recipient(t, text)
				err := Provider{}.CheckRecipient(&r, push.Policy{AllowLocal: local})
				if want := i == 0 || !local; want != (fieldOf(err) == "endpoint") {
					t.Errorf("%.100q, local %v: %v", text, local, err)
				}
				if err != nil && text != "" && len(text) > 12 && strings.Contains(err.Error(), text) {
					t.Errorf("the error tells the endpoint: %v", err)
				}
			}
		}
	}
	for _, text := range []string{
		"https://updates.push.services.mozilla.com/wpush/v2/gAAA", "https://fcm.googleapis.com/fcm/send/a:b", "https://web.push.apple.com/QAb",
		"https://db5p.notify.windows.com/w/?token=BQYAAAD%2b", "https://push.example.com:8443/x", "https://PUSH.example.com/x", "https://push.example.com./x",
		"https://1.1.1.1/x", "https://[2606:4700:4700::1111]:8443/x", "https://localhost.example.com/x", "https://notlocal/x", "https://up.example.com",
		"https://a_b.example.com/x",
	} {
		if r := recipient(t, text); (Provider{}).CheckRecipient(&r, push.Policy{}) != nil || r.Endpoint != text {
			t.Errorf("%s is refused, or has become %s", text, r.Endpoint)
		}
	}
}

// Checklist: push 19
func TestHosts(t *testing.T) {
	for _, c := range []struct {
		host    string
		policy  push.Policy
		refused bool
	}{
		{"a.example.com", push.Policy{AllowedHosts: []string{".example.com"}}, false},
		{"a.b.EXAMPLE.com.", push.Policy{AllowedHosts: []string{"x", " .Example.com "}}, false},
		{"evilexample.com", push.Policy{AllowedHosts: []string{".example.com"}}, true},
		{"example.com", push.Policy{AllowedHosts: []string{".example.com"}}, true},
		{"example.com.evil.net", push.Policy{AllowedHosts: []string{".example.com"}}, true},
		{"example.com", push.Policy{AllowedHosts: []string{"example.com"}}, false},
		{"a.example.com", push.Policy{AllowedHosts: []string{"example.com"}}, true},
		{"example.com", push.Policy{AllowedHosts: []string{"EXAMPLE.com."}}, false},
		{"example.com:8443", push.Policy{AllowedHosts: []string{"example.com"}}, false},
		{"other.net", push.Policy{AllowedHosts: []string{"", ".", "example.com"}}, true},
		{"a.example.com", push.Policy{DeniedHosts: []string{".example.com"}}, true},
		{"a.example.com.", push.Policy{DeniedHosts: []string{".example.com"}}, true},
		{"A.example.com", push.Policy{DeniedHosts: []string{"a.example.com"}}, true},
		{"notexample.com", push.Policy{DeniedHosts: []string{".example.com", "example.com"}}, false},
		{"other.net", push.Policy{DeniedHosts: []string{"", "."}}, false},
		{"a.example.com", push.Policy{AllowedHosts: []string{".example.com"}, DeniedHosts: []string{"a.example.com"}}, true},
		{"[::ffff:1.1.1.1]", push.Policy{DeniedHosts: []string{"1.1.1.1"}}, true},
		{"[2606:4700:4700:0::1111]", push.Policy{AllowedHosts: []string{"[2606:4700:4700::1111]"}}, false},
		{"10.0.0.1", push.Policy{AllowedHosts: []string{"10.0.0.1"}}, true},
	} {
		r := recipient(t, "https://"+c.host+"/x")
		if err := (Provider{}).CheckRecipient(&r, c.policy); (err != nil) != c.refused || err != nil && fieldOf(err) != "endpoint" {
			t.Errorf("%s with %+v: %v", c.host, c.policy, err)
		}
	}
}

// Checklist: push 20
func TestKeys(t *testing.T) {
	good := recipient(t, "https://push.example.com/x")
	point, auth := bytesOf(t, good.P256dh), bytesOf(t, good.Auth)
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		r := good
		r.P256dh, r.Auth = e.EncodeToString(point), e.EncodeToString(auth)
		if err := (Provider{}).CheckRecipient(&r, push.Policy{}); err != nil || r != good {
			t.Errorf("%s, %s: %v", e.EncodeToString(point), e.EncodeToString(auth), err)
		}
	}
	off := append([]byte{}, point...)
	off[64] ^= 1
	compressed := append([]byte{2}, point[1:33]...)
	for _, text := range []string{
		"", "=", "B", "!", good.P256dh[:80], good.P256dh + "AA", good.P256dh + "\n", encoding.EncodeToString(off), encoding.EncodeToString(compressed),
		encoding.EncodeToString(make([]byte, 65)), encoding.EncodeToString([]byte{0}), strings.Repeat("A", 1<<20),
	} {
		r := good
		r.P256dh = text
		if err := (Provider{}).CheckRecipient(&r, push.Policy{}); fieldOf(err) != "p256dh" || len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("p256dh %.100q: %v", text, err)
		}
	}
	for _, text := range []string{"", "====", "!", good.Auth[:20], good.Auth + "AA", encoding.EncodeToString(make([]byte, 15)), encoding.EncodeToString(make([]byte, 17))} {
		r := good
		r.Auth = text
		if err := (Provider{}).CheckRecipient(&r, push.Policy{}); fieldOf(err) != "auth" || len(text) > 4 && strings.Contains(err.Error(), text) {
			t.Errorf("auth %q: %v", text, err)
		}
	}
}

// What is let in can be sent to: a URL with a host that is neither local nor strange,
// and keys that are used as they are kept.
func FuzzRecipient(f *testing.F) {
	good := recipient(f, "https://push.example.com/x")
	f.Add(good.Endpoint, good.P256dh, good.Auth)
	for _, group := range refusedEndpoints {
		for _, text := range group {
			f.Add(text, good.P256dh, good.Auth+"==")
		}
	}
	f.Fuzz(func(t *testing.T, endpoint, p256dh, auth string) {
		r := push.Recipient{TransportType: "web", Endpoint: endpoint, P256dh: p256dh, Auth: auth}
		if err := (Provider{}).CheckRecipient(&r, push.Policy{}); err != nil {
			if fieldOf(err) == "" {
				t.Fatalf("%q: %v names no member", endpoint, err)
			}
			return
		}
		u, err := url.Parse(r.Endpoint)
		if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || len(r.Endpoint) > MaxEndpoint || r.Endpoint != endpoint {
			t.Fatalf("%q is let in", endpoint)
		}
		again := r
		if err := (Provider{}).CheckRecipient(&again, push.Policy{}); err != nil || again != r {
			t.Fatalf("%+v was let in as %+v, then not: %v", again, r, err)
		}
		if err := (Provider{}).CheckRecipient(&again, push.Policy{DeniedHosts: []string{u.Hostname()}}); err == nil {
			t.Fatalf("%q is let in although %q is denied", endpoint, u.Hostname())
		}
		if len(bytesOf(t, r.P256dh)) != pointSize || len(bytesOf(t, r.Auth)) != authSize {
			t.Fatalf("%q and %q are let in", r.P256dh, r.Auth)
		}
	})
}
