package realtime

import (
	"go.uber.org/zap"

	"github.com/sockudo/caddy-sockudo/internal/meter"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
	"github.com/sockudo/caddy-sockudo/storage"
)

// Metrics are what a hub counts, in its registry of metrics.
type Metrics struct {
	connected, active                          *meter.GaugeVec
	connections, disconnections                *meter.CounterVec
	errors                                     *meter.CounterVec
	bytesIn, bytesOut, messagesIn, messagesOut *meter.CounterVec
	httpBytesIn, httpBytesOut, httpCalls       *meter.CounterVec
	subscriptions, unsubscriptions             *meter.CounterVec
	rateChecks, rateTriggers                   *meter.CounterVec
	idempotencyPublish, idempotencyDuplicates  *meter.CounterVec
	slowConsumers, dropped                     *meter.CounterVec
	pushIgnored                                *meter.CounterVec
	v2                                         metricsV2
	history                                    metricsHistory
}

func newMetrics(r *meter.Registry) *Metrics {
	m := &Metrics{}
	counter := func(name, help string, more ...string) *meter.CounterVec {
		return r.Counters(name, help, append([]string{"app_id"}, more...)...)
	}
	gauge := func(name, help string, more ...string) *meter.GaugeVec {
		return r.Gauges(name, help, append([]string{"app_id"}, more...)...)
	}
	m.connected = gauge("connected", "Open connections.")
	m.active = gauge("active_channels", "Occupied channels.", "channel_type")
	m.connections = counter("new_connections_total", "Connections admitted.")
	m.disconnections = counter("new_disconnections_total", "Connections ended.")
	m.errors = counter("connection_errors_total", "Connections refused and messages not understood, by reason.", "error_type")
	m.bytesIn = counter("socket_received_bytes", "Bytes of inbound messages.")
	m.bytesOut = counter("socket_transmitted_bytes", "Bytes of outbound frames.")
	m.messagesIn = counter("ws_messages_received_total", "Inbound messages.")
	m.messagesOut = counter("ws_messages_sent_total", "Outbound fan-out frames.")
	m.httpBytesIn = counter("http_received_bytes", "Bytes of HTTP API request bodies.")
	m.httpBytesOut = counter("http_transmitted_bytes", "Bytes of HTTP API response bodies.")
	m.httpCalls = counter("http_calls_received_total", "HTTP API calls.")
	m.subscriptions = counter("channel_subscriptions_total", "Channel subscriptions.", "channel_type")
	m.unsubscriptions = counter("channel_unsubscriptions_total", "Channel subscriptions ended.", "channel_type")
	m.rateChecks = counter("rate_limit_checks_total", "Rate limit checks.", "limiter_type")
	m.rateTriggers = counter("rate_limit_triggered_total", "Rate limit refusals.", "limiter_type")
	m.idempotencyPublish = counter("idempotency_publish_total", "Publishes with an idempotency key.")
	m.idempotencyDuplicates = counter("idempotency_duplicates_total", "Publishes that repeated a key.")
	m.slowConsumers = counter("slow_consumer_disconnects_total", "Connections closed because they were too slow.")
	m.pushIgnored = counter("push_extras_ignored_total", "Published events whose extras.push was ignored, because push notifications are off.")
	m.v2 = newMetricsV2(counter)
	m.history = newMetricsHistory(counter, func(name, help string, buckets []float64, more ...string) *meter.HistogramVec {
		return r.Histograms(name, help, buckets, append([]string{"app_id"}, more...)...)
	})
	m.dropped = counter("messages_dropped_total", "Frames dropped, by reason.", "reason")
	return m
}

// countUnreadable adds the gauge of app records that cannot be read, which is
// asked for when metrics are.
func countUnreadable(h *Hub) {
	h.meter.GaugeFunc("app_records_unreadable", "Records of the app manager that cannot be read, whose apps are not served.", func() float64 {
		live, err := h.Live()
		if err != nil {
			return 0
		}
		defer live.Release()
		if u, ok := live.Settings.Drivers.Apps.(storage.UnreadableApps); ok {
			return float64(u.UnreadableApps())
		}
		return 0
	})
}

func (m *Metrics) refused(app, reason string) { m.errors.WithLabelValues(app, reason).Inc() }

// RateChecked counts a check of a limit per client address.
func (m *Metrics) RateChecked(limiter string, allowed bool) {
	m.rateChecks.WithLabelValues("global", limiter).Inc()
	if !allowed {
		m.rateTriggers.WithLabelValues("global", limiter).Inc()
	}
}

