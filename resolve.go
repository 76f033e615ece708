package sockudo

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/sockudo/caddy-sockudo/console"
	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
	"github.com/sockudo/caddy-sockudo/storage/batch"
	"github.com/sockudo/caddy-sockudo/storage/lookup"
	"github.com/sockudo/caddy-sockudo/webhooks"
)

// processID is the name of this process for those who do not name it.
var processID = sync.OnceValue(func() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
})

// definition is a hub as a configuration wants it: placeholders expanded,
// environment applied, everything checked, nothing opened.
type definition struct {
	settings realtime.Settings // without drivers
	apps     []*storage.App
	appCache lookup.Options
	drivers  map[string]driverChoice // by kind
	// needsQueue says that something makes jobs, or that the configuration names a
	// queue; without either no file is made.
	needsQueue bool
	// writes says how history is written. It is nil when nothing is kept.
	writes *batch.Options
	// webhooks says how webhooks are sent, nil when none are. lossyQueue admits a queue
	// without dead letters. webhooksUnsent says that apps in a store may have some that
	// nothing asks for.
	webhooks       *webhooks.Settings
	lossyQueue     bool
	webhooksUnsent bool
	// push says how notifications are sent, nil when none are.
	push    *pushDefinition
	console *console.Settings // nil while it is off
	metrics bool
	// events are those that are emitted without a subscription.
	events []realtime.Kind
	// exporter is nil if there is none.
	exporter *exporterSpec
	// channelLabels says whether metrics name channels.
	channelLabels bool
	prefix        string
	// variables are the names of the environment variables that were applied.
	variables []string
	// warnings are for the log, once per configuration.
	warnings []string
}

// fingerprint identifies what the configuration says. It shows nothing of it.
func (c *HubConfig) fingerprint() (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(canonicalJSON(b))
	return hex.EncodeToString(sum[:]), nil
}

// isReference reports whether the configuration says nothing, and thus means a
// hub that is defined elsewhere.
func (c *HubConfig) isReference() bool { return reflect.ValueOf(c).Elem().IsZero() }

