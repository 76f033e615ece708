// Package certtest makes certificates for tests.
package certtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Files are those of an authority that nobody else trusts, and of a server or
// client that it vouches for as 127.0.0.1, in PEM.
type Files struct{ CA, Cert, Key string }

// New makes an authority and what it signs.
func New(t testing.TB) Files {
	t.Helper()
	return until(t, time.Now().Add(time.Hour))
}

// Expired makes an authority, and signs what has expired a minute ago.
func Expired(t testing.TB) Files {
	t.Helper()
	return until(t, time.Now().Add(-time.Minute))
}

// Expiring makes an authority, and signs what has little of its time left.
func Expiring(t testing.TB) Files {
	t.Helper()
	return until(t, time.Now().Add(5*time.Minute))
}

func until(t testing.TB, end time.Time) Files {
	t.Helper()
	dir := t.TempDir()
	c := Files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, key := newKey(t), newKey(t)
	writePEM(t, c.CA, "CERTIFICATE", sign(t, authority, authority, authorityKey, authorityKey))
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"},
		NotBefore: authority.NotBefore, NotAfter: end,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	writePEM(t, c.Cert, "CERTIFICATE", sign(t, leaf, authority, key, authorityKey))
	text, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, c.Key, "PRIVATE KEY", text)
	return c
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, one, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) []byte {
	t.Helper()
	signed, err := x509.CreateCertificate(rand.Reader, one, by, &key.PublicKey, byKey)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func writePEM(t testing.TB, name, kind string, body []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: body}), 0o600); err != nil {
		t.Fatal(err)
	}
}
