package apns

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"strings"

	"github.com/sideshow/apns2/certificate"

	"github.com/sockudo/caddy-sockudo/push"
)

// readKey reads the key of a .p8 file: PKCS#8 in PEM, as it is, with its line ends
// written as \n, or in base64 as a whole.
func readKey(text string) (*ecdsa.PrivateKey, error) {
	text = lines(text)
	var der []byte
	if block, _ := pem.Decode([]byte(text)); block != nil {
		der = block.Bytes
	} else if der = debase(text); der == nil {
		return nil, push.Fault("privateKey", "is neither PEM nor base64")
	} else if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, push.Fault("privateKey", "is not a key in PKCS#8, which is what Apple's .p8 files hold")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, push.Fault("privateKey", "is not a key on the curve P-256, which is what APNs takes")
	}
	return key, nil
}

// readPEM reads a certificate and its key, in any order.
func readPEM(text string) (*tls.Certificate, error) {
	both := []byte(lines(text))
	c, err := tls.X509KeyPair(both, both)
	if err != nil {
		return nil, push.Fault("pem", "does not hold a certificate and its key, without a password")
	}
	return &c, nil
}

// readP12 reads a certificate and its key as the keychain exports them.
func readP12(text, password string) (*tls.Certificate, error) {
	der := debase(text)
	if der == nil {
		return nil, push.Fault("p12", "is not base64")
	}
	if !boundedRounds(der) {
		return nil, push.Fault("p12", "asks for more than %d rounds to make a key", maxRounds)
	}
	c, err := certificate.FromP12Bytes(der, password)
	if err != nil {
		return nil, push.Fault("p12", "cannot be opened with p12Password. If that is right it has a newer encryption: export it with the older one, or as PEM")
	}
	key, ok := c.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, push.Fault("p12", "has no key that can sign")
	}
	public, ok := c.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(key.Public()) {
		return nil, push.Fault("p12", "has a key that is not the certificate's")
	}
	return &c, nil
}

// maxRounds bounds how often a password is hashed. Those that export use a few thousand.
const maxRounds = 1 << 20

// boundedRounds looks for numbers of rounds in a PKCS#12. They stand behind salts, and
// whoever uploads one could keep us busy for minutes with a large one.
func boundedRounds(der []byte) bool {
	left := 4096 // elements, to bound this too
	return boundedIn(der, 16, &left)
}

func boundedIn(der []byte, depth int, left *int) bool {
	behindSalt := false
	for len(der) > 0 && depth > 0 {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if *left--; err != nil || *left < 0 {
			return *left >= 0 // not DER after all: a salt, or ciphertext
		}
		der = rest
		universal := v.Class == asn1.ClassUniversal
		if universal && v.Tag == asn1.TagInteger && behindSalt && !smallRounds(v.Bytes) {
			return false
		}
		behindSalt = universal && v.Tag == asn1.TagOctetString
		if (v.IsCompound || behindSalt) && !boundedIn(v.Bytes, depth-1, left) {
			return false
		}
	}
	return true
}

func smallRounds(bytes []byte) bool {
	if len(bytes) > 4 {
		return false
	}
	n := 0
	for _, b := range bytes {
		n = n<<8 | int(b)
	}
	return n <= maxRounds
}

// topicOf is the bundle id that a certificate is for: the user id of its subject.
func topicOf(leaf *x509.Certificate) string {
	userID := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
	for _, name := range leaf.Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(userID) && isTopic(text) {
			return text
		}
	}
	return ""
}

// lines puts line ends back that were written as \n, as in variables of the environment.
func lines(text string) string {
	if strings.Contains(text, "-----BEGIN") {
		text = strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(text)
	}
	return text
}

// debase reads base64 with or without padding and line ends, or is nil.
func debase(text string) []byte {
	text = strings.TrimRight(strings.Join(strings.Fields(text), ""), "=")
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}
