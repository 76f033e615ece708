package storage

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// appPolicy is the policy of an app in the spelling of Sockudo's own records
// (configuration, section 3.1).
type appPolicy struct {
	Limits      *policyLimits      `json:"limits,omitempty"`
	Features    *policyFeatures    `json:"features,omitempty"`
	Channels    *policyChannels    `json:"channels,omitempty"`
	Idempotency *policyIdempotency `json:"idempotency,omitempty"`
	Webhooks    []policyWebhook    `json:"webhooks,omitempty"`
	// PreviousSecrets are ours; Sockudo has none.
	PreviousSecrets []policySecret `json:"previous_secrets,omitempty"`
}

type policySecret struct {
	Secret string `json:"secret"`
	Until  int64  `json:"until"` // Unix time in seconds
}

type policyLimits struct {
	MaxConnections               digits      `json:"max_connections"`
	MaxClientEventsPerSecond     digits      `json:"max_client_events_per_second"`
	MaxBackendEventsPerSecond    digits      `json:"max_backend_events_per_second,omitempty"`
	MaxReadRequestsPerSecond     digits      `json:"max_read_requests_per_second,omitempty"`
	MaxPresenceMembersPerChannel digits      `json:"max_presence_members_per_channel,omitempty"`
	MaxPresenceMemberSizeInKB    digits      `json:"max_presence_member_size_in_kb,omitempty"`
	MaxChannelNameLength         digits      `json:"max_channel_name_length,omitempty"`
	MaxEventChannelsAtOnce       digits      `json:"max_event_channels_at_once,omitempty"`
	MaxEventNameLength           digits      `json:"max_event_name_length,omitempty"`
	MaxEventPayloadInKB          digits      `json:"max_event_payload_in_kb,omitempty"`
	MaxEventBatchSize            digits      `json:"max_event_batch_size,omitempty"`
	DecaySeconds                 digits      `json:"decay_seconds,omitempty"`
	TerminateOnLimit             bool        `json:"terminate_on_limit"`
	MessageRateLimit             *policyRate `json:"message_rate_limit,omitempty"`
}

type policyRate struct {
	Enabled          bool    `json:"enabled"`
	MaxAttempts      *digits `json:"max_attempts,omitempty"`
	DecaySeconds     *digits `json:"decay_seconds,omitempty"`
	TerminateOnLimit bool    `json:"terminate_on_limit"`
}

type policyFeatures struct {
	EnableClientMessages     bool `json:"enable_client_messages"`
	EnableUserAuthentication bool `json:"enable_user_authentication,omitempty"`
	EnableWatchlistEvents    bool `json:"enable_watchlist_events,omitempty"`
	SubscriptionCount        bool `json:"subscription_count,omitempty"`
}

type policyChannels struct {
	AllowedOrigins    []string          `json:"allowed_origins,omitempty"`
	ChannelNamespaces []policyNamespace `json:"channel_namespaces,omitempty"`
}

type policyNamespace struct {
	Name                     string `json:"name"`
	ChannelNamePattern       string `json:"channel_name_pattern,omitempty"`
	MaxChannelNameLength     digits `json:"max_channel_name_length,omitempty"`
	AllowUserLimitedChannels bool   `json:"allow_user_limited_channels,omitempty"`
}

type policyIdempotency struct {
	Enabled    *bool  `json:"enabled,omitempty"`
	TTLSeconds digits `json:"ttl_seconds,omitempty"`
}

// digits is a number that may be written as a string of digits. Null is zero.
type digits int

func (d *digits) UnmarshalJSON(b []byte) error {
	text := string(b)
	if text == "null" {
		return nil
	}
	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return fmt.Errorf("%q is not a whole number from 0 to 2147483647", text)
	}
	*d = digits(n)
	return nil
}

