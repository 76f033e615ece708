package apns

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/push"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module sends notifications to devices of Apple. Its credentials are for apps that have
// uploaded none of their own: a key with team_id and key_id, a certificate, or a token.
type Module struct {
	// Enable switches the provider on. Default: on if the block is there.
	Enable *bool `json:"enabled,omitempty"`

	// Environment is where devices are registered that do not say: production or sandbox.
	// Default: production.
	Environment string `json:"environment,omitempty"`

	// TeamID is Apple's name of the team that the key belongs to. Default: none.
	TeamID string `json:"team_id,omitempty"`

	// KeyID is Apple's name of the key. Default: none.
	KeyID string `json:"key_id,omitempty"`

	// BundleID is the app that notifications are for, which is their topic. It is also that
	// of keys without one that apps have uploaded. Default: the one that a certificate is for.
	BundleID string `json:"bundle_id,omitempty"`

	// PrivateKeyPath is a file with the key, as Apple gives it out: .p8. It is read when the
	// configuration is loaded. Default: none.
	PrivateKeyPath string `json:"private_key_path,omitempty"`

	// PrivateKey is the key itself. It had best be a placeholder such as {env.APNS_KEY} or
	// {file./run/secrets/apns}. Default: none.
	PrivateKey string `json:"private_key,omitempty"`

	// CertificatePath is a file with a certificate and its key, in PKCS#12 or PEM, in place of
	// a key of the team. It is read when the configuration is loaded. Default: none.
	CertificatePath string `json:"certificate_path,omitempty"`

	// CertificatePassword opens the file if it is PKCS#12. It had best be a placeholder.
	// Default: none.
	CertificatePassword string `json:"certificate_password,omitempty"`

	// ProviderToken is a token that somebody else makes, in place of a key. It works for an
	// hour. It had best be a placeholder. Default: none.
	ProviderToken string `json:"provider_token,omitempty"`

	// Endpoint is an address to use in place of Apple's, for both environments: https:// and
	// a host. Default: none.
	Endpoint string `json:"endpoint,omitempty"`

	// CAFile has the certificates of authorities for the endpoint, in PEM. Default: the
	// authorities of the system.
	CAFile string `json:"ca_file,omitempty"`

	provider Provider
	material json.RawMessage
	options  push.ConnectOptions
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_providers.apns", New: func() caddy.Module { return new(Module) }}
}

// UnmarshalCaddyfile reads:
//
//	apns {
//		enabled on|off                # on
//		environment production|sandbox # production
//		team_id ID
//		key_id ID
//		bundle_id ID
//		private_key_path FILE
//		private_key TEXT              # or
//		certificate_path FILE         # or
//		certificate_password TEXT
//		provider_token TEXT           # or
//		endpoint URL                  # Apple's
//		ca_file FILE                  # the authorities of the system
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"enabled": words.Pointer(&m.Enable, words.Switch), "environment": words.Text(&m.Environment),
		"team_id": words.Text(&m.TeamID), "key_id": words.Text(&m.KeyID), "bundle_id": words.Text(&m.BundleID),
		"private_key_path": words.Text(&m.PrivateKeyPath), "private_key": words.Text(&m.PrivateKey),
		"certificate_path": words.Text(&m.CertificatePath), "certificate_password": words.Text(&m.CertificatePassword),
		"provider_token": words.Text(&m.ProviderToken), "endpoint": words.Text(&m.Endpoint), "ca_file": words.Text(&m.CAFile),
	})
}

// Provision expands the placeholders and reads the files, if the provider is switched on.
func (m *Module) Provision(caddy.Context) error {
	if !m.Enabled() {
		return nil
	}
	var c material
	var keyPath, certificatePath, caPath string
	err := words.ExpandAll(
		words.Field{Name: "environment", Text: m.Environment, To: &c.Environment},
		words.Field{Name: "team_id", Text: m.TeamID, To: &c.TeamID},
		words.Field{Name: "key_id", Text: m.KeyID, To: &c.KeyID},
		words.Field{Name: "bundle_id", Text: m.BundleID, To: &c.BundleID},
		words.Field{Name: "private_key_path", Text: m.PrivateKeyPath, To: &keyPath},
		words.Field{Name: "private_key", Text: m.PrivateKey, To: &c.PrivateKey},
		words.Field{Name: "certificate_path", Text: m.CertificatePath, To: &certificatePath},
		words.Field{Name: "certificate_password", Text: m.CertificatePassword, To: &c.P12Password},
		words.Field{Name: "provider_token", Text: m.ProviderToken, To: &c.ProviderToken},
		words.Field{Name: "endpoint", Text: m.Endpoint, To: &m.options.Endpoint},
		words.Field{Name: "ca_file", Text: m.CAFile, To: &caPath},
	)
	if err != nil {
		return err
	}
	if err := m.readKey(&c, keyPath); err != nil {
		return err
	}
	if err := readCertificate(&c, certificatePath); err != nil {
		return err
	}
	if m.options.Roots, err = push.ReadOnlyRoots("ca_file", caPath); err != nil {
		return err
	}
	return m.assemble(&c)
}

