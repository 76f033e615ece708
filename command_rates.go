package sockudo

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// HubRates are what happens in a hub in a second.
type HubRates struct {
	// Connections are those that are admitted.
	Connections float64 `json:"connections"`
	// Received are inbound messages of clients.
	Received float64 `json:"messages_received"`
	// Sent are frames to clients.
	Sent float64 `json:"messages_sent"`
	// Calls are those of the HTTP API.
	Calls float64 `json:"http_calls"`
}

// text is the rates in one line, and empty where they were not measured.
func (r *HubRates) text() string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("%.1f connections, %.1f messages received, %.1f sent, %.1f HTTP calls a second", r.Connections, r.Received, r.Sent, r.Calls)
}

// rateNames are the ends of the names of counters. What is before them is configured.
var rateNames = map[string]func(*HubRates) *float64{
	"_new_connections_total":      func(r *HubRates) *float64 { return &r.Connections },
	"_ws_messages_received_total": func(r *HubRates) *float64 { return &r.Received },
	"_ws_messages_sent_total":     func(r *HubRates) *float64 { return &r.Sent },
	"_http_calls_received_total":  func(r *HubRates) *float64 { return &r.Calls },
}

// rates looks at the counters of all hubs twice.
func (a *adminClient) rates(ctx context.Context, reports []HubReport) error {
	before, err := a.counters(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if !wait.For(ctx, time.Second) {
		return ctx.Err()
	}
	after, err := a.counters(ctx)
	if err != nil {
		return err
	}
	seconds := time.Since(began).Seconds()
	for i := range reports {
		r := new(HubRates)
		for _, of := range rateNames {
			now, then := after[reports[i].Name], before[reports[i].Name]
			*of(r) = max(0, *of(&now)-*of(&then)) / seconds // a new configuration may have begun anew
		}
		reports[i].Rates = r
	}
	return nil
}

// counters are the sums of counters by hub, over all apps.
func (a *adminClient) counters(ctx context.Context) (map[string]HubRates, error) {
	text, err := a.call(ctx, http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		return nil, joinedError("reading the metrics", err)
	}
	sums := map[string]HubRates{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, ok := strings.Cut(lines.Text(), "{")
		labels, value, ok2 := cutLast(rest, "} ")
		if !ok || !ok2 {
			continue
		}
		for end, of := range rateNames {
			if !strings.HasSuffix(name, end) {
				continue
			}
			hub, known := labelOf(labels, "hub")
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if known && err == nil {
				sum := sums[hub]
				*of(&sum) += n
				sums[hub] = sum
			}
		}
	}
	return sums, nil
}

func cutLast(text, separator string) (before, after string, ok bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// labelOf is the value of a label in the text form of metrics.
func labelOf(labels, name string) (string, bool) {
	_, rest, ok := strings.Cut(","+labels, ","+name+`="`)
	if !ok {
		return "", false
	}
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			value, err := strconv.Unquote(`"` + rest[:i] + `"`)
			return value, err == nil
		}
	}
	return "", false
}
