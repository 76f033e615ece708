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
	caddy.RegisterModule(new(HistoryModule))
	caddy.RegisterModule(new(PushStoreModule))
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
	return words.Read(d, m.written().words())
}

// Provision expands the placeholders.
func (m *AppManagerModule) Provision(caddy.Context) error { return m.written().expand(&m.options) }

func (m *AppManagerModule) written() written {
	return written{
		&m.Region, &m.TableName, &m.EndpointURL, &m.AWSAccessKeyID, &m.AWSSecretAccessKey, &m.AWSSessionToken, &m.AWSProfileName,
	}
}

// written are the texts of a module's options, as they are in the configuration.
type written struct{ region, table, endpoint, accessKeyID, secretAccessKey, sessionToken, profile *string }

func (w written) words() words.Set {
	return words.Set{
		"region": words.Text(w.region), "table_name": words.Text(w.table), "endpoint_url": words.Text(w.endpoint),
		"aws_access_key_id": words.Text(w.accessKeyID), "aws_secret_access_key": words.Text(w.secretAccessKey),
		"aws_session_token": words.Text(w.sessionToken), "aws_profile_name": words.Text(w.profile),
	}
}

func (w written) expand(to *Options) error {
	return words.ExpandAll(
		words.Field{Name: "region", Text: *w.region, To: &to.Region},
		words.Field{Name: "table_name", Text: *w.table, To: &to.Table},
		words.Field{Name: "endpoint_url", Text: *w.endpoint, To: &to.Endpoint},
		words.Field{Name: "aws_access_key_id", Text: *w.accessKeyID, To: &to.AccessKeyID},
		words.Field{Name: "aws_secret_access_key", Text: *w.secretAccessKey, To: &to.SecretAccessKey},
		words.Field{Name: "aws_session_token", Text: *w.sessionToken, To: &to.SessionToken},
		words.Field{Name: "aws_profile_name", Text: *w.profile, To: &to.Profile},
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

// HistoryModule keeps histories in Amazon DynamoDB, in a table of its own.
type HistoryModule struct {
	// Region is the AWS region of the table. Default: us-east-1.
	Region string `json:"region,omitempty"`

	// TableName is the table of the histories; it is made if there is none. Default:
	// sockudo_history.
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
func (*HistoryModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.histories.dynamodb", New: func() caddy.Module { return new(HistoryModule) }}
}

// UnmarshalCaddyfile reads:
//
//	dynamodb {
//		region NAME                # us-east-1
//		table_name NAME            # sockudo_history
//		endpoint_url URL           # that of AWS
//		aws_access_key_id TEXT     # by default, and without a profile, AWS's own chain finds credentials
//		aws_secret_access_key TEXT
//		aws_session_token TEXT
//		aws_profile_name NAME
//	}
func (m *HistoryModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return words.Read(d, m.written().words())
}

// Provision expands the placeholders.
func (m *HistoryModule) Provision(caddy.Context) error { return m.written().expand(&m.options) }

func (m *HistoryModule) written() written {
	return written{
		&m.Region, &m.TableName, &m.EndpointURL, &m.AWSAccessKeyID, &m.AWSSecretAccessKey, &m.AWSSessionToken, &m.AWSProfileName,
	}
}

// Validate checks what can be checked without the service.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*HistoryModule) Driver() string { return "dynamodb" }

// Key identifies the table and the credentials.
func (m *HistoryModule) Key() string { return fmt.Sprintf("%#v", m.options.forHistory()) }

// OpenTimeout allows for a table that has to be made.
func (*HistoryModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open finds the table, or makes it.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options)
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
	_ storage.Spec[storage.History]    = (*HistoryModule)(nil)
	_ storage.Slow                     = (*HistoryModule)(nil)
)
