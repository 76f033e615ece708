package storage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
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
// keeps it.
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
	return json.Marshal(p)
}

// UnmarshalPolicy gives an app the policy that Sockudo has kept, instead of the
// one it has. ignored are the members that this version has no use for, by path:
// policies of features to come, and words that nobody knows.
func UnmarshalPolicy(text []byte, app *App) (ignored []string, err error) {
	var p appPolicy
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	app.Limits, app.Features, app.AllowedOrigins, app.Namespaces, app.Idempotency = AppLimits{}, AppFeatures{}, nil, nil, AppIdempotency{}
	if l := p.Limits; l != nil {
		app.Limits = l.limits()
	}
	if f := p.Features; f != nil {
		app.Features = AppFeatures{f.EnableClientMessages, f.EnableUserAuthentication, f.EnableWatchlistEvents, f.SubscriptionCount}
	}
	if i := p.Idempotency; i != nil {
		app.Idempotency = AppIdempotency{i.Enabled, time.Duration(i.TTLSeconds) * time.Second}
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

// unread are the members of a policy that have been given and were not read.
func unread(text []byte) ([]string, error) {
	var given map[string]any
	if err := json.Unmarshal(text, &given); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var ignored []string
	sections := map[string]any{
		"limits": policyLimits{}, "features": policyFeatures{}, "channels": policyChannels{}, "idempotency": policyIdempotency{},
	}
	for name, value := range given {
		known, ok := sections[name]
		if !ok {
			ignored = appendGiven(ignored, name, value)
			continue
		}
		members, _ := value.(map[string]any)
		for member, v := range members {
			if !isMember(known, member) {
				ignored = appendGiven(ignored, name+"."+member, v)
			}
		}
	}
	slices.Sort(ignored)
	return ignored, nil
}

// isMember reports whether a struct has a field of that name in JSON.
func isMember(section any, name string) bool {
	for f := range reflect.TypeOf(section).Fields() {
		if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag == name {
			return true
		}
	}
	return false
}

// appendGiven leaves out what says nothing.
func appendGiven(names []string, name string, value any) []string {
	switch v := value.(type) {
	case nil:
		return names
	case []any:
		if len(v) == 0 {
			return names
		}
	case map[string]any:
		if len(v) == 0 {
			return names
		}
	}
	return append(names, name)
}

// CheckApp checks what every store demands of an app before it is written.
func CheckApp(app *App) error {
	for _, required := range []struct{ name, value string }{{"id", app.ID}, {"key", app.Key}, {"secret", app.Secret}} {
		switch {
		case required.value == "":
			return errors.New(required.name + " must not be empty")
		case len(required.value) > 255:
			return fmt.Errorf("%s is longer than 255 bytes", required.name)
		}
	}
	return nil
}