// appMeter holds the collectors of one app, looked up once.
type appMeter struct {
	m   *Metrics
	app string

	connectedGauge                             *meter.Gauge
	bytesIn, bytesOut, messagesIn, messagesOut *meter.Counter
	httpIn, httpOut, httpCalls                 *meter.Counter
	active                                     [4]*meter.Gauge
	subs, unsubs                               [4]*meter.Counter
	meterV2
}

func (m *Metrics) app(id string) *appMeter {
	a := &appMeter{
		m: m, app: id,
		connectedGauge: m.connected.WithLabelValues(id),
		bytesIn:        m.bytesIn.WithLabelValues(id),
		bytesOut:       m.bytesOut.WithLabelValues(id),
		messagesIn:     m.messagesIn.WithLabelValues(id),
		messagesOut:    m.messagesOut.WithLabelValues(id),
		httpIn:         m.httpBytesIn.WithLabelValues(id),
		httpOut:        m.httpBytesOut.WithLabelValues(id),
		httpCalls:      m.httpCalls.WithLabelValues(id),
		meterV2:        m.v2.app(id),
	}
	for k := protocol.Public; k <= protocol.Presence; k++ {
		a.active[k] = m.active.WithLabelValues(id, k.String())
		a.subs[k] = m.subscriptions.WithLabelValues(id, k.String())
		a.unsubs[k] = m.unsubscriptions.WithLabelValues(id, k.String())
	}
	return a
}

func (a *appMeter) connected() {
	a.connectedGauge.Inc()
	a.m.connections.WithLabelValues(a.app).Inc()
}

func (a *appMeter) disconnected() {
	a.connectedGauge.Dec()
	a.m.disconnections.WithLabelValues(a.app).Inc()
}

func (a *appMeter) channelAdded(k protocol.Kind)   { a.active[k].Inc() }
func (a *appMeter) channelRemoved(k protocol.Kind) { a.active[k].Dec() }
func (a *appMeter) subscribed(k protocol.Kind)     { a.subs[k].Inc() }
func (a *appMeter) unsubscribed(k protocol.Kind)   { a.unsubs[k].Inc() }

func (a *appMeter) received(bytes int) {
	a.messagesIn.Inc()
	a.bytesIn.Add(float64(bytes))
}

func (a *appMeter) sent(frames, bytes int) {
	if frames > 0 {
		a.messagesOut.Add(float64(frames))
		a.bytesOut.Add(float64(bytes))
	}
}

func (a *appMeter) rateChecked(limiter string) { a.m.rateChecks.WithLabelValues(a.app, limiter).Inc() }

func (a *appMeter) rateTriggered(limiter string) {
	a.m.rateTriggers.WithLabelValues(a.app, limiter).Inc()
}

// failed counts an error frame, by the kind of its cause.
func (a *appMeter) failed(e *protocol.Error) {
	reason := "client_event"
	switch {
	case e == protocol.ErrEventRequired:
		reason = "missing_event_name"
	case e == protocol.ErrRateLimited, e == protocol.ErrRateTerminated:
		reason = "rate_limited"
	case e.Code == protocol.CodeGenericError:
		reason = "invalid_message_format"
	case e.Code == protocol.CodeUnauthorized:
		reason = "not_authorized"
	case e.Code == protocol.CodeChannelError:
		reason = "channel"
	case e.Code == protocol.CodeOverCapacity:
		reason = "over_capacity"
	}
	a.m.errors.WithLabelValues(a.app, reason).Inc()
}

// SlowConsumer counts a connection of the app that was closed for being too slow.
func (c *Conn) SlowConsumer() {
	c.app.meter.m.slowConsumers.WithLabelValues(c.app.id).Inc()
	c.hub.log().Info("closing a slow connection", zap.String("app", c.app.id), zap.String("socket_id", c.id), zap.String("client_ip", c.clientIP))
}

// Dropped counts frames that a slow connection did not get.
func (c *Conn) Dropped(frames int) {
	c.app.meter.m.dropped.WithLabelValues(c.app.id, "slow_consumer").Add(float64(frames))
}

// HTTPCall counts one call of the HTTP API.
func (h *Hub) HTTPCall(app *storage.App, received, transmitted int) {
	m := h.app(app, 0).meter
	m.httpCalls.Inc()
	m.httpIn.Add(float64(received))
	m.httpOut.Add(float64(transmitted))
}

// Idempotent counts a publish with an idempotency key.
func (h *Hub) Idempotent(app string, duplicate bool) {
	h.metrics.idempotencyPublish.WithLabelValues(app).Inc()
	if duplicate {
		h.metrics.idempotencyDuplicates.WithLabelValues(app).Inc()
	}
}
