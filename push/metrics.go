package push

import (
	"strings"
	"sync"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/meter"
)

// namePrefix begins the name of each metric, under every configuration.
const namePrefix = "sockudo_push_"

// maxApps bounds the apps that have labels of their own. Others are one, named other.
const maxApps = 1000

type (
	counters   = *meter.CounterVec
	gauges     = *meter.GaugeVec
	histograms = *meter.HistogramVec
)

// Metrics are what the push notifications of a hub count (section 21), in its registry
// of metrics. Their names are complete: the prefix of a configuration is not theirs.
type Metrics struct {
	registry *meter.Registry
	apps     struct {
		sync.Mutex
		known map[string]bool
	}

	accepted, quotaAcceptance, quotaDelivery, rateDropped, scheduled counters
	duplicates, channelPublishes                                     *meter.Counter
	dispatched, emitted, statuses, failures, fairDispatched          counters
	breakerOpen, deferred, throttled                                 counters
	retryScheduled, retryAttempted, retryDeferred, retryExpired      counters
	retryDead, retryMalformed                                        counters
	transitions, invalidations, guard, stale                         counters
	violations, conflicts, exhausted, exits, requeued                counters
	scanned, repaired, skipped                                       counters
	cleanScanned, cleanDeleted, cleanErrors, storeErrors             counters
	ruleDropped                                                      counters

	inFlight, poolSize, poolBusy, breakerState                                gauges
	consumedAcceptance, consumedDelivery, deliveryLag, retryDelay, starvation gauges
	publishLag, schedulerLag                                                  *meter.Gauge
	depth                                                                     *depthCollector

	duration, acceptance, fanout histograms
	planner, cleanTick           *meter.Histogram
}

var seconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMetrics(r *meter.Registry) *Metrics {
	m := &Metrics{registry: r}
	m.apps.known = map[string]bool{}
	m.admission()
	m.delivery()
	m.machinery()
	m.depth = newDepthCollector(r)
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) counters {
	return m.registry.Counters(namePrefix+name, help, labels...)
}

func (m *Metrics) plain(name, help string) *meter.Counter {
	return m.registry.Counter(namePrefix+name, help)
}

func (m *Metrics) gauge(name, help string, labels ...string) gauges {
	return m.registry.Gauges(namePrefix+name, help, labels...)
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) histograms {
	return m.registry.Histograms(namePrefix+name, help, buckets, labels...)
}

func (m *Metrics) admission() {
	m.accepted = m.counter("publish_accepted_total", "Publishes, by what they were answered.", "app", "result")
	m.quotaAcceptance = m.counter("quota_acceptance_rejections_total", "Publishes refused because there were too many in a second.", "app")
	m.quotaDelivery = m.counter("quota_delivery_rejections_total", "Publishes that ended at once because of a quota.", "app")
	m.rateDropped = m.counter("rate_dropped_total", "Publishes that a limit of rate has dropped.", "app")
	m.scheduled = m.counter("scheduled_jobs_total", "Publishes that had to wait for their time, by what has come of it.", "status")
	m.ruleDropped = m.counter("rule_dropped_total", "Events that matched a push rule and notify nobody, by reason.", "app", "reason")
	m.duplicates = m.plain("duplicate_suppressed_total", "Publishes and recipients that came again and were left out.")
	m.channelPublishes = m.plain("channel_publish_total", "Publishes to channels that realtime events have made.")
	m.consumedAcceptance = m.gauge("quota_consumed_acceptance", "Publishes in the current second.", "app")
	m.consumedDelivery = m.gauge("quota_consumed_delivery", "Recipients in the current day.", "app")
	m.acceptance = m.histogram("publish_acceptance_duration_seconds", "Time until a publish is answered.", seconds, "app")
	m.fanout = m.histogram("fanout_size", "Recipients that a publish seems to have.", []float64{1, 10, 100, 1000, 10000, 100000, 1000000}, "app")
}

