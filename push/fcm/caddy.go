package fcm

import (
	"crypto/x509"
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

// Module sends notifications by way of Firebase Cloud Messaging. Without credentials
// here it sends for the apps that have their own.
type Module struct {
	// Enable switches the provider on. Default: on, where the provider is written at all.
	Enable *bool `json:"enabled,omitempty"`

	// CredentialsPath is the file of a service account in JSON, as Firebase's console makes
	// it. It is read with the configuration; a file that cannot be read, or is no such one,
	// is an error. Default: none.
	CredentialsPath string `json:"credentials_path,omitempty"`

	// CredentialsJSON is what such a file says, in place of one. It had best be a
	// placeholder such as {env.FCM_SERVICE_ACCOUNT_JSON}. Default: none.
	CredentialsJSON string `json:"credentials_json,omitempty"`

	// ProjectID is the project to send for. Default: that of the service account.
	ProjectID string `json:"project_id,omitempty"`

	// ProviderToken is an access token in place of a service account. It ends after an hour
	// and is not renewed, so it is for trying out; it needs a project_id. It had best be a
	// placeholder such as {env.FCM_PROVIDER_TOKEN}. Default: none.
	ProviderToken string `json:"provider_token,omitempty"`

	// Endpoint is where the service is, as scheme and host. Default:
	// https://fcm.googleapis.com.
	Endpoint string `json:"endpoint,omitempty"`

	// CAFile is a file with the certificates of authorities in PEM, for the service and for
	// its access tokens. Default: the authorities of the system.
	CAFile string `json:"ca_file,omitempty"`

	material json.RawMessage
	endpoint string
	roots    *x509.CertPool
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_providers.fcm", New: func() caddy.Module { return new(Module) }}
}

// UnmarshalCaddyfile reads:
//
//	fcm {
//		enabled on|off        # on
//		credentials_path FILE # or
//		credentials_json JSON # or
//		provider_token TEXT
//		project_id NAME       # that of the service account
//		endpoint URL          # https://fcm.googleapis.com
//		ca_file FILE          # the authorities of the system
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"enabled": words.Pointer(&m.Enable, words.Switch), "credentials_path": words.Text(&m.CredentialsPath),
		"credentials_json": words.Text(&m.CredentialsJSON), "provider_token": words.Text(&m.ProviderToken),
		"project_id": words.Text(&m.ProjectID), "endpoint": words.Text(&m.Endpoint), "ca_file": words.Text(&m.CAFile),
	})
}

// Provision expands the placeholders and reads the files. Of a provider that is off it
// reads nothing.
func (m *Module) Provision(caddy.Context) error {
	if !m.Enabled() {
		return nil
	}
	var path, project, token, ca string
	err := words.ExpandAll(
		words.Field{Name: "credentials_path", Text: m.CredentialsPath, To: &path},
		words.Field{Name: "project_id", Text: m.ProjectID, To: &project},
		words.Field{Name: "provider_token", Text: m.ProviderToken, To: &token},
		words.Field{Name: "endpoint", Text: m.Endpoint, To: &m.endpoint},
		words.Field{Name: "ca_file", Text: m.CAFile, To: &ca},
	)
	if err != nil {
		return err
	}
	if m.roots, err = push.ReadOnlyRoots("ca_file", ca); err != nil {
		return err
	}
	m.endpoint = strings.TrimSuffix(m.endpoint, "/")
	name, account, err := m.readAccount(path)
	if err != nil {
		return err
	}
	return m.take(name, material{account, token, project})
}

// readAccount is what the service account's file says, and the word that has named it.
func (m *Module) readAccount(path string) (name string, text []byte, err error) {
	switch {
	case path != "" && m.CredentialsJSON != "":
		return "", nil, errors.New("credentials_path and credentials_json must not be written together")
	case path != "":
		name = "credentials_path"
		text, err = os.ReadFile(path) //nolint:gosec // the operator's file
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", name, err)
		}
	case m.CredentialsJSON != "":
		name, text = "credentials_json", []byte(m.CredentialsJSON)
		if !json.Valid(text) { // as opposed to JSON, whose braces are not those of a placeholder
			expanded, err := words.Expand(name, m.CredentialsJSON)
			if err != nil {
				return "", nil, errors.New(name + ": neither JSON nor a placeholder that means something")
			}
			text = []byte(expanded)
		}
	default:
		return "", nil, nil
	}
	if !json.Valid(text) {
		return "", nil, fmt.Errorf("%s: not JSON", name)
	}
	return name, text, nil
}

// take keeps credentials that can be used, if there are any. name is the word that the
// service account stands under.
func (m *Module) take(name string, of material) error {
	if of.ServiceAccount == nil && of.ProviderToken == "" {
		return nil
	}
	text, err := encode(of)
	if err != nil {
		return fmt.Errorf("%s: not JSON", name)
	}
	words := strings.NewReplacer("serviceAccountJson.", name+": ", "serviceAccountJson", name, "providerToken", "provider_token", "projectId", "project_id")
	if err := (Provider{}).CheckMaterial(text); err != nil {
		return errors.New(words.Replace(err.Error()))
	}
	m.material = text
	return nil
}

// Validate checks the endpoint.
func (m *Module) Validate() error {
	if u := parseAddress(m.endpoint); m.endpoint != "" && (u == nil || u.Path != "" || u.RawQuery != "") {
		return errors.New("endpoint: must be like https://fcm.googleapis.com, a scheme and a host")
	}
	return nil
}

// Provider is Firebase Cloud Messaging.
func (*Module) Provider() push.Provider { return Provider{} }

// Enabled reports whether the provider is on.
func (m *Module) Enabled() bool { return words.Or(m.Enable, true) }

// Material are the credentials, or nil.
func (m *Module) Material() (json.RawMessage, error) { return m.material, nil }

// Options are the endpoint and its authorities.
func (m *Module) Options() (push.ConnectOptions, error) {
	return push.ConnectOptions{Endpoint: m.endpoint, Roots: m.roots}, nil
}

var (
	_ push.Module           = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddy.Validator       = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
