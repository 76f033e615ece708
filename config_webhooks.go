package sockudo

// WebhooksConfig says how apps' webhooks are sent. Without it they are sent as soon
// as an app of this configuration has any.
type WebhooksConfig struct {
	// Enabled sends webhooks; off sends none and opens no queue for them. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// BatchingEnabled puts events of an app that come close together into one request.
	// Default: on.
	BatchingEnabled Switch `json:"batching_enabled,omitempty"`

	// MaxBatchSize is the number of events in one request. Default: 50.
	MaxBatchSize Number `json:"max_batch_size,omitempty" min:"1"`

	// FlushInterval is how long an event may wait for others. Default: 500ms.
	FlushInterval Duration `json:"flush_interval,omitempty" min:"1ms"`

	// Timeout bounds one attempt, from the connection to the end of the answer.
	// Default: 5s.
	Timeout Duration `json:"timeout,omitempty" min:"1ms"`

	// Debounce is how long a channel has to be empty, or a member gone, before
	// channel_vacated and member_removed say so; 0 says so at once. Default: 3s.
	Debounce Duration `json:"debounce,omitempty"`

	// Concurrency is the number of requests under way on this node. Default: 20.
	Concurrency Number `json:"concurrency,omitempty" min:"1"`

	// EndpointConcurrency is the number of requests under way to one endpoint; one
	// that fails gets them one by one. Default: 4.
	EndpointConcurrency Number `json:"endpoint_concurrency,omitempty" min:"1"`

	// Retry says how requests that fail are tried again.
	Retry *WebhookRetryConfig `json:"retry,omitempty"`

	// AllowPrivate admits receivers at loopback, private, link-local and similar
	// addresses. Default: on in mode development, and off otherwise.
	AllowPrivate Switch `json:"allow_private,omitempty"`

	// AllowLossyQueue admits a queue that keeps no dead letters. Default: off.
	AllowLossyQueue Switch `json:"allow_lossy_queue,omitempty"`

	// CA is a file of certificates in PEM, whose authorities may vouch for receivers
	// beside those of the system. Default: none.
	CA string `json:"ca,omitempty"`
}

// WebhookRetryConfig says how requests that fail are tried again.
type WebhookRetryConfig struct {
	// Enabled tries again; off makes a failure final. Default: on.
	Enabled Switch `json:"enabled,omitempty"`

	// MaxAttempts is the number of all attempts. Default: none, the time alone counts.
	MaxAttempts Number `json:"max_attempts,omitempty" min:"1"`

	// MaxElapsed is the time for all attempts. Default: 300s.
	MaxElapsed Duration `json:"max_elapsed,omitempty" min:"1ms"`

	// InitialBackoff is the pause before the second attempt. It doubles with each
	// further one. Default: 1s.
	InitialBackoff Duration `json:"initial_backoff,omitempty" min:"1ms"`

	// MaxBackoff is the longest pause. Default: 60s.
	MaxBackoff Duration `json:"max_backoff,omitempty" min:"1ms"`
}

// WebhookConfig is an endpoint that is told what happens in an app.
type WebhookConfig struct {
	// URL is where requests are posted. In a Caddyfile it stands behind webhook.
	// Required, unless lambda is set.
	URL string `json:"url,omitempty" secret:"yes"`

	// Lambda is a function of AWS that is invoked instead. Default: none.
	Lambda *LambdaConfig `json:"lambda,omitempty"`

	// LambdaFunction is another way to name a function, in the region us-east-1.
	// Default: none.
	LambdaFunction string `json:"lambda_function,omitempty"`

	// Events are the names of the events that are told. Required.
	Events []string `json:"events,omitempty"`

	// Filter says of which channels. Default: any.
	Filter *WebhookFilterConfig `json:"filter,omitempty"`

	// Headers are sent beside those of every request. In a Caddyfile each is written
	// as header NAME VALUE. Default: none.
	Headers HeaderValues `json:"headers,omitempty" secret:"yes"`

	// Timeout bounds one attempt. Default: as the hub; 10s for a function.
	Timeout Duration `json:"timeout,omitempty" min:"1ms"`

	// Retry overrides what the hub says. Default: as the hub.
	Retry *WebhookRetryConfig `json:"retry,omitempty"`
}

// HeaderValues are headers by name.
type HeaderValues map[string]*string

// LambdaConfig is a function of AWS.
type LambdaConfig struct {
	// FunctionName is its name or ARN. Required.
	FunctionName string `json:"function_name,omitempty"`

	// Region is where it is. Required.
	Region string `json:"region,omitempty"`
}

// WebhookFilterConfig says of which channels a webhook is told. What is set has to
// agree, all of it.
type WebhookFilterConfig struct {
	// Prefix begins the name. Default: any.
	Prefix string `json:"prefix,omitempty"`

	// Suffix ends the name. Default: any.
	Suffix string `json:"suffix,omitempty"`

	// Pattern is a regular expression that is found in the name. Default: any.
	Pattern string `json:"pattern,omitempty"`

	// Namespaces are those that the name may begin with, behind the prefix of its
	// type. Default: any.
	Namespaces []string `json:"namespaces,omitempty"`

	// Namespace is another way to write a single one. Default: any.
	Namespace string `json:"namespace,omitempty"`
}
