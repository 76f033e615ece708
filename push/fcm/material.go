package fcm

import (
	"bytes"
	"cmp"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/internal/netguard"
	"github.com/sockudo/caddy-sockudo/push"
)

const (
	defaultTokenURI  = "https://oauth2.googleapis.com/token" //nolint:gosec // an address, not a token
	maxProviderToken = 8192
	minKeyBits       = 2048
	maxKeyBits       = 8192
)

// material are credentials: a service account, or an access token that somebody else
// renews.
type material struct {
	ServiceAccount json.RawMessage `json:"serviceAccountJson,omitempty"`
	ProviderToken  string          `json:"providerToken,omitempty"`
	ProjectID      string          `json:"projectId,omitempty"`
}

// account is what a service account's file says.
type account struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`

	key *rsa.PrivateKey
}

// credentials are material that can be used. There is an account or a token.
type credentials struct {
	project string
	account *account
	token   string
}

// projectID is the form of the names of projects; it is a part of an address.
var projectID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.:_-]{0,127}$`)

// CheckMaterial wants serviceAccountJson, or providerToken and projectId.
func (Provider) CheckMaterial(m json.RawMessage) error {
	_, err := parseMaterial(m)
	return err
}

func parseMaterial(text json.RawMessage) (*credentials, error) {
	var m material
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if d.Decode(&m) != nil || !ended(d) {
		return nil, push.Fault("serviceAccountJson", "the credentials must be an object of serviceAccountJson, an object, or providerToken, and of projectId")
	}
	c := &credentials{project: m.ProjectID, token: m.ProviderToken}
	given := len(m.ServiceAccount) > 0 && string(m.ServiceAccount) != "null"
	switch {
	case given && m.ProviderToken != "":
		return nil, push.Fault("providerToken", "must not be written together with serviceAccountJson")
	case given:
		var err error
		if c.account, err = parseAccount(m.ServiceAccount); err != nil {
			return nil, err
		}
		c.project = cmp.Or(c.project, c.account.ProjectID)
	case m.ProviderToken == "":
		return nil, push.Fault("serviceAccountJson", "is missing")
	case !printable(m.ProviderToken):
		return nil, push.Fault("providerToken", "must be a text without spaces, of at most %d bytes", maxProviderToken)
	case m.ProjectID == "":
		return nil, push.Fault("projectId", "is missing, which providerToken needs")
	}
	if !projectID.MatchString(c.project) {
		return nil, push.Fault("projectId", "is not the id of a project")
	}
	return c, nil
}

func ended(d *json.Decoder) bool {
	_, err := d.Token()
	return errors.Is(err, io.EOF)
}

// printable reports whether a text can stand in a header as a token.
func printable(text string) bool {
	return text != "" && len(text) <= maxProviderToken && strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func parseAccount(text json.RawMessage) (*account, error) {
	a := &account{}
	if json.Unmarshal(text, a) != nil || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil, push.Fault("serviceAccountJson", "must be the JSON object of a service account")
	}
	if a.Type != "service_account" {
		return nil, push.Fault("serviceAccountJson.type", `must be "service_account"`)
	}
	if a.ClientEmail == "" {
		return nil, push.Fault("serviceAccountJson.client_email", "is missing")
	}
	var err error
	if a.key, err = parseKey(a.PrivateKey); err != nil {
		return nil, push.Fault("serviceAccountJson.private_key", "%v", err)
	}
	a.PrivateKey = ""
	a.TokenURI = cmp.Or(a.TokenURI, defaultTokenURI)
	u := parseAddress(a.TokenURI)
	if u == nil || u.Scheme != "https" && !near(u.Hostname()) {
		return nil, push.Fault("serviceAccountJson.token_uri", "must be an https URL")
	}
	return a, nil
}

// parseKey reads a key in PEM, whose line ends may have been escaped once more.
func parseKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(strings.ReplaceAll(text, `\n`, "\n")))
	if block == nil {
		return nil, errors.New("is not a key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	switch {
	case err != nil:
		return nil, errors.New("is not a private key") // its own words may show parts
	case !ok:
		return nil, errors.New("is not a key for RSA")
	case key.N.BitLen() < minKeyBits || key.N.BitLen() > maxKeyBits:
		return nil, errors.New("must have from 2048 to 8192 bits")
	}
	return key, nil
}

// parseAddress is a URL to send secrets to, or nil.
func parseAddress(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil
	}
	return u
}

// near reports whether a host is not of the public network, so that plain text may be
// meant for tests. Connecting to it wants leave besides.
func near(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && !netguard.IsPublic(address)
}
