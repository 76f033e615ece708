package realtime

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Counts is what a hub, or one app of it, has counted on this node. All but Connections
// only grow while the hub lives, over reloads too.
type Counts struct {
	// Connections are those that are open now.
	Connections float64 `json:"connections"`
	// Opened and Closed count connections.
	Opened float64 `json:"opened"`
	Closed float64 `json:"closed"`
	// MessagesIn are those of clients, MessagesOut what they got of events, and Calls those of the HTTP API.
	MessagesIn  float64 `json:"messages_in"`
	MessagesOut float64 `json:"messages_out"`
	Calls       float64 `json:"calls"`
	// BytesIn and BytesOut are those of sockets.
	BytesIn  float64 `json:"bytes_in"`
	BytesOut float64 `json:"bytes_out"`
	// Limited counts refusals by a rate limit, and Errors other refusals of connections and messages.
	// Limits per client address are counted for the hub and for no app.
	Limited float64 `json:"limited"`
	Errors  float64 `json:"errors"`
	// Dropped counts frames that slow connections did not get.
	Dropped float64 `json:"dropped"`
}

// Counts adds up what is counted of an app, or of all apps if app is "".
func (h *Hub) Counts(app string) Counts {
	m := h.metrics
	return Counts{
		Connections: total(m.connected, app),
		Opened:      total(m.connections, app), Closed: total(m.disconnections, app),
		MessagesIn: total(m.messagesIn, app), MessagesOut: total(m.messagesOut, app), Calls: total(m.httpCalls, app),
		BytesIn: total(m.bytesIn, app), BytesOut: total(m.bytesOut, app),
		Limited: total(m.rateTriggers, app), Errors: total(m.errors, app), Dropped: total(m.dropped, app),
	}
}

// total adds up the values of a vector, those of one app unless app is "".
func total(c interface {
	Collect(to chan<- prometheus.Metric)
}, app string,
) (sum float64) {
	all := make(chan prometheus.Metric, 64)
	go func() {
		defer close(all)
		c.Collect(all)
	}()
	for metric := range all {
		var m dto.Metric
		if metric.Write(&m) != nil || app != "" && !ofApp(&m, app) {
			continue
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() // it has one of them
	}
	return sum
}

func ofApp(m *dto.Metric, app string) bool {
	for _, l := range m.GetLabel() {
		if l.GetName() == "app_id" {
			return l.GetValue() == app
		}
	}
	return false
}