// MarshalPolicy writes the policy of an app, all but its credentials, as Sockudo
// keeps it. What app.Stored says and this version has no use for stays.
func MarshalPolicy(app *App) ([]byte, error) {
	l, f := &app.Limits, &app.Features
	p := appPolicy{
		Limits: &policyLimits{
			MaxConnections:               digits(l.MaxConnections),
			MaxClientEventsPerSecond:     digits(l.MaxClientEventsPerSecond),
			MaxBackendEventsPerSecond:    digits(l.MaxBackendEventsPerSecond),
			MaxReadRequestsPerSecond:     digits(l.MaxReadRequestsPerSecond),
			MaxPresenceMembersPerChannel: digits(l.MaxPresenceMembersPerChannel),
			MaxPresenceMemberSizeInKB:    digits(l.MaxPresenceMemberSizeInKB),
			MaxChannelNameLength:         digits(l.MaxChannelNameLength),
			MaxEventChannelsAtOnce:       digits(l.MaxEventChannelsAtOnce),
			MaxEventNameLength:           digits(l.MaxEventNameLength),
			MaxEventPayloadInKB:          digits(l.MaxEventPayloadInKB),
			MaxEventBatchSize:            digits(l.MaxEventBatchSize),
			DecaySeconds:                 digits(l.DecaySeconds),
			TerminateOnLimit:             l.TerminateOnLimit,
		},
		Features: &policyFeatures{f.ClientMessages, f.UserAuthentication, f.WatchlistEvents, f.SubscriptionCount},
	}
	if r := l.MessageRate; r != nil {
		attempts, decay := digits(r.MaxAttempts), digits(r.Decay/time.Second)
		if r.Decay%time.Second != 0 {
			return nil, fmt.Errorf("message_rate_limit: %v is not a number of whole seconds, in which stores keep it", r.Decay)
		}
		p.Limits.MessageRateLimit = &policyRate{true, &attempts, &decay, r.Terminate}
	}
	if len(app.AllowedOrigins)+len(app.Namespaces) > 0 {
		p.Channels = &policyChannels{AllowedOrigins: app.AllowedOrigins}
	}
	for _, name := range slices.Sorted(maps.Keys(app.Namespaces)) {
		n := app.Namespaces[name]
		p.Channels.ChannelNamespaces = append(p.Channels.ChannelNamespaces, policyNamespace{n.Name, n.Pattern, digits(n.MaxChannelNameLength), n.AllowUserLimitedChannels})
	}
	if i := app.Idempotency; i != (AppIdempotency{}) {
		if i.TTL%time.Second != 0 {
			return nil, fmt.Errorf("idempotency: ttl %v is not a number of whole seconds, in which stores keep it", i.TTL)
		}
		p.Idempotency = &policyIdempotency{i.Enabled, digits(i.TTL / time.Second)}
	}
	for _, s := range app.PreviousSecrets {
		p.PreviousSecrets = append(p.PreviousSecrets, policySecret{s.Secret, s.Until.Unix()})
	}
	var err error
	if p.Webhooks, err = policyWebhooks(app.Webhooks); err != nil {
		return nil, err
	}
	return keepUnread(p, app.Stored)
}

// UnmarshalPolicy gives an app the policy that Sockudo has kept, instead of the
// one it has. ignored are the members that this version has no use for, by path:
// policies of features to come, and words that nobody knows.
func UnmarshalPolicy(text []byte, app *App) (ignored []string, err error) {
	var p appPolicy
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	*app = App{ID: app.ID, Key: app.Key, Secret: app.Secret, Enabled: app.Enabled, Stored: bytes.Clone(text)}
	if l := p.Limits; l != nil {
		app.Limits = l.limits()
	}
	if f := p.Features; f != nil {
		app.Features = AppFeatures{f.EnableClientMessages, f.EnableUserAuthentication, f.EnableWatchlistEvents, f.SubscriptionCount}
	}
	if i := p.Idempotency; i != nil {
		app.Idempotency = AppIdempotency{i.Enabled, time.Duration(i.TTLSeconds) * time.Second}
	}
	app.Webhooks = webhooksOf(p.Webhooks)
	for _, s := range p.PreviousSecrets {
		app.PreviousSecrets = append(app.PreviousSecrets, PreviousSecret{s.Secret, time.Unix(s.Until, 0)})
	}
	if p.Channels != nil {
		app.AllowedOrigins = p.Channels.AllowedOrigins
		if app.Namespaces, err = p.Channels.namespaces(); err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
	}
	return unread(text)
}

func (l *policyLimits) limits() AppLimits {
	limits := AppLimits{
		MaxConnections:               int(l.MaxConnections),
		MaxClientEventsPerSecond:     int(l.MaxClientEventsPerSecond),
		MaxBackendEventsPerSecond:    int(l.MaxBackendEventsPerSecond),
		MaxReadRequestsPerSecond:     int(l.MaxReadRequestsPerSecond),
		MaxPresenceMembersPerChannel: int(l.MaxPresenceMembersPerChannel),
		MaxPresenceMemberSizeInKB:    int(l.MaxPresenceMemberSizeInKB),
		MaxChannelNameLength:         int(l.MaxChannelNameLength),
		MaxEventChannelsAtOnce:       int(l.MaxEventChannelsAtOnce),
		MaxEventNameLength:           int(l.MaxEventNameLength),
		MaxEventPayloadInKB:          int(l.MaxEventPayloadInKB),
		MaxEventBatchSize:            int(l.MaxEventBatchSize),
		DecaySeconds:                 int(l.DecaySeconds),
		TerminateOnLimit:             l.TerminateOnLimit,
	}
	if r := l.MessageRateLimit; r != nil && r.Enabled {
		limits.MessageRate = &MessageRate{MaxAttempts: 60, Decay: time.Minute, Terminate: r.TerminateOnLimit}
		if r.MaxAttempts != nil {
			limits.MessageRate.MaxAttempts = int(*r.MaxAttempts)
		}
		if r.DecaySeconds != nil {
			limits.MessageRate.Decay = time.Duration(*r.DecaySeconds) * time.Second
		}
	}
	return limits
}

func (c *policyChannels) namespaces() (map[string]*Namespace, error) {
	all := map[string]*Namespace{}
	for _, n := range c.ChannelNamespaces {
		if all[n.Name] != nil {
			return nil, fmt.Errorf("namespace %s is written twice", n.Name)
		}
		namespace := &Namespace{
			Name: n.Name, Pattern: n.ChannelNamePattern, MaxChannelNameLength: int(n.MaxChannelNameLength),
			AllowUserLimitedChannels: n.AllowUserLimitedChannels,
		}
		if err := namespace.Compile(); err != nil {
			return nil, err
		}
		all[n.Name] = namespace
	}
	return all, nil
}
