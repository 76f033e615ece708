package sockudo

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/webhooks"
)

func webhooksCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "webhooks [--hub <name>] [<command>]",
		Short: "Shows how webhooks are doing, and looks after those that have failed for good",
		Args:  cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askWebhooks(cmd, http.MethodGet, "", printWebhooks)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	dead := &cobra.Command{
		Use: "dead [--limit <n>]", Short: "Lists requests that have failed for good, oldest first",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askWebhooks(cmd, http.MethodGet, "/dead?limit="+url.QueryEscape(flagOf(cmd, "limit")), printLetters)
		},
	}
	dead.Flags().IntP("limit", "", 100, "How many to list")
	show := &cobra.Command{
		Use: "show <key>", Short: "Shows one of them, with its events",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return askWebhooks(cmd, http.MethodGet, "/dead/"+url.PathEscape(args[0]), printLetter)
		},
	}
	replay := &cobra.Command{
		Use: "replay <key> | --all", Short: "Sends one of them again, or all",
		Args: cobra.MaximumNArgs(1), SilenceUsage: true,
		RunE: replayWebhooks,
	}
	replay.Flags().BoolP("all", "", false, "Send all of them again")
	purge := &cobra.Command{
		Use: "purge", Short: "Throws all of them away",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askWebhooks(cmd, http.MethodDelete, "/dead", printCount("thrown away"))
		},
	}
	cmd.AddCommand(dead, show, replay, purge)
	return cmd
}

func replayWebhooks(cmd *cobra.Command, args []string) error {
	all := flagOf(cmd, "all") == "true"
	if all == (len(args) == 1) {
		return errors.New("write the key of one, or --all")
	}
	if !all {
		return askWebhooks(cmd, http.MethodPost, "/dead/"+url.PathEscape(args[0])+"/replay", printCount("queued again"))
	}
	n, err := replayAll(cmd, deadWebhooks, func(key string) string { return "/webhooks/dead/" + url.PathEscape(key) + "/replay" })
	if err != nil {
		return err
	}
	return showCount(cmd, n, "queued again")
}

// askWebhooks calls the admin API about the webhooks of a hub.
func askWebhooks[T any](cmd *cobra.Command, method, path string, write func(io.Writer, T) error) error {
	body, err := askHub(cmd, method, "/webhooks"+path, nil, nil, nil)
	if err != nil {
		return err
	}
	return show(cmd, body, write)
}

func printWebhooks(out io.Writer, r webhooks.Report) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		text := make([]string, len(cells))
		for i, cell := range cells {
			text[i] = printable(fmt.Sprint(cell))
		}
		_, _ = fmt.Fprintln(t, strings.Join(text, "\t")) // the writer keeps what it is given; Flush reports
	}
	line("queued", fmt.Sprintf("%d to send, %d to send later, %d under way", r.Ready, r.Delayed, r.Active))
	line("dead letters", r.Dead)
	line("bytes", r.Bytes)
	if r.OldestSeconds != nil {
		line("oldest", time.Duration(*r.OldestSeconds*float64(time.Second)).Round(time.Millisecond))
	}
	for _, e := range r.Endpoints {
		line()
		line("endpoint", e.Endpoint+" of app "+e.App)
		line("place", e.Place)
		line("state", e.State)
		line("requests", fmt.Sprintf("%d delivered, %d attempts failed, %d dead, %d under way", e.Delivered, e.Failed, e.Dead, e.InFlight))
		if e.LastFailureAt != nil {
			line("last failure", e.LastFailure+", at "+e.LastFailureAt.Format(time.RFC3339))
		}
	}
	return t.Flush()
}

func printLetters(out io.Writer, letters []webhooks.Letter) error {
	if len(letters) == 0 {
		_, err := fmt.Fprintln(out, "There are no dead letters.")
		return err
	}
	rows := [][]string{{"KEY", "FAILED", "APP", "ENDPOINT", "EVENTS", "ATTEMPTS", "REASON"}}
	for _, l := range letters {
		rows = append(rows, []string{l.Key, l.FailedAt.Format(time.RFC3339), l.App, l.Endpoint, fmt.Sprint(l.Count), fmt.Sprint(l.Attempts), l.Reason})
	}
	return table(out, rows)
}

func printLetter(out io.Writer, l webhooks.Letter) error {
	return table(out, [][]string{
		{"key", l.Key},
		{"id", l.ID},
		{"app", l.App},
		{"endpoint", l.Endpoint},
		{"place", l.Place},
		{"attempts", fmt.Sprint(l.Attempts)},
		{"failed", l.FailedAt.Format(time.RFC3339)},
		{"reason", l.Reason},
		{"happened", time.UnixMilli(l.TimeMS).Format(time.RFC3339)},
		{"events", string(l.Events)},
	})
}

func printCount(what string) func(io.Writer, WebhookCount) error {
	return func(out io.Writer, c WebhookCount) error {
		_, err := fmt.Fprintf(out, "%d dead letters %s.\n", c.Letters, what)
		return err
	}
}
