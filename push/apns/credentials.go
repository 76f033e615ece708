package apns

import (
	"crypto/ecdsa"
	"crypto/tls"
	"encoding/json"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/push"
)

// material is what an app or the configuration gives.
type material struct {
	P12           string `json:"p12,omitempty"` // base64
	P12Password   string `json:"p12Password,omitempty"`
	PEM           string `json:"pem,omitempty"`
	TeamID        string `json:"teamId,omitempty"`
	KeyID         string `json:"keyId,omitempty"`
	PrivateKey    string `json:"privateKey,omitempty"`
	ProviderToken string `json:"providerToken,omitempty"`
	BundleID      string `json:"bundleId,omitempty"`
	Topic         string `json:"topic,omitempty"` // another word for it
	Environment   string `json:"environment,omitempty"`
}

// credentials are those of one sender: a certificate, a key, or a token that somebody
// else makes.
type credentials struct {
	// field is the member of the material that holds the secret.
	field       string
	bundle      string // empty if it is not known
	environment string // never empty
	certificate *tls.Certificate
	team, keyID string
	key         *ecdsa.PrivateKey
	token       string
}

// parseCredentials reads material. Its errors name members and never what they hold.
func parseCredentials(text json.RawMessage) (*credentials, error) {
	var m material
	if len(text) > 256<<10 {
		return nil, push.Fault("credentials", "have more than 256 KiB")
	}
	// The decoder's error may show what stands there, so it is not passed on.
	if json.Unmarshal(text, &m) != nil {
		return nil, push.Fault("credentials", "are not a JSON object of texts")
	}
	c := &credentials{bundle: m.BundleID, environment: m.Environment}
	switch {
	case c.bundle == "":
		c.bundle = m.Topic
	case m.Topic != "" && m.Topic != m.BundleID:
		return nil, push.Fault("topic", "is another word for bundleId and differs from it")
	}
	if c.bundle != "" && !isTopic(c.bundle) {
		return nil, push.Fault("bundleId", topicFault)
	}
	if c.environment == "" {
		c.environment = production
	}
	if hosts[c.environment] == "" {
		return nil, push.Fault("environment", "must be %s or %s", production, sandbox)
	}
	return c, c.read(&m)
}

// read reads the one secret that there has to be.
func (c *credentials) read(m *material) (err error) {
	var kinds []string
	for _, k := range []struct {
		name  string
		given bool
	}{
		{"p12", m.P12 != ""},
		{"pem", m.PEM != ""},
		{"privateKey", m.PrivateKey != "" || m.TeamID != "" || m.KeyID != ""},
		{"providerToken", m.ProviderToken != ""},
	} {
		if k.given {
			kinds = append(kinds, k.name)
		}
	}
	switch {
	case m.P12Password != "" && m.P12 == "":
		return push.Fault("p12Password", "belongs to a p12, and there is none")
	case len(kinds) == 0:
		return push.Fault("privateKey", "is missing; p12, pem or providerToken may stand in place of it, with teamId and keyId")
	case len(kinds) > 1:
		return push.Fault(kinds[1], "stands beside %s, and only one of them can be used", kinds[0])
	}
	c.field = kinds[0]
	switch c.field {
	case "p12":
		c.certificate, err = readP12(m.P12, m.P12Password)
	case "pem":
		c.certificate, err = readPEM(m.PEM)
	case "privateKey":
		err = c.readKey(m)
	case "providerToken":
		c.token = strings.TrimSpace(m.ProviderToken)
		if len(c.token) > 4096 || c.token == "" || strings.Count(c.token, ".") != 2 || !isWord(c.token) {
			err = push.Fault("providerToken", "is not a JWT")
		}
	}
	if err == nil && c.certificate != nil && c.bundle == "" {
		c.bundle = topicOf(c.certificate.Leaf)
	}
	return err
}

// readKey reads a key, and what it is known by.
func (c *credentials) readKey(m *material) (err error) {
	for _, id := range []struct{ field, text string }{{"teamId", m.TeamID}, {"keyId", m.KeyID}} {
		if id.text == "" {
			return push.Fault(id.field, "is missing")
		}
		if len(id.text) > 64 || !isWord(id.text) {
			return push.Fault(id.field, "must be letters and digits, at most 64")
		}
	}
	if m.PrivateKey == "" {
		return push.Fault("privateKey", "is missing")
	}
	c.team, c.keyID = m.TeamID, m.KeyID
	c.key, err = readKey(m.PrivateKey)
	return err
}

// expiry is when the certificate ends, or zero.
func (c *credentials) expiry() time.Time {
	if c.certificate == nil {
		return time.Time{}
	}
	return c.certificate.Leaf.NotAfter
}
