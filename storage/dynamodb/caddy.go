package dynamodb

import (
	"context"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/sockudo/caddy-sockudo/internal/words"
	"github.com/sockudo/caddy-sockudo/storage"
)

func init() {
	caddy.RegisterModule(new(AppManagerModule))
}

// AppManagerModule keeps apps in Amazon DynamoDB. It reads the table of Sockudo.
type AppManagerModule struct {
	// Region is the AWS region of the table. Default: us-east-1.
	Region string `json:"region,omitempty"`

	// TableName is the table of the apps; it is made if there is none. Default:
	// sockudo-applications.
	TableName string `json:"table_name,omitempty"`

	// EndpointURL is where the service is, for one that is not at the address of AWS
	// for the region. Default: that address.
	EndpointURL string `json:"endpoint_url,omitempty"`

	// AWSAccessKeyID names the credentials to sign with. Default: none, so that AWS's
	// usual chain finds some: environment, shared files, web identity, container,
	// instance.
	AWSAccessKeyID string `json:"aws_access_key_id,omitempty"`

	// AWSSecretAccessKey signs. It had best be a placeholder such as
	// {file./run/secrets/aws}. Default: none.
	AWSSecretAccessKey string `json:"aws_secret_access_key,omitempty"`

	// AWSSessionToken belongs to credentials that are good for a while. Default: none.
	AWSSessionToken string `json:"aws_session_token,omitempty"`

	// AWSProfileName is a profile of AWS's shared files, in place of an access key.
	// Default: none.
	AWSProfileName string `json:"aws_profile_name,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (*AppManagerModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.app_managers.dynamodb", New: func() caddy.Module { return new(AppManagerModule) }}
}

// UnmarshalCaddyfile reads:
//
//	dynamodb {
//		region NAME                # us-east-1
//		table_name NAME            # sockudo-applications
//		endpoint_url URL           # that of AWS
//		aws_access_key_id TEXT     # by default, and without a profile, AWS's own chain finds credentials
//		aws_secret_access_key TEXT
//		aws_session_token TEXT
//		aws_profile_name NAME
//	}
func (m *AppManagerModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, words.Set{
		"region": words.Text(&m.Region), "table_name": words.Text(&m.TableName), "endpoint_url": words.Text(&m.EndpointURL),
		"aws_access_key_id": words.Text(&m.AWSAccessKeyID), "aws_secret_access_key": words.Text(&m.AWSSecretAccessKey),
		"aws_session_token": words.Text(&m.AWSSessionToken), "aws_profile_name": words.Text(&m.AWSProfileName),
	})
}

// Provision expands the placeholders.
func (m *AppManagerModule) Provision(caddy.Context) error {
	return words.ExpandAll(
		words.Field{Name: "region", Text: m.Region, To: &m.options.Region},
		words.Field{Name: "table_name", Text: m.TableName, To: &m.options.Table},
		words.Field{Name: "endpoint_url", Text: m.EndpointURL, To: &m.options.Endpoint},
		words.Field{Name: "aws_access_key_id", Text: m.AWSAccessKeyID, To: &m.options.AccessKeyID},
		words.Field{Name: "aws_secret_access_key", Text: m.AWSSecretAccessKey, To: &m.options.SecretAccessKey},
		words.Field{Name: "aws_session_token", Text: m.AWSSessionToken, To: &m.options.SessionToken},
		words.Field{Name: "aws_profile_name", Text: m.AWSProfileName, To: &m.options.Profile},
	)
}

// Validate checks what can be checked without the service.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*AppManagerModule) Driver() string { return "dynamodb" }

// Key identifies the table and the credentials.
func (m *AppManagerModule) Key() string { return fmt.Sprintf("%#v", m.options.withDefaults()) }

// OpenTimeout allows for a table that has to be made.
func (*AppManagerModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open finds the table, or makes it.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
)