// readKey reads the file of the key.
func (m *Module) readKey(c *material, path string) error {
	if path == "" {
		return nil
	}
	if c.PrivateKey != "" {
		return errors.New("private_key_path and private_key are two ways to the same, and only one can be used")
	}
	text, err := os.ReadFile(path) //nolint:gosec // the operator's file
	if err != nil {
		return fmt.Errorf("private_key_path: %w", err)
	}
	if c.PrivateKey = string(text); strings.TrimSpace(c.PrivateKey) == "" {
		return errors.New("private_key_path: the file is empty")
	}
	return nil
}

// readCertificate reads the file of a certificate.
func readCertificate(c *material, path string) error {
	if path == "" {
		return nil
	}
	body, err := os.ReadFile(path) //nolint:gosec // the operator's file
	if err != nil {
		return fmt.Errorf("certificate_path: %w", err)
	}
	switch {
	case len(body) == 0:
		return errors.New("certificate_path: the file is empty")
	case strings.Contains(string(body), "-----BEGIN"):
		c.PEM = string(body)
	default:
		c.P12 = base64.StdEncoding.EncodeToString(body)
	}
	return nil
}

// settings are what the members of material are called in the configuration.
var settings = map[string]string{
	"p12": "certificate_path", "p12Password": "certificate_password", "pem": "certificate_path", "teamId": "team_id", "keyId": "key_id",
	"privateKey": "private_key", "providerToken": "provider_token", "bundleId": "bundle_id", "environment": "environment",
}

// assemble checks the credentials, if there are any, and keeps them.
func (m *Module) assemble(c *material) error {
	m.provider.BundleID = c.BundleID
	if m.options.Endpoint != "" {
		if _, err := newWire(m.options.Endpoint, nil, &m.options); err != nil {
			return err
		}
	}
	if c.TeamID+c.KeyID+c.PrivateKey+c.PEM+c.P12+c.P12Password+c.ProviderToken == "" {
		switch {
		case c.Environment != "" && hosts[c.Environment] == "":
			return fmt.Errorf("environment: must be %s or %s", production, sandbox)
		case c.BundleID != "" && !isTopic(c.BundleID):
			return fmt.Errorf("bundle_id: %s", topicFault)
		}
		return nil // apps bring their own
	}
	text, err := json.Marshal(c) //nolint:gosec // it goes to the provider and nowhere else
	if err != nil {
		return err
	}
	parsed, err := parseCredentials(text)
	if fault, ok := errors.AsType[*push.FieldError](err); ok {
		return m.named(fault)
	}
	if err != nil {
		return err
	}
	if parsed.bundle == "" && parsed.certificate == nil {
		return errors.New("bundle_id: is missing")
	}
	m.material = text
	return nil
}

// named gives an error the name that the setting has in the configuration.
func (m *Module) named(fault *push.FieldError) error {
	name := fault.Field
	if setting := settings[name]; setting != "" {
		name = setting
	}
	if name == "private_key" && m.PrivateKeyPath != "" {
		name = "private_key_path"
	}
	return &push.FieldError{Field: name, Text: inWords.Replace(fault.Text)}
}

// inWords puts the names of settings in place of those of members.
var inWords = strings.NewReplacer(
	"p12Password", "certificate_password", "teamId", "team_id", "keyId", "key_id", "privateKey", "private_key",
	"providerToken", "provider_token", "p12, pem", "certificate_path",
)

// Provider is that of APNs, with the bundle id of the configuration.
func (m *Module) Provider() push.Provider { return m.provider }

// Enabled reports whether the provider is switched on.
func (m *Module) Enabled() bool { return words.Or(m.Enable, true) }

// Material are the credentials of the configuration, or nil.
func (m *Module) Material() (json.RawMessage, error) { return m.material, nil }

// Options are the endpoint and its authorities.
func (m *Module) Options() (push.ConnectOptions, error) { return m.options, nil }

var _ push.Module = (*Module)(nil)
