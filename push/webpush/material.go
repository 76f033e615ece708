package webpush

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// DefaultSubject is whom push services find in messages if the credentials have no
// subject. It is better to have one of your own, so that they can reach you.
const DefaultSubject = "mailto:sockudo-webpush@example.com"

// maxSubject bounds a subject, in bytes: every message has it in a header.
const maxSubject = 512

// Material are the credentials of an application server, as RFC 8292 has them.
type Material struct {
	// PublicKey is the key that browsers subscribe with: 65 bytes in base64url. It may be
	// missing, and must be that of the private one otherwise.
	PublicKey string `json:"publicKey,omitempty"`
	// PrivateKey is the other half: 32 bytes in base64url, or PEM.
	PrivateKey string `json:"privateKey"`
	// Subject is a mailto: or https: URL of who is to be asked about the messages.
	// Default: DefaultSubject.
	Subject string `json:"subject,omitempty"`
}

// mismatched is the fault of a public key.
const mismatched = "is not the public key of privateKey"

// GenerateKeys makes a pair of keys, in the form in which Material and browsers take
// them.
func GenerateKeys() (public, private string, err error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making a key: %w", err)
	}
	return encoding.EncodeToString(key.PublicKey().Bytes()), encoding.EncodeToString(key.Bytes()), nil
}

// identity is what messages are signed with.
type identity struct {
	key     *ecdsa.PrivateKey
	public  string
	subject string
}

func readMaterial(text json.RawMessage) (*identity, error) {
	var m Material
	if err := json.Unmarshal(text, &m); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
			return nil, push.Fault(wrong.Field, "is not a text")
		}
		return nil, errors.New("the credentials are not a JSON object")
	}
	if strings.TrimSpace(m.PrivateKey) == "" {
		return nil, push.Fault("privateKey", "is missing")
	}
	key, err := parsePrivate(strings.TrimSpace(m.PrivateKey))
	if err != nil {
		return nil, push.Fault("privateKey", "%s", err)
	}
	half, err := key.ECDH()
	if err != nil {
		return nil, push.Fault("privateKey", "is not a key of P-256")
	}
	if m.PublicKey != "" {
		public, err := decodePoint("publicKey", strings.TrimSpace(m.PublicKey))
		if err != nil {
			return nil, err
		}
		if !public.Equal(half.PublicKey()) {
			return nil, push.Fault("publicKey", mismatched)
		}
	}
	i := &identity{key: key, public: encoding.EncodeToString(half.PublicKey().Bytes()), subject: strings.TrimSpace(m.Subject)}
	if i.subject == "" {
		i.subject = DefaultSubject
	}
	if err := checkSubject(i.subject); err != nil {
		return nil, push.Fault("subject", "%s", err)
	}
	return i, nil
}

// parsePrivate reads a private key. Its errors have nothing of the key in them.
func parsePrivate(text string) (*ecdsa.PrivateKey, error) {
	if strings.HasPrefix(text, "-----BEGIN") {
		return parsePEM([]byte(text))
	}
	b, ok := decode(text)
	switch {
	case !ok:
		return nil, errors.New("is neither base64url of a key nor PEM")
	case len(b) != 32:
		return nil, fmt.Errorf("has %d bytes and not 32", len(b))
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		return nil, errors.New("is not a key of P-256")
	}
	return key, nil
}

func parsePEM(text []byte) (*ecdsa.PrivateKey, error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return nil, errors.New("has no private key in its PEM")
		}
		var key any
		var err error
		switch block.Type {
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		default: // such as EC PARAMETERS, which openssl puts in front
			continue
		}
		ec, ok := key.(*ecdsa.PrivateKey)
		if err != nil || !ok || ec.Curve != elliptic.P256() {
			return nil, errors.New("is PEM, but not of a key of P-256")
		}
		return ec, nil
	}
}

// checkSubject wants what push services accept: Apple refuses every message whose
// subject is not exactly one address.
func checkSubject(text string) error {
	if len(text) > maxSubject {
		return fmt.Errorf("has %d bytes, more than %d", len(text), maxSubject)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"<>\`, r) }) {
		return errors.New("has characters that a URL has not")
	}
	if address, ok := strings.CutPrefix(text, "mailto:"); ok {
		parsed, err := mail.ParseAddress(address)
		if err != nil || parsed.Address != address {
			return errors.New("is not mailto: with one address")
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return errors.New("is neither a mailto: nor an https: URL")
	}
	return nil
}
