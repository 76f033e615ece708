package wns

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/sockudo/caddy-sockudo/push"
)

// Material are the credentials of an app: those of its package, with which access
// tokens are fetched, or an access token, which ends after a day.
type Material struct {
	// PackageSID is the security identifier of the package, such as ms-app://s-1-15-2-…,
	// or the id of an app at Microsoft Entra.
	PackageSID string `json:"packageSid,omitempty"`
	// ClientSecret is that of the package.
	ClientSecret string `json:"clientSecret,omitempty"`
	// ProviderToken is an access token, in place of a package and its secret.
	ProviderToken string `json:"providerToken,omitempty"`
}

var (
	idForm     = regexp.MustCompile(`^[!-~]{1,512}$`)
	secretForm = regexp.MustCompile(`^[!-~]+$`)
)

func parseMaterial(text json.RawMessage) (*Material, error) {
	m := new(Material)
	if json.Unmarshal(text, m) != nil {
		return nil, push.Fault("packageSid", "the credentials are no JSON object of texts")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Material) check() error {
	if m.ProviderToken != "" {
		switch {
		case m.PackageSID != "" || m.ClientSecret != "":
			return push.Fault("providerToken", "it cannot be there together with packageSid and clientSecret")
		case !secretForm.MatchString(m.ProviderToken):
			return push.Fault("providerToken", "it must be one word of ASCII")
		}
		return nil
	}
	switch {
	case m.PackageSID == "":
		return push.Fault("packageSid", "it is missing, and so is providerToken")
	case m.ClientSecret == "":
		return push.Fault("clientSecret", "it is missing")
	case !idForm.MatchString(m.PackageSID):
		return push.Fault("packageSid", "it must be one word of ASCII")
	case !secretForm.MatchString(m.ClientSecret):
		return push.Fault("clientSecret", "it must be one word of ASCII")
	}
	return nil
}

// tokens are the access tokens of the credentials.
func (m *Material) tokens(o *push.ConnectOptions, client *http.Client) *push.TokenCache {
	if m.ProviderToken != "" {
		return push.StaticToken(m.ProviderToken)
	}
	login := &push.ClientCredentials{Endpoint: cmp.Or(o.TokenEndpoint, tokenEndpoint), ID: m.PackageSID, Secret: m.ClientSecret}
	login.Scope = scope(login.Endpoint)
	return push.NewTokenCache(o, func(ctx context.Context) (push.Token, error) { return login.Fetch(ctx, client, o.Clock) })
}

// scope is what tokens are for, which Microsoft Entra names in another way.
func scope(endpoint string) string {
	if u, err := url.Parse(endpoint); err == nil && strings.HasSuffix(u.Path, "/oauth2/v2.0/token") {
		return "https://wns.windows.com/.default"
	}
	return "notify.windows.com"
}
