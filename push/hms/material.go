package hms

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"regexp"

	"github.com/sockudo/caddy-sockudo/push"
)

// Material are the credentials of an app: a client secret, with which access tokens are
// fetched, or an access token, which ends after an hour.
type Material struct {
	// AppID is the app's number at AppGallery Connect. It is required.
	AppID string `json:"hmsAppId"`
	// ClientID is that of the secret. Default: AppID.
	ClientID string `json:"clientId,omitempty"`
	// ClientSecret is that of the app.
	ClientSecret string `json:"clientSecret,omitempty"`
	// ProviderToken is an access token, in place of a secret.
	ProviderToken string `json:"providerToken,omitempty"`
}

var (
	idForm     = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
	secretForm = regexp.MustCompile(`^[!-~]+$`)
)

func parseMaterial(text json.RawMessage) (*Material, error) {
	m := new(Material)
	if json.Unmarshal(text, m) != nil {
		return nil, push.Fault("hmsAppId", "the credentials are no JSON object of texts")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	m.ClientID = cmp.Or(m.ClientID, m.AppID)
	return m, nil
}

func (m *Material) check() error {
	switch {
	case m.AppID == "":
		return push.Fault("hmsAppId", "it is missing")
	case !idForm.MatchString(m.AppID):
		return push.Fault("hmsAppId", "it is not the number of an app")
	case m.ClientID != "" && !idForm.MatchString(m.ClientID):
		return push.Fault("clientId", "it is not the number of a client")
	case m.ClientSecret != "" && m.ProviderToken != "":
		return push.Fault("providerToken", "it cannot be there together with clientSecret")
	case m.ClientSecret == "" && m.ProviderToken == "":
		return push.Fault("clientSecret", "it is missing, and so is providerToken")
	case m.ClientSecret != "" && !secretForm.MatchString(m.ClientSecret):
		return push.Fault("clientSecret", "it must be one word of ASCII")
	case m.ProviderToken != "" && !secretForm.MatchString(m.ProviderToken):
		return push.Fault("providerToken", "it must be one word of ASCII")
	}
	return nil
}

// tokens are the access tokens of the credentials.
func (m *Material) tokens(o *push.ConnectOptions, client *http.Client) *push.TokenCache {
	if m.ProviderToken != "" {
		return push.StaticToken(m.ProviderToken)
	}
	login := &push.ClientCredentials{Endpoint: cmp.Or(o.TokenEndpoint, tokenEndpoint), ID: m.ClientID, Secret: m.ClientSecret}
	return push.NewTokenCache(o, func(ctx context.Context) (push.Token, error) { return login.Fetch(ctx, client, o.Clock) })
}
