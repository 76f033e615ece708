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

// Account says where the service is, and who signs.
type Account struct {
	// Region is the AWS region of the table. Default: us-east-1.
	Region string `json:"region,omitempty"`

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
}

// read reads the words of a driver.
func (a *Account) read(d *caddyfile.Dispenser, table *string) error {
	return words.Read(d, words.Set{
		"region": words.Text(&a.Region), "table_name": words.Text(table), "endpoint_url": words.Text(&a.EndpointURL),
		"aws_access_key_id": words.Text(&a.AWSAccessKeyID), "aws_secret_access_key": words.Text(&a.AWSSecretAccessKey),
		"aws_session_token": words.Text(&a.AWSSessionToken), "aws_profile_name": words.Text(&a.AWSProfileName),
	})
}

// expand expands the placeholders.
func (a *Account) expand(to *Options, table string) error {
	return words.ExpandAll(
		words.Field{Name: "region", Text: a.Region, To: &to.Region},
		words.Field{Name: "table_name", Text: table, To: &to.Table},
		words.Field{Name: "endpoint_url", Text: a.EndpointURL, To: &to.Endpoint},
		words.Field{Name: "aws_access_key_id", Text: a.AWSAccessKeyID, To: &to.AccessKeyID},
		words.Field{Name: "aws_secret_access_key", Text: a.AWSSecretAccessKey, To: &to.SecretAccessKey},
		words.Field{Name: "aws_session_token", Text: a.AWSSessionToken, To: &to.SessionToken},
		words.Field{Name: "aws_profile_name", Text: a.AWSProfileName, To: &to.Profile},
	)
}

// Driver is the driver's word in the configuration.
func (*Account) Driver() string { return "dynamodb" }

// OpenTimeout allows for a table that has to be made.
func (*Account) OpenTimeout() time.Duration { return OpenTimeout }

// AppManagerModule keeps apps in Amazon DynamoDB. It reads the table of Sockudo.
type AppManagerModule struct {
	Account

	// TableName is the table of the apps; it is made if there is none. Default:
	// sockudo-applications.
	TableName string `json:"table_name,omitempty"`

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
	return m.read(d, &m.TableName)
}

// Provision expands the placeholders.
func (m *AppManagerModule) Provision(caddy.Context) error { return m.expand(&m.options, m.TableName) }

// Validate checks what can be checked without the service.
func (m *AppManagerModule) Validate() error { return m.options.check() }

// Key identifies the table and the credentials.
func (m *AppManagerModule) Key() string { return fmt.Sprintf("%#v", m.options.withDefaults()) }

// Open finds the table, or makes it.
func (m *AppManagerModule) Open(ctx context.Context) (storage.AppManager, error) {
	return OpenAppManager(ctx, m.options, caddy.Log().Named("sockudo"))
}

// HistoryModule keeps histories in Amazon DynamoDB, in a table of its own.
type HistoryModule struct {
	Account

	// TableName is the table of the histories; it is made if there is none. Default:
	// sockudo_history.
	TableName string `json:"table_name,omitempty"`

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
	return m.read(d, &m.TableName)
}

// Provision expands the placeholders.
func (m *HistoryModule) Provision(caddy.Context) error { return m.expand(&m.options, m.TableName) }

// Validate checks what can be checked without the service.
func (m *HistoryModule) Validate() error { return m.options.check() }

// Key identifies the table and the credentials.
func (m *HistoryModule) Key() string { return fmt.Sprintf("%#v", m.options.forHistory()) }

// Open finds the table, or makes it.
func (m *HistoryModule) Open(ctx context.Context) (storage.History, error) {
	return OpenHistory(ctx, m.options)
}

// PushStoreModule keeps the records of push notifications in Amazon DynamoDB, in a table
// of its own: devices, subscriptions and publishes.
type PushStoreModule struct {
	Account

	// TableName is the table of the records; it is made if there is none. Default:
	// sockudo_push.
	TableName string `json:"table_name,omitempty"`

	options Options
}

// CaddyModule returns the Caddy module information.
func (*PushStoreModule) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "sockudo.push_stores.dynamodb", New: func() caddy.Module { return new(PushStoreModule) }}
}

// UnmarshalCaddyfile reads:
//
//	dynamodb {
//		region NAME                # us-east-1
//		table_name NAME            # sockudo_push
//		endpoint_url URL           # that of AWS
//		aws_access_key_id TEXT     # by default, and without a profile, AWS's own chain finds credentials
//		aws_secret_access_key TEXT
//		aws_session_token TEXT
//		aws_profile_name NAME
//	}
func (m *PushStoreModule) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return m.read(d, &m.TableName)
}

// Provision expands the placeholders.
func (m *PushStoreModule) Provision(caddy.Context) error { return m.expand(&m.options, m.TableName) }

// Validate checks what can be checked without the service.
func (m *PushStoreModule) Validate() error { return m.options.check() }

// Key identifies the table and the credentials.
func (m *PushStoreModule) Key() string { return fmt.Sprintf("%#v", m.options.forPush()) }

// Open finds the table, or makes it.
func (m *PushStoreModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, m.options)
}

var (
	_ storage.Spec[storage.AppManager] = (*AppManagerModule)(nil)
	_ storage.Slow                     = (*AppManagerModule)(nil)
	_ storage.Spec[storage.History]    = (*HistoryModule)(nil)
	_ storage.Slow                     = (*HistoryModule)(nil)
	_ storage.Spec[storage.PushStore]  = (*PushStoreModule)(nil)
	_ storage.Slow                     = (*PushStoreModule)(nil)
)
