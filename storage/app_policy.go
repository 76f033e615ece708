package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
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
	Recovery    *policyRecovery    `json:"connection_recovery,omitempty"`
	History     *policyHistory     `json:"history,omitempty"`
	Webhooks    []policyWebhook    `json:"webhooks,omitempty"`
	// PresenceHistory is the history of presence channels.
	PresenceHistory *policyPresenceHistory `json:"presence_history,omitempty"`
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
	// ChannelDeltaCompression is by channel or pattern, see policyDelta.
	ChannelDeltaCompression map[string]policyDelta `json:"channel_delta_compression,omitempty"`
	AnnotationsEnabled      *bool                  `json:"annotations_enabled,omitempty"`
}

type policyNamespace struct {
	Name                     string `json:"name"`
	ChannelNamePattern       string `json:"channel_name_pattern,omitempty"`
	MaxChannelNameLength     digits `json:"max_channel_name_length,omitempty"`
	AllowUserLimitedChannels bool   `json:"allow_user_limited_channels,omitempty"`
	AllowSubscribeForClient  *bool  `json:"allow_subscribe_for_client,omitempty"`
	AllowPublishForClient    *bool  `json:"allow_publish_for_client,omitempty"`
	AllowPresenceForClient   *bool  `json:"allow_presence_for_client,omitempty"`
	AnnotationsEnabled       *bool  `json:"annotations_enabled,omitempty"`

	History         *policyNamespaceHistory `json:"history,omitempty"`
	PresenceHistory *policyPresenceHistory  `json:"presence_history,omitempty"`
}

type policyIdempotency struct {
	Enabled    *bool  `json:"enabled,omitempty"`
	TTLSeconds digits `json:"ttl_seconds,omitempty"`
}

type policyRecovery struct {
	Enabled          *bool  `json:"enabled,omitempty"`
	BufferTTLSeconds digits `json:"buffer_ttl_seconds,omitempty"`
	MaxBufferSize    digits `json:"max_buffer_size,omitempty"`
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
	var err error
	if p.Channels, err = channelsPolicy(app); err != nil {
		return nil, err
	}
	if i := app.Idempotency; i != (AppIdempotency{}) {
		if i.TTL%time.Second != 0 {
			return nil, fmt.Errorf("idempotency: ttl %v is not a number of whole seconds, in which stores keep it", i.TTL)
		}
		p.Idempotency = &policyIdempotency{i.Enabled, digits(i.TTL / time.Second)}
	}
	if p.Recovery, err = app.Recovery.policy(); err != nil {
		return nil, err
	}
	if p.History, err = app.History.policy(); err != nil {
		return nil, err
	}
	if p.PresenceHistory, err = app.PresenceHistory.presencePolicy(); err != nil {
		return nil, err
	}
	for _, s := range app.PreviousSecrets {
		p.PreviousSecrets = append(p.PreviousSecrets, policySecret{s.Secret, s.Until.Unix()})
	}
	if p.Webhooks, err = policyWebhooks(app.Webhooks); err != nil {
		return nil, err
	}
	return keepUnread(p, app.Stored)
}

// policy is nil where nothing is overridden.
func (r *AppRecovery) policy() (*policyRecovery, error) {
	seconds := r.TTL / time.Second
	switch {
	case *r == AppRecovery{}:
		return nil, nil //nolint:nilnil // no policy is a valid answer
	case r.TTL%time.Second != 0 || r.TTL < 0 || int64(seconds) > math.MaxInt32:
		return nil, fmt.Errorf("recovery: ttl %v is not a number of whole seconds up to %d, in which stores keep it", r.TTL, math.MaxInt32)
	}
	return &policyRecovery{r.Enabled, digits(seconds), digits(r.BufferSize)}, nil
}

// channelsPolicy is nil where nothing is said of channels.
func channelsPolicy(app *App) (*policyChannels, error) {
	if len(app.AllowedOrigins)+len(app.Namespaces)+len(app.Delta) == 0 && app.Annotations == nil {
		return nil, nil //nolint:nilnil // no policy is a valid answer
	}
	c := &policyChannels{AllowedOrigins: app.AllowedOrigins, ChannelDeltaCompression: policyDeltas(app.Delta), AnnotationsEnabled: app.Annotations}
	for _, name := range slices.Sorted(maps.Keys(app.Namespaces)) {
		n := app.Namespaces[name]
		history, err := n.History.namespacePolicy()
		presence, err2 := n.PresenceHistory.presencePolicy()
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("namespace %s: %w", name, err)
		}
		c.ChannelNamespaces = append(c.ChannelNamespaces, policyNamespace{
			n.Name, n.Pattern, digits(n.MaxChannelNameLength), n.AllowUserLimitedChannels,
			unless(n.NoSubscribe), unless(n.NoPublish), unless(n.NoPresence), n.Annotations, history, presence,
		})
	}
	return c, nil
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
	if r := p.Recovery; r != nil {
		app.Recovery = AppRecovery{r.Enabled, time.Duration(r.BufferTTLSeconds) * time.Second, int(r.MaxBufferSize)}
	}
	app.History, app.PresenceHistory = p.History.history(), p.PresenceHistory.history()
	app.Webhooks = webhooksOf(p.Webhooks)
	for _, s := range p.PreviousSecrets {
		app.PreviousSecrets = append(app.PreviousSecrets, PreviousSecret{s.Secret, time.Unix(s.Until, 0)})
	}
	if p.Channels != nil {
		app.AllowedOrigins, app.Annotations = p.Channels.AllowedOrigins, p.Channels.AnnotationsEnabled
		app.Delta = channelDeltas(p.Channels.ChannelDeltaCompression)
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
			NoSubscribe:              refused(n.AllowSubscribeForClient), NoPublish: refused(n.AllowPublishForClient),
			NoPresence: refused(n.AllowPresenceForClient), Annotations: n.AnnotationsEnabled,
			History: n.History.history(), PresenceHistory: n.PresenceHistory.history(),
		}
		if err := namespace.Compile(); err != nil {
			return nil, err
		}
		all[n.Name] = namespace
	}
	return all, nil
}

// unless writes a permission that is given where nothing is written, and refused reads
// it.
func unless(refused bool) *bool {
	if !refused {
		return nil
	}
	allowed := false
	return &allowed
}

func refused(allowed *bool) bool { return allowed != nil && !*allowed }
