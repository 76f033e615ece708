package hms

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/push"
)

func init() { caddy.RegisterModule(new(Module)) }

// Module sends to the apps of one app of AppGallery Connect, and to those of apps that
// have uploaded credentials of their own.
type Module struct {
	// Enable switches the provider on. Default: on.
	Enable *bool `json:"enabled,omitempty"`

	// AppID is the number of the app at AppGallery Connect. It is required with a secret or
	// a token. Default: none, and only apps with credentials of their own can send.
	AppID string `json:"app_id,omitempty"`

	// ClientID is the OAuth client that the secret belongs to. Default: app_id.
	ClientID string `json:"client_id,omitempty"`

	// ClientSecret is the app's secret, with which access tokens are fetched. Write a
	// placeholder such as {env.HMS_CLIENT_SECRET} or {file./run/secrets/hms}, so that the
	// configuration does not show it. Default: none.
	ClientSecret string `json:"client_secret,omitempty"`

	// ProviderToken is an access token, in place of a secret. It had best be a placeholder
	// too. Nothing renews it, and Huawei's end after an hour, so it is for trials. Default:
	// none.
	ProviderToken string `json:"provider_token,omitempty"`

	// Endpoint is the scheme and host to which messages are sent. Default:
	// https://push-api.cloud.huawei.com.
	Endpoint string `json:"endpoint,omitempty"`

	// TokenEndpoint is the https URL at which access tokens are fetched. Default:
	// https://oauth-login.cloud.huawei.com/oauth2/v3/token.
	TokenEndpoint string `json:"token_endpoint,omitempty"`

	// CAFile is a file in PEM with authorities that vouch for the service, besides those of
	// the system: for a proxy or a service of your own. Default: none.
	CAFile string `json:"ca_file,omitempty"`

	material json.RawMessage
	options  push.ConnectOptions
}

// CaddyModule returns the Caddy module information.
func (*Module) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_providers.hms", New: func() caddy.Module { return new(Module) }}
}

// UnmarshalCaddyfile reads:
//
//	hms {
//		enabled on|off        # on
//		app_id NUMBER
//		client_id NUMBER      # app_id
//		client_secret TEXT
//		provider_token TEXT   # in place of client_secret
//		endpoint URL          # https://push-api.cloud.huawei.com
//		token_endpoint URL    # https://oauth-login.cloud.huawei.com/oauth2/v3/token
//		ca_file FILE          # none but those of the system
//	}
func (m *Module) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"enabled": words.Pointer(&m.Enable, words.Switch), "app_id": words.Text(&m.AppID), "client_id": words.Text(&m.ClientID),
		"client_secret": words.Text(&m.ClientSecret), "provider_token": words.Text(&m.ProviderToken),
		"endpoint": words.Text(&m.Endpoint), "token_endpoint": words.Text(&m.TokenEndpoint), "ca_file": words.Text(&m.CAFile),
	})
}

// fields makes words of the configuration of the members of Material.
var fields = strings.NewReplacer(
	"hmsAppId", "app_id", "clientId", "client_id", "clientSecret", "client_secret", "providerToken", "provider_token",
)

// Provision expands the placeholders, reads the file and checks the credentials.
func (m *Module) Provision(caddy.Context) error {
	var given Material
	var file string
	err := words.ExpandAll(
		words.Field{Name: "app_id", Text: m.AppID, To: &given.AppID},
		words.Field{Name: "client_id", Text: m.ClientID, To: &given.ClientID},
		words.Field{Name: "client_secret", Text: m.ClientSecret, To: &given.ClientSecret},
		words.Field{Name: "provider_token", Text: m.ProviderToken, To: &given.ProviderToken},
		words.Field{Name: "endpoint", Text: m.Endpoint, To: &m.options.Endpoint},
		words.Field{Name: "token_endpoint", Text: m.TokenEndpoint, To: &m.options.TokenEndpoint},
		words.Field{Name: "ca_file", Text: m.CAFile, To: &file},
	)
	if err != nil {
		return err
	}
	if m.options.Roots, err = push.ReadRoots("ca_file", file); err != nil {
		return err
	}
	if m.options.Endpoint, err = push.ReadAddress("endpoint", m.options.Endpoint, false); err != nil {
		return err
	}
	if m.options.TokenEndpoint, err = push.ReadAddress("token_endpoint", m.options.TokenEndpoint, true); err != nil {
		return err
	}
	if given == (Material{}) {
		return nil
	}
	if m.material, err = json.Marshal(given); err != nil { //nolint:gosec // that is what material is
		return err
	}
	return named(Provider{}.CheckMaterial(m.material))
}

// named makes an error of material one of the configuration.
func named(err error) error {
	f, ok := errors.AsType[*push.FieldError](err)
	if !ok {
		return err
	}
	return &push.FieldError{Field: fields.Replace(f.Field), Text: fields.Replace(f.Text)}
}

// Provider is Huawei's Push Kit.
func (*Module) Provider() push.Provider { return Provider{} }

// Enabled reports whether the provider is switched on.
func (m *Module) Enabled() bool { return words.Or(m.Enable, true) }

// Material are the credentials of the configuration, or nil.
func (m *Module) Material() (json.RawMessage, error) { return m.material, nil }

// Options are the addresses and authorities of the configuration.
func (m *Module) Options() (push.ConnectOptions, error) { return m.options, nil }

var (
	_ push.Module           = (*Module)(nil)
	_ caddy.Provisioner     = (*Module)(nil)
	_ caddyfile.Unmarshaler = (*Module)(nil)
)
