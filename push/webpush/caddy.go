package webpush

import (
	"crypto/x509"
	"encoding/json"
	"errors"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/push"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module sends to browsers. Which services that are is up to the browsers, so it has no
// address.
type Module struct {
	// Enable switches the provider on. Default: on.
	Enable *bool `json:"enabled,omitempty"`

	// VAPIDSubject is a mailto: or https: URL at which push services reach you. They see it
	// in every message. Default: mailto:sockudo-webpush@example.com, which is nobody; name
	// one of your own.
	VAPIDSubject string `json:"vapid_subject,omitempty"`

	// VAPIDPublicKey is the key that browsers subscribe with, 65 bytes in base64url. It must
	// be that of the private key. Default: it is worked out of the private key.
	VAPIDPublicKey string `json:"vapid_public_key,omitempty"`

	// VAPIDPrivateKey signs messages: 32 bytes in base64url, or PEM. The command caddy
	// sockudo vapid-keys makes a pair. Write a placeholder such as {env.VAPID_PRIVATE_KEY}
	// or {file./run/secrets/vapid}, so that the configuration does not show it. Subscriptions
	// are bound to the pair they were made with: with another one they are refused. Default:
	// none, and only apps with credentials of their own can send.
	VAPIDPrivateKey string `json:"vapid_private_key,omitempty"`

	// CAFile is a file in PEM with authorities that vouch for push services, besides those
	// of the system: for push services of your own. Default: none.
	CAFile string `json:"ca_file,omitempty"`

	material json.RawMessage
	roots    *x509.CertPool
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_providers.webpush", New: func() caddy.Module { return new(Module) }}
}

// UnmarshalCaddyfile reads:
//
//	webpush {
//		enabled on|off         # on
//		vapid_subject URL      # mailto:sockudo-webpush@example.com
//		vapid_public_key KEY   # that of the private key
//		vapid_private_key KEY  # none
//		ca_file FILE           # none but those of the system
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"enabled":       words.Pointer(&m.Enable, words.Switch),
		"vapid_subject": words.Text(&m.VAPIDSubject), "vapid_public_key": words.Text(&m.VAPIDPublicKey),
		"vapid_private_key": words.Text(&m.VAPIDPrivateKey), "ca_file": words.Text(&m.CAFile),
	})
}

// Provision expands the placeholders and reads the keys and the file.
func (m *Module) Provision(caddy.Context) error {
	var keys Material
	var file string
	err := words.ExpandAll(
		words.Field{Name: "vapid_subject", Text: m.VAPIDSubject, To: &keys.Subject},
		words.Field{Name: "vapid_public_key", Text: m.VAPIDPublicKey, To: &keys.PublicKey},
		words.Field{Name: "vapid_private_key", Text: m.VAPIDPrivateKey, To: &keys.PrivateKey},
		words.Field{Name: "ca_file", Text: m.CAFile, To: &file},
	)
	if err != nil {
		return err
	}
	if m.roots, err = push.ReadRoots("ca_file", file); err != nil {
		return err
	}
	if keys == (Material{}) {
		return nil
	}
	if m.material, err = json.Marshal(keys); err != nil { //nolint:gosec // it stays in memory
		return err
	}
	return named(Provider{}.CheckMaterial(m.material))
}

// fields are the words of the configuration for the members of Material.
var fields = map[string]string{"subject": "vapid_subject", "publicKey": "vapid_public_key", "privateKey": "vapid_private_key"}

// named makes an error of material one of the configuration.
func named(err error) error {
	f, ok := errors.AsType[*push.FieldError](err)
	if !ok {
		return err
	}
	text := f.Text
	if f.Field == "publicKey" && text == mismatched {
		text = "is not the public key of vapid_private_key"
	}
	return &push.FieldError{Field: fields[f.Field], Text: text}
}

// Provider is Web Push.
func (*Module) Provider() push.Provider { return Provider{} }

// Enabled reports whether the provider is switched on.
func (m *Module) Enabled() bool { return words.Or(m.Enable, true) }

// Material are the keys of the configuration, or nil.
func (m *Module) Material() (json.RawMessage, error) { return m.material, nil }

// Options name the authorities.
func (m *Module) Options() (push.ConnectOptions, error) {
	return push.ConnectOptions{Roots: m.roots}, nil
}

var (
	_ push.Module           = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
