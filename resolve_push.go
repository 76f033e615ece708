package sockudo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/push"
)

// pushDefinition is push as a configuration wants it: everything checked, nothing opened.
type pushDefinition struct {
	settings   push.Settings // without what has to be opened
	policy     push.Policy
	keys       *push.Keyring
	sealed     bool
	stale      time.Duration
	sync       bool
	private    bool // services may be in private networks
	rules      []push.Rule
	providers  map[string]json.RawMessage // those that are switched on
	pushStored driverChoice
}

// pushProviders are all of them, by their words in the configuration.
var pushProviders = []string{"fcm", "apns", "webpush", "hms", "wns"}

// findProvider is the id of the module of a provider.
func findProvider(name string) (string, error) {
	id := "sockudo.push_providers." + name
	if _, err := caddy.GetModule(id); err == nil {
		return id, nil
	}
	var known []string
	for _, m := range caddy.GetModules("sockudo.push_providers") {
		known = append(known, m.ID.Name())
	}
	hint := ""
	if n := nearest(name, slices.Clone(known)); n != "" {
		hint = "; did you mean " + n + "?"
	}
	return "", fmt.Errorf("provider %q is not compiled in: there is no module %s%s; this Caddy has %s", name, id, hint, strings.Join(known, ", "))
}

// resolvePush says how notifications are sent, if they are. Rules have to be good even
// while they are not (configuration, R11).
func (d *definition) resolvePush(c *HubConfig) error {
	rules, err := resolveRules(c.PushRules)
	if err != nil {
		return err
	}
	n := c.Push
	if n == nil || !n.Enabled.or(true) {
		if len(rules) > 0 {
			d.warnings = append(d.warnings, "push rules have no effect: write push { enabled on }")
		}
		return nil
	}
	p := &pushDefinition{rules: rules, sync: !n.AsyncOnly.or(true), sealed: n.EncryptRecipients.or(false), stale: n.StaleDeviceMaxAge.orNone(0)}
	if err := p.resolve(n); err != nil {
		return at("push", err)
	}
	if err := d.pushDrivers(c, p); err != nil {
		return at("push", err)
	}
	d.push, d.needsQueue = p, true
	return nil
}

// pushDrivers chooses the store, and looks at the queue.
func (d *definition) pushDrivers(c *HubConfig, p *pushDefinition) (err error) {
	n := c.Push
	if n.StorageDriver != "" && n.StorageRaw != nil {
		return errors.New("storage_driver: storage says it already: write one of them")
	}
	if p.pushStored, err = chooseDriver(kindPushStore, c.pushStorage(), c.Database); err != nil {
		return at(kindPushStore, err)
	}
	queue := d.drivers[kindQueue].driver
	if n.QueueDriver != "" && driverName(n.QueueDriver) != queue {
		return fmt.Errorf("queue_driver: %s is not the driver of the hub's queue, which is %s: the jobs of push are in that queue; write queue %s, or leave queue_driver out", n.QueueDriver, queue, driverName(n.QueueDriver))
	}
	if c.Mode != "development" && !n.AllowMemoryDrivers.or(false) {
		for _, one := range [][2]string{{kindPushStore, p.pushStored.driver}, {kindQueue, queue}} {
			if one[1] == "memory" {
				return fmt.Errorf("%s: memory loses what was accepted when the process ends: choose another driver, or write push { allow_memory_drivers on }", one[0])
			}
		}
	}
	d.drivers[kindPushStore] = p.pushStored
	return nil
}

