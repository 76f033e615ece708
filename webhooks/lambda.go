package webhooks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// lambdaTimeout bounds an invocation that sets no timeout of its own.
const lambdaTimeout = 10 * time.Second

// invoker invokes functions of AWS Lambda, with the credentials of the process:
// environment, shared files, web identity, container or instance.
type invoker struct {
	endpoint string       // for tests
	client   *http.Client // for tests; nil is the SDK's own

	mu      sync.Mutex
	clients map[string]*lambda.Client // by region
}

// maxRegions bounds the clients that are kept.
const maxRegions = 100

func (v *invoker) regional(ctx context.Context, region string) (*lambda.Client, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if c := v.clients[region]; c != nil {
		return c, nil
	}
	loaded, err := config.LoadDefaultConfig(ctx, config.WithRegion(region), config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }))
	if err != nil {
		return nil, err
	}
	c := lambda.NewFromConfig(loaded, func(o *lambda.Options) {
		if v.endpoint != "" {
			o.BaseEndpoint = aws.String(v.endpoint)
		}
		if v.client != nil {
			o.HTTPClient = v.client
		}
	})
	if v.clients == nil || len(v.clients) >= maxRegions {
		v.clients = map[string]*lambda.Client{}
	}
	v.clients[region] = c
	return c, nil
}

// send invokes the function and does not wait for its end. A failure is final: the
// letter can be replayed.
func (v *invoker) send(ctx context.Context, m *message) result {
	timeout := m.to.Timeout
	if timeout == 0 {
		timeout = lambdaTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	client, err := v.regional(bounded, m.to.Lambda.Region)
	if err != nil {
		return result{verdict: refused, reason: "the settings of AWS on this machine cannot be read", class: "credentials"}
	}
	_, err = client.Invoke(bounded, &lambda.InvokeInput{
		FunctionName: aws.String(m.to.Lambda.FunctionName), InvocationType: types.InvocationTypeEvent, Payload: m.body,
	})
	switch r, answered := errors.AsType[*awshttp.ResponseError](err); {
	case err == nil:
		return result{}
	case answered && r.HTTPStatusCode() != 0:
		return result{verdict: refused, reason: fmt.Sprintf("AWS Lambda has answered %d", r.HTTPStatusCode()), class: "status"}
	case ctx.Err() != nil:
		return broken(ctx, err, timeout)
	}
	b := broken(ctx, err, timeout)
	return result{verdict: refused, reason: "AWS Lambda: " + b.reason, class: b.class}
}
