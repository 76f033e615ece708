package sockudo

import (
	"encoding/json"
	"errors"
	"strings"
)

// pushVariables override one setting each of push notifications, see configuration,
// section 2.16. Where two are for the same setting, the later one wins.
var pushVariables = []variable{
	{"PUSH_ALLOW_MEMORY_DRIVERS", func(c *HubConfig) any { return &pushSection(c).AllowMemoryDrivers }, envSwitch},
	{"PUSH_FCM_ENABLED", providerSwitch("fcm", func(p *PushConfig) *Switch { return &p.FCMEnabled }), envSwitch},
	{"PUSH_APNS_ENABLED", providerSwitch("apns", func(p *PushConfig) *Switch { return &p.APNsEnabled }), envSwitch},
	{"PUSH_WEBPUSH_ENABLED", providerSwitch("webpush", func(p *PushConfig) *Switch { return &p.WebPushEnabled }), envSwitch},
	{"PUSH_HMS_ENABLED", providerSwitch("hms", func(p *PushConfig) *Switch { return &p.HMSEnabled }), envSwitch},
	{"PUSH_WNS_ENABLED", providerSwitch("wns", func(p *PushConfig) *Switch { return &p.WNSEnabled }), envSwitch},
	{"PUSH_CREDENTIAL_ENCRYPTION_KEY", func(c *HubConfig) any { return &pushSection(c).CredentialEncryptionKey }, nil},
	{"PUSH_PUBLISH_STATUS_TTL_DAYS", func(c *HubConfig) any { return &pushSection(c).PublishStatusTTL }, unit("d")},
	{"PUSH_STALE_DEVICE_MAX_AGE_DAYS", func(c *HubConfig) any { return &pushSection(c).StaleDeviceMaxAge }, unit("d")},
	{"PUSH_DISPATCH_MAX_OUTBOUND_REQUESTS", func(c *HubConfig) any { return &pushSection(c).MaxOutboundRequests }, nil},
	{"PUSH_FANOUT_FAST_THRESHOLD", func(c *HubConfig) any { return &pushSection(c).FanoutFastThreshold }, nil},
	{"PUSH_FANOUT_SHARD_SIZE", func(c *HubConfig) any { return &pushSection(c).FanoutShardSize }, nil},
	{"PUSH_FAILURE_THRESHOLD", func(c *HubConfig) any { return &section(&pushSection(c).CircuitBreaker).FailureThreshold }, nil},
	{"PUSH_SCHEDULER_INTERVAL_SECS", func(c *HubConfig) any { return &pushSection(c).SchedulerInterval }, unit("s")},

	{"PUSH_BACKPRESSURE", func(c *HubConfig) any { return &lagSection(c).Refuse }, envSwitch},
	{"PUSH_BACKPRESSURE_LAG_THRESHOLD_SECS", func(c *HubConfig) any { return &lagSection(c).MaxAge }, unit("s")},
	{"PUSH_BACKPRESSURE_RETRY_AFTER_SECONDS", func(c *HubConfig) any { return &lagSection(c).RetryAfter }, unit("s")},
	{"PUSH_PUBLISH_LOG_MAX_LAG", func(c *HubConfig) any { return &lagSection(c).MaxPublishes }, nil},
	{"PUSH_CRITICAL_QUEUE_MAX_LAG", func(c *HubConfig) any { return &lagSection(c).MaxDeliveries }, nil},

	{"PUSH_RETRY_MAX_ATTEMPTS", func(c *HubConfig) any { return &retrySection(c).MaxAttempts }, nil},
	{"PUSH_RETRY_INITIAL_BACKOFF_MS", func(c *HubConfig) any { return &retrySection(c).InitialBackoff }, unit("ms")},
	{"PUSH_RETRY_MAX_BACKOFF_MS", func(c *HubConfig) any { return &retrySection(c).MaxBackoff }, unit("ms")},
	{"PUSH_RETRY_MAX_ELAPSED_SECS", func(c *HubConfig) any { return &retrySection(c).MaxElapsed }, unit("s")},
	{"PUSH_RETRY_JITTER", func(c *HubConfig) any { return &retrySection(c).Jitter }, envSwitch},
	{"PUSH_RETRY_JITTER_RATIO_PERCENT", func(c *HubConfig) any { return &retrySection(c).JitterPercent }, nil},
	{"PUSH_RETRY_RESPECT_RETRY_AFTER", func(c *HubConfig) any { return &retrySection(c).RespectRetryAfter }, envSwitch},

	{"PUSH_REPAIR_INTERVAL_SECS", func(c *HubConfig) any { return &pushSection(c).RepairInterval }, unit("s")},
	{"PUSH_REPAIR_MIN_AGE_SECS", func(c *HubConfig) any { return &pushSection(c).RepairMinAge }, unit("s")},
	{"PUSH_REPAIR_BATCH_SIZE", func(c *HubConfig) any { return &pushSection(c).RepairBatchSize }, nil},
	{"PUSH_CLEANUP_INTERVAL_SECS", func(c *HubConfig) any { return &pushSection(c).CleanupInterval }, unit("s")},
	{"PUSH_CLEANUP_BATCH_SIZE", func(c *HubConfig) any { return &pushSection(c).CleanupBatchSize }, nil},
	{"PUSH_CLEANUP_MAX_DELETED_PER_TICK", func(c *HubConfig) any { return &pushSection(c).CleanupMaxDeleted }, nil},

	{"PUSH_DEFAULT_ACCEPTANCE_RPS", func(c *HubConfig) any { return &quotaSection(c).AcceptanceRPS }, nil},
	{"PUSH_ACCEPTANCE_RATE_LIMIT", func(c *HubConfig) any { return &quotaSection(c).AcceptanceRPS }, nil},
	{"PUSH_DEFAULT_DELIVERY_QUOTA_DAILY", func(c *HubConfig) any { return &quotaSection(c).DeliveryQuotaDaily }, nil},
	{"PUSH_DELIVERY_QUOTA_DAILY", func(c *HubConfig) any { return &quotaSection(c).DeliveryQuotaDaily }, nil},
	{"PUSH_DEFAULT_FANOUT_MAX", fanoutMax, nil},
	{"PUSH_FANOUT_MAX", fanoutMax, nil},
	{"PUSH_DEFAULT_INFLIGHT_MAX", func(c *HubConfig) any { return &quotaSection(c).InFlightMax }, nil},

	{"PUSH_ALLOW_LOCAL_WEB_PUSH_ENDPOINTS", func(c *HubConfig) any { return &endpointSection(c).AllowLocal }, envSwitch},
	{"PUSH_WEBPUSH_ALLOWED_HOSTS", func(c *HubConfig) any { return &endpointSection(c).AllowedHosts }, nil},
	{"PUSH_WEBPUSH_DENIED_HOSTS", func(c *HubConfig) any { return &endpointSection(c).DeniedHosts }, nil},
}

