package webpush

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/sockudo/caddy-sockudo/push"
)

// newMaterial are new credentials.
func newMaterial(t testing.TB) json.RawMessage {
	t.Helper()
	public, private, err := GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return materialOf(t, Material{public, private, "mailto:ops@example.com"})
}

func materialOf(t testing.TB, m Material) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pemOf(t *testing.T, kind string, key any) string {
	t.Helper()
	var text []byte
	var err error
	if ec, ok := key.(*ecdsa.PrivateKey); ok && kind == "EC PRIVATE KEY" {
		text, err = x509.MarshalECPrivateKey(ec)
	} else {
		text, err = x509.MarshalPKCS8PrivateKey(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: text}))
}

// All ways to write a pair come to the same, with and without the public key.
func TestMaterial(t *testing.T) {
	public, private, err := GenerateKeys()
	if err != nil || len(public) != 87 || len(private) != 43 || public[0] != 'B' {
		t.Fatalf("%q, %q, %v", public, private, err)
	}
	b := bytesOf(t, private)
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		t.Fatal(err)
	}
	parameters := "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
	for _, text := range []string{
		private, private + "=", base64.StdEncoding.EncodeToString(b), " " + private + "\n",
		pemOf(t, "PRIVATE KEY", key), pemOf(t, "EC PRIVATE KEY", key), parameters + pemOf(t, "EC PRIVATE KEY", key),
	} {
		for _, p := range []string{"", public, public + "=", strings.NewReplacer("-", "+", "_", "/").Replace(public)} {
			i, err := readMaterial(materialOf(t, Material{PublicKey: p, PrivateKey: text}))
			if err != nil || i.public != public || i.subject != DefaultSubject {
				t.Errorf("%q with %q: %v, %+v", text, p, err, i)
			}
		}
	}
	for _, subject := range []string{"mailto:ops@example.com", "mailto:o.p+s@sub.example.com", "https://example.com", "https://example.com/contact?x=1"} {
		i, err := readMaterial(materialOf(t, Material{PrivateKey: private, Subject: subject}))
		if err != nil || i.subject != subject {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// Checklist: push 115
func TestBadMaterial(t *testing.T) {
	public, private, err := GenerateKeys()
	other, _, err2 := GenerateKeys()
	rsaKey, err3 := rsa.GenerateKey(rand.Reader, 2048)
	p384, err4 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err, err2, err3, err4)
	}
	subject := func(text string) Material { return Material{public, private, text} }
	for _, c := range []struct {
		field string
		m     Material
	}{
		{"privateKey", Material{}},
		{"privateKey", Material{PublicKey: public}},
		{"privateKey", Material{PrivateKey: "!!!!!"}},
		{"privateKey", Material{PrivateKey: private[:40]}},
		{"privateKey", Material{PrivateKey: private + "AAAA"}},
		{"privateKey", Material{PrivateKey: encoding.EncodeToString(make([]byte, 32))}},
		{"privateKey", Material{PrivateKey: encoding.EncodeToString([]byte(strings.Repeat("\xff", 32)))}},
		{"privateKey", Material{PrivateKey: pemOf(t, "PRIVATE KEY", rsaKey)}},
		{"privateKey", Material{PrivateKey: pemOf(t, "PRIVATE KEY", p384)}},
		{"privateKey", Material{PrivateKey: pemOf(t, "EC PRIVATE KEY", p384)}},
		{"privateKey", Material{PrivateKey: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}},
		{"privateKey", Material{PrivateKey: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}},
		{"privateKey", Material{PrivateKey: "-----BEGIN nothing"}},
		{"publicKey", Material{other, private, ""}},
		{"publicKey", Material{public[:80], private, ""}},
		{"publicKey", Material{"!!!!!", private, ""}},
		{"subject", subject("ops@example.com")},
		{"subject", subject("mailto:")},
		{"subject", subject("mailto:ops")},
		{"subject", subject("mailto: ops@example.com")},
		{"subject", subject("mailto:mailto:ops@example.com")},
		{"subject", subject("mailto:<ops@example.com>")},
		{"subject", subject("mailto:a@example.com,b@example.com")},
		{"subject", subject("http://example.com")},
		{"subject", subject("https://")},
		{"subject", subject("https://user:pw@example.com")},
		{"subject", subject("https://exa mple.com")},
		{"subject", subject("https://example.com/\r\nX: y")},
		{"subject", subject("https://example.com/" + strings.Repeat("x", maxSubject))},
	} {
		err := Provider{}.CheckMaterial(materialOf(t, c.m))
		if fieldOf(err) != c.field {
			t.Errorf("%+v: %v, want a fault of %s", c.m, err, c.field)
			continue
		}
		for _, secret := range []string{c.m.PrivateKey, c.m.PublicKey} {
			if len(secret) > 4 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells a key: %v", err)
			}
		}
		if _, err := (Provider{}).Connect(materialOf(t, c.m), push.ConnectOptions{}); err == nil {
			t.Errorf("%+v can be connected with", c.m)
		}
	}
	for _, text := range []string{``, `null`, `[]`, `"x"`, `{`, `{"privateKey":1}`, `{"privateKey":{"s":"hush"}}`} {
		if err := (Provider{}).CheckMaterial([]byte(text)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
