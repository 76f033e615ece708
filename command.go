package sockudo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sockudo",
		Usage: "<command>",
		Short: "Looks after the realtime server of a running Caddy",
		Long:  "Looks after the realtime server of a running Caddy, through its admin API.",
		CobraFunc: func(cmd *cobra.Command) {
			cmd.AddCommand(statusCommand(), webhooksCommand(), pushCommand(), vapidKeysCommand())
			cmd.AddCommand(signCommand(), tokenCommand())
			cmd.AddCommand(importCommand())
		},
	})
}

func statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [--address <interface>] [--config <path> [--adapter <name>]] [--json]",
		Short: "Shows the hubs of a running Caddy, with their sockets, drivers and limits",
		Args:  cobra.NoArgs,
		RunE:  status,
		// An error is not a question of how to call the command.
		SilenceUsage: true,
	}
	addFlags(cmd)
	return cmd
}

// addFlags adds those that say where the admin API is and how to write its answer.
func addFlags(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringP("address", "", "", "The address of the admin API, if it is not the default one")
	flags.StringP("config", "c", "", "A configuration file that says where the admin API is")
	flags.StringP("adapter", "a", "", "The adapter of that configuration file")
	flags.BoolP("json", "", false, "Write JSON, as the admin API has it")
}

// ask calls the admin API and reads its answer.
func ask(cmd *cobra.Command, method, path string) ([]byte, error) {
	flag := func(name string) string { return cmd.Flag(name).Value.String() }
	address, err := caddycmd.DetermineAdminAPIAddress(flag("address"), nil, flag("config"), flag("adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin API: %w", err)
	}
	resp, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the admin API: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return body, nil
}

// show writes an answer as it is, if that was asked for, or as write does.
func show[T any](cmd *cobra.Command, body []byte, write func(io.Writer, T) error) error {
	if cmd.Flag("json").Value.String() == "true" {
		_, err := cmd.OutOrStdout().Write(body)
		return err
	}
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return write(cmd.OutOrStdout(), v)
}

func status(cmd *cobra.Command, _ []string) error {
	body, err := ask(cmd, http.MethodGet, "/sockudo/hubs")
	if err != nil {
		return err
	}
	return show(cmd, body, printHubs)
}

func printHubs(out io.Writer, states []HubState) error {
	if len(states) == 0 {
		_, err := fmt.Fprintln(out, "There is no hub.")
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, s := range states {
		if i > 0 {
			_, _ = fmt.Fprintln(t) // the writer keeps what it is given; Flush reports
		}
		for _, line := range hubLines(s) {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", line[0], line[1])
		}
	}
	return t.Flush()
}

// hubLines are names and values.
func hubLines(s HubState) [][2]string {
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