// resolve checks the settings.
func (p *pushDefinition) resolve(n *PushConfig) error {
	s := &p.settings
	s.DefaultTTL, s.StatusTTL = n.DefaultTTL.or(0), n.PublishStatusTTL.or(0)
	s.EventTTL, s.Quarantine = n.EventRetention.or(0), n.InvalidTokenQuarantine.or(0)
	s.Planners, s.Workers = n.PlannerWorkers.or(0), 64*n.DispatchWorkers.or(1)
	s.Outbound = n.MaxOutboundRequests.or(0)
	s.FastThreshold, s.ShardSize = int64(n.FanoutFastThreshold.or(0)), int64(n.FanoutShardSize.or(0))
	s.Tick, s.RepairAge, s.RepairBatch = n.SchedulerInterval.or(0), n.RepairMinAge.or(0), n.RepairBatchSize.or(0)
	s.RepairEvery, s.CleanEvery = never(n.RepairInterval), never(n.CleanupInterval)
	s.CleanBatch, s.CleanMost = n.CleanupBatchSize.or(0), n.CleanupMaxDeleted.or(0)
	if s.DefaultTTL > 28*24*time.Hour {
		return fmt.Errorf("default_ttl: %v is longer than 28d, which is what providers keep", s.DefaultTTL)
	}
	n.Backpressure.settings(&s.Lag)
	n.CircuitBreaker.settings(&s.Breaker)
	if err := n.Retry.settings(&s.Retry); err != nil {
		return at("retry", err)
	}
	kept, elapsed := orDefault(s.StatusTTL, 24*time.Hour), orDefault(s.Retry.MaxElapsed, 24*time.Hour)
	if kept < elapsed {
		return fmt.Errorf("publish_status_ttl: %v is shorter than max_elapsed of retry, which is %v", kept, elapsed)
	}
	if err := n.quotas(&s.Quotas); err != nil {
		return err
	}
	if err := p.endpoints(n.Endpoints); err != nil {
		return at("endpoints", err)
	}
	p.private = n.Testing != nil && n.Testing.AllowPrivateEndpoints.or(false)
	if err := p.keyring(n); err != nil {
		return err
	}
	return p.chooseProviders(n)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// never is a pause that less than zero makes infinite.
func never(d Duration) time.Duration {
	if v := d.orNone(0); d != "" && v == 0 {
		return -1
	}
	return d.orNone(0)
}

func (n *PushBackpressure) settings(s *push.Lag) {
	if n == nil {
		return
	}
	s.Refuse, s.Age, s.RetryAfter = n.Refuse.or(false), never(n.MaxAge), n.RetryAfter.or(0)
	s.Publishes, s.Deliveries = n.MaxPublishes.or(0), n.MaxDeliveries.or(0)
}

func (n *PushBreakerConfig) settings(s *push.BreakerSettings) {
	if n != nil {
		*s = push.BreakerSettings{Failures: n.FailureThreshold.or(0), Cooldown: n.Cooldown.or(0), HalfOpen: n.HalfOpenMaxInFlight.or(0)}
	}
}

func (n *PushRetryConfig) settings(s *push.Retry) error {
	if n == nil {
		return nil
	}
	*s = push.Retry{
		MaxAttempts: n.MaxAttempts.or(0), InitialBackoff: n.InitialBackoff.or(0), MaxBackoff: n.MaxBackoff.or(0),
		MaxElapsed: n.MaxElapsed.or(0), JitterPercent: n.JitterPercent.or(0), IgnoreRetryAfter: !n.RespectRetryAfter.or(true),
	}
	if !n.Jitter.or(true) {
		s.JitterPercent = -1
	}
	switch {
	case s.MaxAttempts > 100:
		return fmt.Errorf("max_attempts: %d is more than 100", s.MaxAttempts)
	case s.JitterPercent > 100:
		return fmt.Errorf("jitter_ratio_percent: %d is more than 100", s.JitterPercent)
	case s.MaxElapsed > 30*24*time.Hour:
		return fmt.Errorf("max_elapsed: %v is longer than 30d", s.MaxElapsed)
	}
	if first, most := orDefault(s.InitialBackoff, time.Second), orDefault(s.MaxBackoff, time.Minute); most < first {
		return fmt.Errorf("max_backoff: %v is shorter than initial_backoff, which is %v", most, first)
	}
	return nil
}

// pushHost is the name of a host, and maybe a dot before it.
var pushHost = regexp.MustCompile(`^\.?[a-zA-Z0-9_]([a-zA-Z0-9_.-]*[a-zA-Z0-9_])?$`)

func (p *pushDefinition) endpoints(n *PushEndpoints) error {
	if n == nil {
		return nil
	}
	for _, list := range []struct {
		word  string
		hosts []string
	}{{"allowed_hosts", n.AllowedHosts}, {"denied_hosts", n.DeniedHosts}} {
		for _, host := range list.hosts {
			if _, err := netip.ParseAddr(host); err != nil && !pushHost.MatchString(host) {
				return fmt.Errorf("%s: %q is not the name of a host such as push.example.com, or .example.com for all below it", list.word, host)
			}
		}
	}
	p.policy = push.Policy{AllowLocal: n.AllowLocal.or(false), AllowedHosts: n.AllowedHosts, DeniedHosts: n.DeniedHosts}
	return nil
}

// quotas are the bounds of each app.
func (n *PushConfig) quotas(s *push.Quotas) error {
	s.FanoutMax = 10000
	written := n.MaxRecipients
	if q := n.Quotas; q != nil {
		s.AcceptanceRPS, s.Daily, s.InFlight = q.AcceptanceRPS.or(0), int64(q.DeliveryQuotaDaily.or(0)), q.InFlightMax.or(0)
		if q.AcceptanceRPS == none || q.AcceptanceRPS == "0" {
			s.AcceptanceRPS = -1
		}
		if q.FanoutMax != "" {
			if written != "" && written != q.FanoutMax {
				return errors.New("default_quotas: fanout_max and max_recipients_per_publish mean the same: write one of them")
			}
			written = q.FanoutMax
		}
	}
	if written != "" {
		s.FanoutMax = int64(written.or(0))
	}
	return nil
}

func (p *pushDefinition) keyring(n *PushConfig) (err error) {
	if n.CredentialEncryptionKey == "" {
		switch {
		case len(n.PreviousEncryptionKeys) > 0:
			return errors.New("previous_encryption_keys: there is no credential_encryption_key")
		case p.sealed:
			return errors.New("encrypt_recipients: it needs credential_encryption_key")
		}
		return nil
	}
	if _, err := push.NewKeyring(n.CredentialEncryptionKey); err != nil {
		return at("credential_encryption_key", err)
	}
	p.keys, err = push.NewKeyring(append([]string{n.CredentialEncryptionKey}, n.PreviousEncryptionKeys...)...)
	return at("previous_encryption_keys", err)
}

var onOff = map[bool]string{true: "on", false: "off"}

// chooseProviders says which ones are switched on.
func (p *pushDefinition) chooseProviders(n *PushConfig) error {
	p.providers = map[string]json.RawMessage{}
	flags := n.flags()
	for _, name := range sortedKeys(n.Providers) {
		module, err := findProvider(name)
		if err != nil {
			return at("providers", err)
		}
		object, err := objectOf(n.Providers[name])
		if err == nil {
			err = checkGuest(object, module)
		}
		if err != nil {
			return at("providers."+name, err)
		}
		on, written := object["enabled"].(bool)
		if flag, also := flags[name]; written && also && on != flag {
			return fmt.Errorf("%s_enabled: it says %s, and enabled in the block of the provider says the contrary", name, onOff[flag])
		}
		p.providers[name] = n.Providers[name]
	}
	for _, name := range pushProviders {
		switch on, written := flags[name]; {
		case !written:
		case !on:
			delete(p.providers, name)
		case p.providers[name] == nil:
			p.providers[name] = json.RawMessage("{}")
		}
	}
	return nil
}

// resolveRules checks the rules, on or off.
func resolveRules(all []*PushRuleConfig) (rules []push.Rule, err error) {
	for i, n := range all {
		where := fmt.Sprintf("push_rules.%d", i)
		if n == nil {
			return nil, fmt.Errorf("%s: must be an object", where)
		}
		rule, err := n.rule()
		if err != nil {
			return nil, at(where, err)
		}
		if n.Enabled.or(true) {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

func (n *PushRuleConfig) rule() (r push.Rule, err error) {
	r = push.Rule{Pattern: n.ChannelPattern, Events: n.EventFilter, RatePerSecond: n.RateLimitPerSecond.or(100), TitleField: "title", BodyField: "body", DataField: "data", Rest: true}
	switch pattern := strings.TrimSuffix(r.Pattern, "*"); {
	case r.Pattern == "" || len(r.Pattern) > 256:
		return r, errors.New("channel_pattern: it must be of 1 to 256 bytes")
	case strings.Contains(pattern, "*"):
		return r, fmt.Errorf("channel_pattern: %q has an asterisk elsewhere than at its end", r.Pattern)
	case len(r.Events) == 0 || len(r.Events) > 32:
		return r, fmt.Errorf("event_filter: there must be 1 to 32 names, not %d", len(r.Events))
	}
	for _, name := range r.Events {
		if name == "" || len(name) > 200 {
			return r, errors.New("event_filter: a name must be of 1 to 200 bytes")
		}
	}
	if m := n.PayloadMapping; m != nil {
		r.TitleField, r.BodyField = cmp.Or(m.TitleField, r.TitleField), cmp.Or(m.BodyField, r.BodyField)
		r.DataField = cmp.Or(m.TemplateDataField, r.DataField)
		r.Rest = m.IncludeRemainingFields.or(true)
	}
	if s := n.SuppressIfPresent; s != nil {
		delay := s.Delay.or(0)
		if delay > time.Hour || delay%time.Second != 0 {
			return r, fmt.Errorf("suppress_if_present: delay: %v is not a number of whole seconds up to 1h", delay)
		}
		switch {
		case s.Channel == "" && !strings.HasPrefix(r.Pattern, "presence-"):
			return r, fmt.Errorf("suppress_if_present: channel is missing: channels of %q are not presence channels; write one such as presence-*, whose asterisk stands for that of the pattern", r.Pattern)
		case s.Channel != "" && !strings.HasPrefix(s.Channel, "presence-"):
			return r, fmt.Errorf("suppress_if_present: channel: %q is not a presence channel", s.Channel)
		case strings.Contains(strings.TrimSuffix(s.Channel, "*"), "*"):
			return r, fmt.Errorf("suppress_if_present: channel: %q has an asterisk elsewhere than at its end", s.Channel)
		case strings.HasSuffix(s.Channel, "*") && !strings.HasSuffix(r.Pattern, "*"):
			return r, fmt.Errorf("suppress_if_present: channel: %q has an asterisk, and the pattern of the rule has none", s.Channel)
		}
		r.Suppress = &push.Suppress{Channel: s.Channel, DelaySeconds: int64(delay / time.Second)}
	}
	return r, nil
}
