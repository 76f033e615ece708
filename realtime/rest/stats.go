package rest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime/metrics"
	"strconv"

	"github.com/sockudo/caddy-sockudo/realtime"
)

// Stats are what /stats and the admin API tell about a hub on this node.
type Stats struct {
	Memory          Memory              `json:"memory"`
	History         HistoryStats        `json:"history"`
	PresenceHistory HistoryStats        `json:"presence_history"`
	Totals          Totals              `json:"totals"`
	Apps            []realtime.AppState `json:"apps"`
}

// HistoryStats describe a history store. V1 has none, so it is always disabled.
type HistoryStats struct {
	Enabled               bool   `json:"enabled"`
	Backend               string `json:"backend"`
	StateAuthority        string `json:"state_authority"`
	DegradedChannels      int    `json:"degraded_channels"`
	ResetRequiredChannels int    `json:"reset_required_channels"`
	QueueDepth            int    `json:"queue_depth"`
}

// Totals are the sums over all apps.
type Totals struct {
	Apps                int                `json:"apps"`
	Connections         int                `json:"connections"`
	Authenticated       int                `json:"authenticated_connections"`
	Users               int                `json:"users"`
	ConnectionsWithMeta int                `json:"connections_with_meta"`
	Occupancy           realtime.Occupancy `json:"occupancy"`
}

var historyDisabled = HistoryStats{Backend: "disabled", StateAuthority: "disabled"}

// ReadStats collects the statistics of a hub on this node. Its apps are ordered
// by id.
func ReadStats(ctx context.Context, hub *realtime.Hub) (Stats, error) {
	live, err := hub.Live()
	if err != nil {
		return Stats{}, err
	}
	defer live.Release()
	apps, err := live.Settings.Drivers.Apps.Apps(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("listing apps: %w", err)
	}
	stats := Stats{Memory: ReadMemory(), History: historyDisabled, PresenceHistory: historyDisabled, Apps: []realtime.AppState{}}
	for _, app := range apps {
		state := hub.AppState(app)
		stats.Apps = append(stats.Apps, state)
		stats.Totals.add(state)
	}
	return stats, nil
}

func (t *Totals) add(a realtime.AppState) {
	t.Apps++
	t.Connections += a.Connections
	t.Authenticated += a.Authenticated
	t.Users += a.Users
	t.ConnectionsWithMeta += a.ConnectionsWithMeta
	t.Occupancy.Channels += a.Occupancy.Channels
	t.Occupancy.Subscriptions += a.Occupancy.Subscriptions
	t.Occupancy.PresenceChannels += a.Occupancy.PresenceChannels
	t.Occupancy.PresenceSubscriptions += a.Occupancy.PresenceSubscriptions
	t.Occupancy.PresenceMembers += a.Occupancy.PresenceMembers
}

// Memory is the memory of the machine in bytes: free is what programs could
// still have, used the rest.
type Memory struct {
	Free    uint64  `json:"free"`
	Used    uint64  `json:"used"`
	Total   uint64  `json:"total"`
	Percent float64 `json:"percent"`
}

// ReadMemory reads the machine's memory where the system tells it, and else what
// this process has.
func ReadMemory() Memory {
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if m, ok := parseMeminfo(text); ok {
			return m
		}
	}
	const total, free, released = "/memory/classes/total:bytes", "/memory/classes/heap/free:bytes", "/memory/classes/heap/released:bytes"
	samples := []metrics.Sample{{Name: total}, {Name: free}, {Name: released}}
	metrics.Read(samples)
	return memoryOf(samples[0].Value.Uint64(), samples[1].Value.Uint64()+samples[2].Value.Uint64())
}

func memoryOf(total, free uint64) Memory {
	m := Memory{Total: total, Free: free, Used: total - min(free, total)}
	if total > 0 {
		m.Percent = float64(m.Used) / float64(total) * 100
	}
	return m
}

// parseMeminfo reads the text of /proc/meminfo, which counts in KiB.
func parseMeminfo(text []byte) (Memory, bool) {
	values := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, ok := bytes.Cut(lines.Bytes(), []byte(":"))
		fields := bytes.Fields(rest)
		if !ok || len(fields) == 0 {
			continue
		}
		if n, err := strconv.ParseUint(string(fields[0]), 10, 64); err == nil {
			values[string(name)] = n << 10
		}
	}
	total, ok1 := values["MemTotal"]
	free, ok2 := values["MemAvailable"]
	return memoryOf(total, free), ok1 && ok2 && total > 0
}
