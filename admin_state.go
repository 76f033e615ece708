package sockudo

import (
	"cmp"
	"slices"
	"time"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// HubState is a hub as the admin API shows it.
type HubState struct {
	// Name is the hub's name in the configuration.
	Name string `json:"name"`
	// Generation counts the configurations of this process; it is that of the one
	// whose settings are current.
	Generation uint64 `json:"generation"`
	// Configurations are those that hold the hub: one, and more during a reload.
	Configurations int `json:"configurations"`
	// NodeID names this process.
	NodeID string `json:"node_id"`
	// Sockets is the number of open connections on this node.
	Sockets int `json:"sockets"`
	// Draining says that new connections are refused.
	Draining bool `json:"draining"`
	// Drivers are the running drivers, by kind.
	Drivers map[string]string `json:"drivers"`
	// Limits are those in force.
	Limits LimitState `json:"limits"`
}

// LimitState are the limits of a hub that are in force. Zero means unlimited.
type LimitState struct {
	// MaxConnections is the number of sockets on this node.
	MaxConnections int `json:"max_connections"`
	// ConnectionPerIP is the number of open sockets of one client address.
	ConnectionPerIP int `json:"connection_per_ip"`
	// EventsPerSecond limits events where an app sets no limit of its own.
	EventsPerSecond int `json:"events_per_second"`
	// API limits HTTP calls per client address.
	API RateState `json:"api"`
	// Upgrades limits handshakes per client address.
	Upgrades RateState `json:"upgrades"`
	// PrivateAddresses says whether loopback and private addresses are limited too.
	PrivateAddresses bool `json:"private_addresses"`
	// ActivityTimeoutSeconds is the silence after which a client is pinged.
	ActivityTimeoutSeconds float64 `json:"activity_timeout_seconds"`
	// MaxPayloadBytes is the largest inbound message.
	MaxPayloadBytes int64 `json:"max_payload_bytes"`
	// MaxBodyBytes is the largest body of an HTTP call.
	MaxBodyBytes int64 `json:"max_body_bytes"`
	// QueueMessages bounds the outbound queue of a socket, in frames.
	QueueMessages int `json:"queue_messages"`
	// QueueBytes bounds the outbound queue of a socket, in bytes.
	QueueBytes int `json:"queue_bytes"`
	// EventPayloadBytes bounds the data of one event.
	EventPayloadBytes int `json:"event_payload_bytes"`
}

// RateState is a number of events in a window. Zero means unlimited.
type RateState struct {
	// Max is the number of events in one window.
	Max int `json:"max"`
	// WindowSeconds is the length of the window.
	WindowSeconds float64 `json:"window_seconds"`
}

// ChannelPage is the beginning of the list of an app's channels.
type ChannelPage struct {
	// App is the id of the app.
	App string `json:"app_id"`
	// Total counts the occupied channels with the prefix that was asked for.
	Total int `json:"total"`
	// Channels are the first of them, by name.
	Channels []realtime.ChannelState `json:"channels"`
}

// ConnectionPage is a part of the list of open sockets.
type ConnectionPage struct {
	// Connections are ordered by socket id.
	Connections []realtime.ConnState `json:"connections"`
	// Next is what to ask for with after to get the next page; empty on the last.
	Next string `json:"next,omitempty"`
}

// allHubs are the running hubs, by name.
func allHubs() []*hub {
	var all []*hub
	hubs.Range(func(_, value any) bool {
		if h, ok := value.(*hub); ok {
			all = append(all, h)
		}
		return true
	})
	slices.SortFunc(all, func(a, b *hub) int { return cmp.Compare(a.Name(), b.Name()) })
	return all
}

// findHub is a running hub, or nil.
func findHub(name string) *hub {
	for _, h := range allHubs() {
		if h.Name() == name {
			return h
		}
	}
	return nil
}

func (h *hub) state() HubState {
	s := HubState{
		Name:       h.Name(),
		Generation: h.Generation(),
		Sockets:    h.Sockets(),
		Draining:   h.Draining(),
		Drivers:    h.driverNames(),
	}
	s.Configurations, _ = hubs.References(s.Name)
	if live, err := h.Live(); err == nil {
		s.NodeID, s.Limits = live.Settings.NodeID, limitState(live.Settings)
		live.Release()
	}
	return s
}

func limitState(s *realtime.Settings) LimitState {
	rate := func(r realtime.Rate) RateState {
		if !r.On() {
			return RateState{}
		}
		return RateState{r.Max, seconds(r.Window)}
	}
	return LimitState{
		MaxConnections:         s.MaxConnections,
		ConnectionPerIP:        s.Rate.ConnectionsPerIP,
		EventsPerSecond:        s.Rate.EventsPerSecond,
		API:                    rate(s.Rate.API),
		Upgrades:               rate(s.Rate.Upgrades),
		PrivateAddresses:       !s.Rate.SkipPrivate,
		ActivityTimeoutSeconds: seconds(s.ActivityTimeout),
		MaxPayloadBytes:        s.Socket.MaxPayload,
		MaxBodyBytes:           s.HTTP.MaxBody,
		QueueMessages:          s.Socket.MaxMessages,
		QueueBytes:             s.Socket.MaxBytes,
		EventPayloadBytes:      s.Limits.EventPayload,
	}
}

func seconds(d time.Duration) float64 { return d.Seconds() }
