package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

const (
	// dialTimeout bounds making one connection, and attemptTimeout one request with
	// its answer.
	dialTimeout    = 2 * time.Second
	attemptTimeout = 3 * time.Second
	// maxAttempts is how often a request is sent that fails for a reason that may
	// pass, and maxBackoff the longest time between two.
	maxAttempts = 3
	maxBackoff  = time.Second
	// maxConnections bounds the connections, and idleTime is how long an unused one
	// stays open.
	maxConnections = 64
	idleTime       = time.Minute
)

// Options say which table to use, and as whom.
type Options struct {
	// Region is the AWS region of the table. Default: us-east-1.
	Region string
	// Table is the name of the table. Default: sockudo-applications.
	Table string
	// Endpoint is the URL of the service. Default: that of AWS for the region.
	Endpoint string
	// AccessKeyID and SecretAccessKey are credentials, both or none. Without them and
	// without a profile the usual chain of AWS finds some: environment, shared files,
	// web identity, container, instance.
	AccessKeyID, SecretAccessKey string
	// SessionToken belongs to credentials that are good for a while. Default: none.
	SessionToken string
	// Profile is a profile of the shared files of AWS. Default: none.
	Profile string
}

func (o Options) withDefaults() Options {
	o.Region, o.Table = cmp.Or(o.Region, "us-east-1"), cmp.Or(o.Table, "sockudo-applications")
	return o
}

// place names the table for errors and logs. It holds no secret.
func (o Options) place() string {
	where := o.Region
	if u, err := url.Parse(o.Endpoint); err == nil && u.Host != "" {
		where = u.Host
	}
	return "dynamodb " + where + "/" + o.Table
}

var (
	tableName  = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)
	regionName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
)

// check refuses options that could not work or would mean something else than
// they say.
func (o Options) check() error {
	switch {
	case o.Table != "" && !tableName.MatchString(o.Table):
		return fmt.Errorf("table_name %q may hold letters, digits, _, - and . only, from 3 to 255 of them", o.Table)
	case o.Region != "" && !regionName.MatchString(o.Region):
		return fmt.Errorf("region %q is not the name of a region such as eu-central-1", o.Region)
	case (o.AccessKeyID == "") != (o.SecretAccessKey == ""):
		return errors.New("aws_access_key_id and aws_secret_access_key go together; one of them is not set")
	case o.SessionToken != "" && o.AccessKeyID == "":
		return errors.New("aws_session_token goes with aws_access_key_id, which is not set")
	case o.Profile != "" && o.AccessKeyID != "":
		return errors.New("aws_profile_name must not be set beside aws_access_key_id: the table is opened with one or the other")
	case o.Endpoint == "":
		return nil
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return errors.New("endpoint_url is not a URL such as https://dynamodb.eu-central-1.amazonaws.com, without user, password and query")
	}
	return nil
}

// connect makes a client, which has connections of its own. It asks nobody
// anything yet.
func (o Options) connect(ctx context.Context) (*dynamodb.Client, *http.Client, error) {
	pool := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout, t.IdleConnTimeout = dialTimeout, idleTime
			t.MaxConnsPerHost, t.MaxIdleConnsPerHost = maxConnections, maxConnections
			t.ForceAttemptHTTP2 = false
		}).
		WithTimeout(attemptTimeout)
	load := []func(*config.LoadOptions) error{
		config.WithRegion(o.Region), config.WithHTTPClient(pool), config.WithRetryer(newRetryer),
	}
	if o.AccessKeyID != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken)))
	}
	if o.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(o.Profile))
	}
	if o.Endpoint != "" {
		load = append(load, config.WithBaseEndpoint(o.Endpoint))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, nil, err
	}
	built, ok := c.HTTPClient.(*awshttp.BuildableClient) // with what AWS_CA_BUNDLE names
	if !ok {
		return nil, nil, fmt.Errorf("the HTTP client is a %T", c.HTTPClient)
	}
	// One that can be closed.
	client := &http.Client{
		Transport: built.GetTransport(), Timeout: attemptTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.HTTPClient, c.Logger = client, nil
	return dynamodb.NewFromConfig(c), client, nil
}

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = maxAttempts, maxBackoff })
}