// resolve makes a definition. It changes nothing of c, which Caddy goes on
// showing.
func (c *HubConfig) resolve(replacer *caddy.Replacer, lookup func(string) (string, bool)) (*definition, error) {
	c = c.clone()
	env := &overrides{}
	on, err := expandText(replacer, string(c.EnvOverrides), false)
	if err == nil && on != "" {
		_, err = parseSwitch(on)
	}
	if err != nil {
		return nil, at("env_overrides", err)
	}
	if Switch(on).or(true) {
		if env, err = readEnv(lookup); err != nil {
			return nil, err
		}
	}
	if env.dropApps {
		c.Apps = nil // before their placeholders matter
	}
	if err := c.expand(replacer); err != nil {
		return nil, err
	}
	if err := env.apply(c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	d := &definition{variables: env.names, prefix: "sockudo_", metrics: true}
	if d.settings, err = c.settings(); err != nil {
		return nil, err
	}
	if err := c.Database.check(); err != nil {
		return nil, err
	}
	if d.drivers, err = c.driverChoices(); err != nil {
		return nil, err
	}
	d.warnings = append(d.warnings, env.warnings...)
	d.warnings = append(d.warnings, warnIdle(&d.settings)...)
	d.appCache = c.AppCache.options()
	d.needsQueue = c.QueueRaw != nil
	if c.AppCache != nil && d.drivers[kindApps].driver == defaultDrivers[kindApps] {
		d.warnings = append(d.warnings, "app_cache has no effect on the app manager memory")
	}
	if err := d.resolveApps(c, env.dropApps); err != nil {
		return nil, err
	}
	if err := d.resolveHistory(c); err != nil {
		return nil, err
	}
	if err := d.resolvePush(c); err != nil {
		return nil, err
	}
	for _, name := range c.Database.unused(d.drivers) {
		d.warnings = append(d.warnings, "no driver uses the settings of database "+name)
	}
	if err := d.resolveWebhooks(c); err != nil {
		return nil, err
	}
	if err := d.checkCluster(c); err != nil {
		return nil, err
	}
	if d.console, err = c.Console.settings(); err != nil {
		return nil, err
	}
	if d.events, err = kindsOf(c.Events); err != nil {
		return nil, at("events", err)
	}
	return d, d.resolveMetrics(c.Metrics)
}

var metricPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

func (d *definition) resolveMetrics(c *MetricsConfig) error {
	if c == nil {
		return nil
	}
	d.metrics, d.channelLabels = c.Enabled.or(true), c.ChannelLabels.or(false)
	if c.Prefix != "" {
		d.prefix = c.Prefix
	}
	if !metricPrefix.MatchString(d.prefix) {
		return fmt.Errorf("metrics.prefix: %q cannot begin the name of a metric", d.prefix)
	}
	return at("metrics.tcp_exporter", d.resolveExporter(c.TCPExporter))
}

// settings are those of the hub, over the defaults.
func (c *HubConfig) settings() (realtime.Settings, error) {
	s := realtime.DefaultSettings()
	s.NodeID = c.NodeID
	if s.NodeID == "" {
		s.NodeID = processID()
	}
	s.MaxConnections = c.MaxConnections.or(s.MaxConnections)
	s.ActivityTimeout = c.ActivityTimeout.or(s.ActivityTimeout)
	s.AuthenticationTimeout = c.AuthenticationTimeout.or(s.AuthenticationTimeout)
	s.HealthTimeout = c.HealthTimeout.or(s.HealthTimeout)
	s.DrainPeriod = c.DrainPeriod.or(s.DrainPeriod)
	s.DrainTimeout = c.DrainTimeout.or(max(s.DrainTimeout, s.DrainPeriod+5*time.Second))
	s.PublishOnly = c.Role == "api"
	s.HTTP.Usage = c.Usage.or(s.HTTP.Usage)
	switch {
	case s.DrainPeriod > s.DrainTimeout:
		return s, fmt.Errorf("drain_period %v is longer than drain_timeout %v", s.DrainPeriod, s.DrainTimeout)
	case s.ActivityTimeout%time.Second != 0:
		return s, fmt.Errorf("activity_timeout: %v is not a number of whole seconds, in which clients are told it", s.ActivityTimeout)
	}
	if err := c.Cluster.settings(&s.Cluster); err != nil {
		return s, at("cluster_health", err)
	}
	c.limits(&s)
	c.v2(&s)
	c.history(&s)
	s.Rate = c.RateLimiter.settings(s.Rate)
	if err := c.WebSocket.settings(&s.Socket); err != nil {
		return s, at("websocket", err)
	}
	if c.HTTP != nil {
		s.HTTP.MaxBody = c.HTTP.MaxBody.or(s.HTTP.MaxBody)
	}
	return s, at("cors", c.CORS.settings(&s.HTTP.CORS))
}

func (c *HubConfig) limits(s *realtime.Settings) {
	l := &s.Limits
	if n := c.ChannelLimits; n != nil {
		l.ChannelNameLength = n.MaxNameLength.or(l.ChannelNameLength)
		l.CacheTTL = n.CacheTTL.or(l.CacheTTL)
	}
	if n := c.EventLimits; n != nil {
		l.EventChannels = n.MaxChannelsAtOnce.or(l.EventChannels)
		l.EventNameLength = n.MaxNameLength.or(l.EventNameLength)
		l.EventPayload = int(n.MaxPayload.or(int64(l.EventPayload)))
		l.EventBatch = n.MaxBatchSize.or(l.EventBatch)
	}
	if n := c.Presence; n != nil {
		l.PresenceMembers = n.MaxMembers.or(l.PresenceMembers)
		l.PresenceMemberSize = int(n.MaxMemberSize.or(int64(l.PresenceMemberSize)))
	}
	if n := c.Idempotency; n != nil {
		i := &s.Idempotency
		i.Enabled = n.Enabled.or(true)
		i.TTL = n.TTL.or(i.TTL)
		i.MaxKeyLength = n.MaxKeyLength.or(i.MaxKeyLength)
	}
}

func (c *WebSocketConfig) settings(s *realtime.SocketSettings) error {
	if c == nil {
		return nil
	}
	if s.MaxMessages = c.MaxMessages.or(s.MaxMessages); c.MaxMessages == none {
		s.MaxMessages = 0
	}
	if s.MaxBytes = int(c.MaxBytes.or(int64(s.MaxBytes))); c.MaxBytes == none {
		s.MaxBytes = 0
	}
	if s.MaxMessages == 0 && s.MaxBytes == 0 {
		return errors.New("max_messages and max_bytes must not both be unlimited")
	}
	if s.MaxChannels = c.MaxChannels.or(s.MaxChannels); c.MaxChannels == none {
		s.MaxChannels = 0
	}
	s.DropWhenFull = c.OnBufferFull == "drop"
	s.MaxPayload = c.MaxPayload.or(s.MaxPayload)
	if s.PingInterval = c.PingInterval.orNone(s.PingInterval); !c.AutoPing.or(true) {
		s.PingInterval = 0
	}
	s.IdleTimeout = c.IdleTimeout.orNone(s.IdleTimeout)
	return nil
}

func (c *CORSConfig) settings(s *realtime.CORSSettings) error {
	if c == nil {
		return nil
	}
	s.Origins = orList(c.Origins, s.Origins)
	s.Methods = orList(c.Methods, s.Methods)
	s.Headers = orList(c.Headers, s.Headers)
	if _, err := protocol.NewOrigins(s.Origins); err != nil {
		return at("origins", err)
	}
	s.Credentials = c.Credentials.or(s.Credentials)
	open := slices.Contains(s.Origins, "*") || slices.Contains(s.Origins, "any")
	if s.Credentials && open {
		return errors.New("credentials need origins that are not any")
	}
	return nil
}

func orList(list, otherwise []string) []string {
	if len(list) > 0 {
		return list
	}
	return otherwise
}

// settings are the limits of a block. Without one, the defaults given hold.
func (r *RateLimiterConfig) settings(defaults realtime.RateSettings) realtime.RateSettings {
	switch {
	case r == nil:
		return defaults
	case !r.Enabled.or(true):
		return realtime.RateSettings{}
	}
	s := realtime.RateSettings{FailOpen: r.FailOpen.or(false)}
	if !r.namesLimits() {
		s.API, s.Upgrades = defaults.API, defaults.Upgrades
		return s
	}
	s.API = r.API.rate(defaults.API)
	s.Upgrades = r.Upgrades.rate(defaults.Upgrades)
	if r.Limits != nil {
		s.ConnectionsPerIP = r.Limits.ConnectionPerIP.or(0)
		s.EventsPerSecond = r.Limits.EventsPerSecond.or(0)
	}
	return s
}

func (r *RateConfig) rate(defaults realtime.Rate) realtime.Rate {
	if r == nil {
		return realtime.Rate{}
	}
	return realtime.Rate{Max: r.Max.or(defaults.Max), Window: r.Window.or(defaults.Window)}
}
