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

// PushStoreModule keeps the records of push notifications in Amazon DynamoDB, in a table
// of its own: devices, subscriptions and publishes.
type PushStoreModule struct {
	// Region is the AWS region of the table. Default: us-east-1.
	Region string `json:"region,omitempty"`

	// TableName is the table of the records; it is made if there is none. Default:
	// sockudo_push.
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
	return words.Read(d, m.written().words())
}

// Provision expands the placeholders.
func (m *PushStoreModule) Provision(caddy.Context) error { return m.written().expand(&m.options) }

func (m *PushStoreModule) written() written {
	return written{
		&m.Region, &m.TableName, &m.EndpointURL, &m.AWSAccessKeyID, &m.AWSSecretAccessKey, &m.AWSSessionToken, &m.AWSProfileName,
	}
}

// Validate checks what can be checked without the service.
func (m *PushStoreModule) Validate() error { return m.options.check() }

// Driver is the driver's word in the configuration.
func (*PushStoreModule) Driver() string { return "dynamodb" }

// Key identifies the table and the credentials.
func (m *PushStoreModule) Key() string { return fmt.Sprintf("%#v", m.options.forPush()) }

// OpenTimeout allows for a table that has to be made.
func (*PushStoreModule) OpenTimeout() time.Duration { return OpenTimeout }

// Open finds the table, or makes it.
func (m *PushStoreModule) Open(ctx context.Context) (storage.PushStore, error) {
	return OpenPushStore(ctx, m.options)
}

var (
	_ storage.Spec[storage.PushStore] = (*PushStoreModule)(nil)
	_ storage.Slow                    = (*PushStoreModule)(nil)
)