// pushSection is the section of push. Unlike a block that is written, one that variables
// make switches nothing on.
func pushSection(c *HubConfig) *PushConfig {
	if c.Push == nil {
		c.Push = &PushConfig{Enabled: "off"}
	}
	return c.Push
}

func lagSection(c *HubConfig) *PushBackpressure   { return section(&pushSection(c).Backpressure) }
func retrySection(c *HubConfig) *PushRetryConfig  { return section(&pushSection(c).Retry) }
func quotaSection(c *HubConfig) *PushQuotas       { return section(&pushSection(c).Quotas) }
func endpointSection(c *HubConfig) *PushEndpoints { return section(&pushSection(c).Endpoints) }

// fanoutMax is the one setting for which there are two words.
func fanoutMax(c *HubConfig) any {
	p := pushSection(c)
	if p.Quotas != nil {
		p.Quotas.FanoutMax = ""
	}
	return &p.MaxRecipients
}

// providerSwitch is the switch of a provider, in place of the one in its block.
func providerSwitch(name string, flag func(*PushConfig) *Switch) func(*HubConfig) any {
	return func(c *HubConfig) any {
		p := pushSection(c)
		if own, err := objectOf(p.Providers[name]); err == nil && own["enabled"] != nil {
			delete(own, "enabled")
			p.setProvider(name, own)
		}
		return flag(p)
	}
}

// setProvider replaces the object of a provider.
func (n *PushConfig) setProvider(name string, own map[string]any) {
	raw, err := json.Marshal(own)
	if err != nil {
		return
	}
	if n.Providers == nil {
		n.Providers = map[string]json.RawMessage{}
	}
	n.Providers[name] = raw
}

// readPush reads the variables that are not for one setting each.
func (e *environment) readPush() {
	for _, x := range pushProviders {
		for _, bound := range []string{"_CEILING", "_DAILY_QUOTA"} {
			name := "PUSH_PROVIDER_" + strings.ToUpper(x) + bound
			if _, ok := e.get(name); ok {
				e.fail(name, errors.New("is not supported: bounds are of apps, see default_quotas, not of providers"))
			}
		}
	}
	e.readPushStorage()
	e.readPushQueue()
	for _, provider := range pushProviders {
		e.readProvider(provider)
	}
}

// readPushStorage selects what keeps devices. Settings of another driver do not apply
// to it.
func (e *environment) readPushStorage() {
	const name = "PUSH_STORAGE_DRIVER"
	word, ok := e.use(name)
	if !ok {
		return
	}
	if _, err := findDriver(namespaces[kindPushStore], word); err != nil {
		e.fail(name, err)
		return
	}
	e.set = append(e.set, func(c *HubConfig) {
		p := pushSection(c)
		p.StorageDriver = ""
		if own, err := objectOf(p.StorageRaw); err == nil && own["driver"] != nil {
			if had, _ := own["driver"].(string); driverName(had) == driverName(word) {
				return
			}
		}
		p.StorageRaw, _ = json.Marshal(map[string]string{"driver": word}) //nolint:errchkjson // it is text
	})
}

// readPushQueue says what queue there has to be.
func (e *environment) readPushQueue() {
	if word, ok := e.use("PUSH_QUEUE_DRIVER"); ok {
		e.set = append(e.set, func(c *HubConfig) { pushSection(c).QueueDriver = word })
	}
}