func (m *Metrics) delivery() {
	m.dispatched = m.counter("dispatched_total", "Attempts, by what has come of them.", "provider", "status", "app")
	m.emitted = m.counter("delivery_jobs_emitted_total", "Notifications that were planned.", "provider", "app")
	m.statuses = m.counter("delivery_status_total", "Publishes that have ended, by state.", "status", "app")
	m.failures = m.counter("provider_failures_total", "Attempts that have failed, by class.", "provider", "failure_class", "app")
	m.fairDispatched = m.counter("wfq_dispatched_total", "Batches that had their turn.", "provider", "app")
	m.breakerOpen = m.counter("circuit_breaker_open_total", "How often nothing was sent for a time after failures.", "provider", "tenant")
	m.deferred = m.counter("circuit_breaker_deferred_total", "Batches that waited for that.", "provider", "app")
	m.throttled = m.counter("rate_limiter_throttled_total", "Answers that there was too much.", "provider", "tenant")
	m.retryScheduled = m.counter("retry_scheduled_total", "Notifications that are tried again.", "provider", "app")
	m.retryAttempted = m.counter("retry_attempted_total", "Attempts that were not the first.", "provider", "app")
	m.retryDeferred = m.counter("retry_deferred_total", "Notifications that wait as long as the provider has asked for.", "provider", "app")
	m.retryExpired = m.counter("retry_expired_total", "Notifications that expired before the next attempt.", "provider", "app")
	m.retryDead = m.counter("retry_dead_lettered_total", "Notifications that have failed for good.", "provider", "app")
	m.retryMalformed = m.counter("retry_malformed_total", "Jobs that made no sense.", "provider", "reason")
	m.transitions = m.counter("device_state_transitions_total", "Changes of the states of devices.", "from", "to", "app")
	m.invalidations = m.counter("token_invalidations_total", "Devices whose address a provider has called invalid.", "provider", "app")
	m.guard = m.counter("token_invalidation_guard_total", "How often so many became invalid that none was removed any more.", "provider", "app")
	m.stale = m.counter("stale_devices_removed_total", "Devices that were removed because they were not seen for long.", "app")
	m.inFlight = m.gauge("dispatch_inflight", "Requests under way.", "provider", "app")
	m.poolSize = m.gauge("worker_pool_size", "Batches that can be sent at once.", "provider")
	m.poolBusy = m.gauge("worker_pool_busy", "Batches that are sent.", "provider")
	m.breakerState = m.gauge("circuit_breaker_state", "0 when a provider is used, 1 when it is tried, 2 when it is left alone.", "provider", "tenant")
	m.retryDelay = m.gauge("retry_deferred_delay_seconds", "The last pause before another attempt.", "provider", "app")
	m.starvation = m.gauge("wfq_starvation_seconds", "For how long the last batch that had to wait for others of its app has waited.", "provider", "app")
	m.duration = m.histogram("dispatch_duration_seconds", "Time to send a batch.", seconds, "provider", "app")
}

func (m *Metrics) machinery() {
	m.violations = m.counter("invariant_violations_total", "Changes that may not be, and were not made.", "invariant")
	m.conflicts = m.counter("status_cas_conflicts_total", "Changes that another one came before.", "component")
	m.exhausted = m.counter("status_cas_exhausted_total", "Changes that others came before too often.", "component")
	m.exits = m.counter("worker_exits_total", "Workers that ended and were started again.", "kind", "worker", "reason")
	m.requeued = m.counter("queue_local_requeued_total", "Jobs that run again.", "stage", "reason")
	m.scanned = m.counter("repair_scanned_total", "Records that were looked at because they were due.", "category")
	m.repaired = m.counter("repair_requeued_total", "Jobs that were made again.", "stage", "reason")
	m.skipped = m.counter("repair_skipped_total", "Records that could not be repaired.", "reason")
	m.cleanScanned = m.counter("cleanup_scanned_total", "Old records that were looked at.", "category")
	m.cleanDeleted = m.counter("cleanup_deleted_total", "Old records that were removed.", "category")
	m.cleanErrors = m.counter("cleanup_errors_total", "Old records that could not be removed.", "backend", "category")
	m.storeErrors = m.counter("store_errors_total", "Calls of the store that have failed, by what they were for.", "component")
	m.deliveryLag = m.gauge("delivery_jobs_lag_seconds", "How long the last batch has waited beyond its time.", "provider")
	m.publishLag = m.gauge("publish_log_lag_seconds", "How long the last publish has waited to be planned beyond its time.").WithLabelValues()
	m.schedulerLag = m.gauge("scheduler_lag_seconds", "How late the last publish that had to wait was planned.").WithLabelValues()
	m.planner = m.histogram("planner_duration_seconds", "Time to plan a publish, or a part of it.", seconds).WithLabelValues()
	m.cleanTick = m.histogram("cleanup_tick_duration_seconds", "Time to remove old records.", seconds).WithLabelValues()
}

// app is the label of an app.
func (m *Metrics) app(id string) string {
	m.apps.Lock()
	defer m.apps.Unlock()
	if !m.apps.known[id] {
		if len(m.apps.known) >= maxApps {
			return "other"
		}
		m.apps.known[id] = true
	}
	return id
}

// Transition counts a change of a device's state.
func (m *Metrics) Transition(app string, from, to State) {
	m.transitions.WithLabelValues(string(from), string(to), m.app(app)).Inc()
}

// lag notes how long a job has waited.
func (m *Metrics) lag(queue string, d time.Duration) {
	if queue == queuePublishes {
		m.publishLag.Set(d.Seconds())
		return
	}
	m.deliveryLag.WithLabelValues(strings.TrimPrefix(queue, queueDeliveries)).Set(d.Seconds())
}
