package apns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sideshow/apns2/certificate"

	"github.com/sockudo/caddy-sockudo/internal/pushtest"
	"github.com/sockudo/caddy-sockudo/push"
	"github.com/sockudo/caddy-sockudo/push/apns"
)

// material makes JSON of members.
func material(t testing.TB, members map[string]string) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keyPEM is a key in PKCS#8.
func keyPEM(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func ellipticKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// rsaPEM is a key that Apple's .p8 files never hold.
func rsaPEM(t testing.TB) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return keyPEM(t, key)
}

// certificatePEM is a certificate for an app that nobody else has signed, and its key.
func certificatePEM(t testing.TB, topic string, end time.Time) (string, *x509.Certificate) {
	t.Helper()
	key := ellipticKey(t, elliptic.P256())
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic}}},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return keyPEM(t, key) + string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), c
}

func TestAKeyMayBeWrittenInManyWays(t *testing.T) {
	a := pushtest.NewAPNs(t)
	key := a.Key(t)
	block, _ := pem.Decode([]byte(key.PEM))
	for name, text := range map[string]string{
		"as it is": key.PEM, "without line ends": strings.ReplaceAll(key.PEM, "\n", `\n`), "the file in base64": base64.StdEncoding.EncodeToString([]byte(key.PEM)),
		"the key in base64": base64.StdEncoding.EncodeToString(block.Bytes), "with the line ends of Windows": strings.ReplaceAll(key.PEM, "\n", "\r\n"),
	} {
		m := material(t, map[string]string{"teamId": key.TeamID, "keyId": key.KeyID, "privateKey": text, "topic": key.BundleID, "environment": "sandbox"})
		if err := (apns.Provider{}).CheckMaterial(m); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		s := connect(t, m, optionsFor(a))
		if r := s.Send(t.Context(), notification(t, 0)); r.Outcome != push.Accepted {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Checklist: push 115
func TestWrongMaterialIsNamedAndNotShown(t *testing.T) {
	good := keyPEM(t, ellipticKey(t, elliptic.P256()))
	sec1, err := x509.MarshalECPrivateKey(ellipticKey(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	old, _ := certificatePEM(t, "com.example.app", time.Now().Add(-time.Minute))
	one, _ := certificatePEM(t, "com.example.app", time.Now().Add(time.Hour))
	other, _ := certificatePEM(t, "com.example.app", time.Now().Add(time.Hour))
	oneKey, _, _ := strings.Cut(one, "-----BEGIN CERT")
	otherKey, _, _ := strings.Cut(other, "-----BEGIN CERT")
	mixed := oneKey + strings.TrimPrefix(other, otherKey)
	newer := base64File(t, "testdata/newer.p12")
	for _, c := range []struct {
		field   string
		members map[string]string
	}{
		{"privateKey", map[string]string{}},
		{"privateKey", map[string]string{"teamId": "T", "keyId": "K"}},
		{"teamId", map[string]string{"privateKey": good, "keyId": "K"}},
		{"keyId", map[string]string{"privateKey": good, "teamId": "T"}},
		{"keyId", map[string]string{"privateKey": good, "teamId": "T", "keyId": "secret\nK"}},
		{"privateKey", map[string]string{"privateKey": rsaPEM(t), "teamId": "T", "keyId": "K"}},
		{"privateKey", map[string]string{"privateKey": keyPEM(t, ellipticKey(t, elliptic.P384())), "teamId": "T", "keyId": "K"}},
		{"privateKey", map[string]string{"privateKey": string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), "teamId": "T", "keyId": "K"}},
		{"privateKey", map[string]string{"privateKey": "secret, not a key", "teamId": "T", "keyId": "K"}},
		{"privateKey", map[string]string{"privateKey": good, "teamId": "T", "keyId": "K", "pem": one}},
		{"bundleId", map[string]string{"privateKey": good, "teamId": "T", "keyId": "K", "bundleId": "secret/app"}},
		{"topic", map[string]string{"privateKey": good, "teamId": "T", "keyId": "K", "bundleId": "a.b", "topic": "secret"}},
		{"environment", map[string]string{"privateKey": good, "teamId": "T", "keyId": "K", "environment": "secret"}},
		{"pem", map[string]string{"pem": good}},
		{"pem", map[string]string{"pem": old}},
		{"pem", map[string]string{"pem": mixed}},
		{"p12", map[string]string{"p12": "secret?"}},
		{"p12", map[string]string{"p12": "c2VjcmV0"}},
		{"p12", map[string]string{"p12": base64File(t, "testdata/older.p12"), "p12Password": "secret"}},
		{"p12", map[string]string{"p12": newer, "p12Password": "open"}},
		{"p12Password", map[string]string{"pem": one, "p12Password": "secret"}},
		{"providerToken", map[string]string{"providerToken": "secret"}},
	} {
		err := apns.Provider{}.CheckMaterial(material(t, c.members))
		fault, ok := errors.AsType[*push.FieldError](err)
		if !ok || fault.Field != c.field {
			t.Errorf("%v, want a fault of %s", err, c.field)
		} else if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "MII") || strings.Contains(err.Error(), "MIG") {
			t.Errorf("it shows what it is about: %v", err)
		}
	}
	for _, text := range []string{"", "[]", `{"privateKey":{"secret":1}}`, `{"privateKey":"secret`} {
		if err := (apns.Provider{}).CheckMaterial(json.RawMessage(text)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func base64File(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func TestCertificatesStandInPlaceOfTokens(t *testing.T) {
	text, own := certificatePEM(t, "com.example.certified", time.Now().Add(time.Hour))
	body, err := os.ReadFile("testdata/older.p12")
	if err != nil {
		t.Fatal(err)
	}
	exported, err := certificate.FromP12Bytes(body, "open")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(own)
	pool.AddCert(exported.Leaf)
	a := pushtest.NewAPNsWith(t, pushtest.APNsOptions{ClientCAs: pool})
	for name, members := range map[string]map[string]string{
		"pem": {"pem": text}, "p12": {"p12": base64.StdEncoding.EncodeToString(body), "p12Password": "open"},
	} {
		m := material(t, members)
		if err := (apns.Provider{}).CheckMaterial(m); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		accepted(t, connect(t, m, optionsFor(a)).Send(t.Context(), notification(t, 0)))
		sent := a.Sent()
		if topic := sent[len(sent)-1].Header.Get("apns-topic"); topic != "com.example.certified" {
			t.Errorf("%s: the topic is %q", name, topic)
		}
	}
	if n := a.Tokens(); n != 0 {
		t.Errorf("%d tokens", n)
	}
	stranger, _ := certificatePEM(t, "com.example.certified", time.Now().Add(time.Hour))
	s := connect(t, material(t, map[string]string{"pem": stranger}), optionsFor(a))
	// The server says why it hangs up, which is not always heard before the connection ends.
	r := s.Send(t.Context(), notification(t, 0))
	if r.Outcome != push.Retryable || r.Class != push.CredentialAuth && r.Class != push.NetworkTransport {
		t.Errorf("a certificate of somebody else: %+v", r)
	}
	if n := len(a.Sent()); n != 2 {
		t.Errorf("%d notifications have arrived", n)
	}
}

func TestKeysWithoutAnAppAreForTheProvidersApp(t *testing.T) {
	a := pushtest.NewAPNs(t)
	key := a.Key(t)
	m := material(t, map[string]string{"teamId": key.TeamID, "keyId": key.KeyID, "privateKey": key.PEM})
	s, err := apns.Provider{BundleID: key.BundleID}.Connect(m, optionsFor(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	accepted(t, s.Send(t.Context(), notification(t, 0)))
}

func TestRecipientsAreAddressesOfAPNs(t *testing.T) {
	upper := strings.ToUpper(device(0xabcdef))
	r := push.Recipient{TransportType: "apns", DeviceToken: upper, Environment: "sandbox"}
	if err := (apns.Provider{}).CheckRecipient(&r, push.Policy{}); err != nil || r.DeviceToken != strings.ToLower(upper) {
		t.Errorf("%v, %q", err, r.DeviceToken)
	}
	for _, c := range []struct{ field, token, environment string }{
		{"deviceToken", "", ""},
		{"deviceToken", upper[:62], ""},
		{"deviceToken", upper + "a", ""},
		{"deviceToken", strings.Repeat("ab", 101), ""},
		{"deviceToken", upper[:62] + "/.", ""},
		{"deviceToken", upper[:62] + "é", ""},
		{"environment", upper, "development"},
	} {
		r := push.Recipient{TransportType: "apns", DeviceToken: c.token, Environment: c.environment}
		err := apns.Provider{}.CheckRecipient(&r, push.Policy{})
		if fault, ok := errors.AsType[*push.FieldError](err); !ok || fault.Field != c.field || c.token != "" && strings.Contains(err.Error(), c.token) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}
