package sockudo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/realtime"
	"github.com/sockudo/caddy-sockudo/realtime/rest"
)

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--rates] [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		Short: "Shows the hubs of a running Caddy, with their health, nodes, sockets, drivers and limits",
		Args:  cobra.NoArgs,
		RunE:  status,
		// An error is not a question of how to call the command.
		SilenceUsage: true,
	}
	addFlags(cmd)
	cmd.Flags().BoolP("rates", "", false, "Look twice, a second apart, and show what happens in a second")
	return cmd
}

// HubReport is a hub as the command status shows it.
type HubReport struct {
	HubState

	// Health is the state of what the hub depends on.
	Health *rest.Report `json:"health,omitempty"`
	// Nodes are the other nodes of the cluster.
	Nodes []realtime.NodeState `json:"nodes,omitempty"`
	// Rates are what happens in a second, if that was asked for.
	Rates *HubRates `json:"rates,omitempty"`
}

func status(cmd *cobra.Command, _ []string) error {
	a, err := newAdminClient(cmd)
	if err != nil {
		return err
	}
	ctx := contextOf(cmd)
	body, err := a.call(ctx, http.MethodGet, "/sockudo/hubs", nil, nil)
	if err != nil {
		return err
	}
	var reports []HubReport
	if err := json.Unmarshal(body, &reports); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	for i := range reports {
		r, hub := &reports[i], "/sockudo/hubs/"+url.PathEscape(reports[i].Name)
		// A hub may have ended meanwhile, and what is not well answers 503.
		if text, err := a.read(ctx, hub+"/health/ready"); err == nil {
			_ = json.Unmarshal(text, &r.Health)
		}
		if text, err := a.read(ctx, hub+"/nodes"); err == nil {
			_ = json.Unmarshal(text, &r.Nodes)
		}
	}
	if flagOf(cmd, "rates") == "true" {
		if err := a.rates(ctx, reports); err != nil {
			return err
		}
	}
	if asksJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(reports)
	}
	return printHubs(cmd.OutOrStdout(), reports)
}

func printHubs(out io.Writer, reports []HubReport) error {
	if len(reports) == 0 {
		_, err := fmt.Fprintln(out, "There is no hub.")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, r := range reports {
		if i > 0 {
			_, _ = fmt.Fprintln(t) // the writer keeps what it is given; Flush reports
		}
		for _, line := range hubLines(r) {
			if line[1] == "" {
				continue
			}
			value := printable(line[1])
			switch value { // the last column may have colours: nothing is aligned behind it
			case "serving", "OK":
				value = paint(out, green, value)
			case "draining":
				value = paint(out, yellow, value)
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\n", line[0], value)
		}
	}
	return t.Flush()
}

// hubLines are names and values.
func hubLines(s HubReport) [][2]string {
	state := "serving"
	if s.Draining {
		state = "draining"
	}
	var running []string
	for _, kind := range sortedKeys(s.Drivers) {
		running = append(running, kind+" "+s.Drivers[kind])
	}
	l := s.Limits
	private := "not limited"
	if l.PrivateAddresses {
		private = "limited like others"
	}
	return [][2]string{
		{"hub", s.Name},
		{"state", state},
		{"generation", fmt.Sprint(s.Generation)},
		{"node", s.NodeID},
		{"health", s.healthText()},
		{"other nodes", s.nodesText()},
		{"rates", s.Rates.text()},
		{"sockets", fmt.Sprintf("%d of %s", s.Sockets, orUnlimited(l.MaxConnections))},
		{"drivers", strings.Join(running, ", ")},
		{"sockets per address", orUnlimited(l.ConnectionPerIP)},
		{"handshakes per address", l.Upgrades.String()},
		{"HTTP calls per address", l.API.String()},
		{"private addresses", private},
		{"events per second", orUnlimited(l.EventsPerSecond)},
		{"inbound message", fmt.Sprintf("%d bytes", l.MaxPayloadBytes)},
		{"event payload", fmt.Sprintf("%d bytes", l.EventPayloadBytes)},
		{"HTTP body", fmt.Sprintf("%d bytes", l.MaxBodyBytes)},
		{"outbound queue", fmt.Sprintf("%s frames, %s bytes", orUnlimited(l.QueueMessages), orUnlimited(l.QueueBytes))},
		{"activity timeout", fmt.Sprintf("%gs", l.ActivityTimeoutSeconds)},
	}
}

// healthText is the health in one line, with what is not well.
func (r *HubReport) healthText() string {
	if r.Health == nil {
		return ""
	}
	lines := []string{string(r.Health.Status)}
	for _, name := range sortedKeys(r.Health.Dependencies) {
		if d := r.Health.Dependencies[name]; !d.OK {
			lines = append(lines, name+": "+d.Error)
		}
	}
	return strings.Join(lines, ", ")
}

// nodesText are the names of the other nodes, and for how long they have been silent.
func (r *HubReport) nodesText() string {
	var names []string
	for _, n := range r.Nodes {
		names = append(names, fmt.Sprintf("%s (heard %v ago)", n.Node, (time.Duration(n.SilentMS)*time.Millisecond).Round(100*time.Millisecond)))
	}
	return strings.Join(names, ", ")
}

func (r RateState) String() string {
	if r.Max == 0 {
		return orUnlimited(0)
	}
	return fmt.Sprintf("%d in %gs", r.Max, r.WindowSeconds)
}

func orUnlimited(n int) string {
	if n == 0 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}
