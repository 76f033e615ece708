package sockudo

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/push"
)

func pushCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "push [--hub <name>] [<command>]",
		Short: "Shows how push notifications are doing, and looks after those that have failed for good",
		Args:  cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askPush(cmd, http.MethodGet, "", nil, printPush)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	dead := &cobra.Command{
		Use: "dead --app <id> [--provider <name>] [--limit <n>] [--after <place>]", Short: "Lists notifications that have failed for good, oldest first",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return askPush(cmd, http.MethodGet, "/dead", []string{"app", "provider", "limit", "after"}, printPushLetters)
		},
	}
	dead.Flags().StringP("provider", "", "", "List those of one provider only")
	dead.Flags().IntP("limit", "", 100, "How many to list")
	dead.Flags().StringP("after", "", "", "Begin behind a place, which the list before has named")
	replay := &cobra.Command{
		Use: "replay <id> --app <id>", Short: "Sends one of them again",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return askPush(cmd, http.MethodPost, "/dead/"+url.PathEscape(args[0])+"/replay", []string{"app"}, printPushReplay)
		},
	}
	status := &cobra.Command{
		Use: "status <publish> --app <id>", Short: "Shows what has become of a publish",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return askPush(cmd, http.MethodGet, "/publishes/"+url.PathEscape(args[0]), []string{"app"}, printPublish)
		},
	}
	for _, one := range []*cobra.Command{dead, replay, status} {
		one.Flags().StringP("app", "", "", "The id of the app")
		_ = one.MarkFlagRequired("app") // the flag is there
		cmd.AddCommand(one)
	}
	return cmd
}

// askPush calls the admin API about the notifications of a hub. Flags become parameters of
// the same name.
func askPush[T any](cmd *cobra.Command, method, path string, flags []string, write func(io.Writer, T) error) error {
	body, err := askHub(cmd, method, "/push"+path, queryOf(cmd, flags...), nil, nil)
	if err != nil {
		return err
	}
	return show(cmd, body, write)
}

func printPush(out io.Writer, r PushReport) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "STAGE\tREADY\tLATER\tUNDER WAY\tBYTES") // the writer keeps what it is given; Flush reports
	for _, s := range r.Stages {
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", s.Stage, s.Ready, s.Delayed, s.Active, s.Bytes)
	}
	return t.Flush()
}

func printPushLetters(out io.Writer, page PushLetters) error {
	if len(page.Letters) == 0 {
		_, err := fmt.Fprintln(out, "There are no dead letters.")
		return err
	}
	rows := [][]string{{"ID", "FAILED", "PUBLISH", "PROVIDER", "REPLAYABLE", "REASON"}}
	for _, l := range page.Letters {
		rows = append(rows, []string{l.ID, time.UnixMilli(l.OccurredAtMS).Format(time.RFC3339), l.PublishID, l.Provider.Key(), fmt.Sprint(l.Replayable), l.Reason})
	}
	if err := table(out, rows); err != nil || page.Next == "" {
		return err
	}
	_, err := fmt.Fprintf(out, "There are more: --after %s\n", printable(page.Next))
	return err
}

func printPushReplay(out io.Writer, r PushReplay) error {
	_, err := fmt.Fprintf(out, "It is sent again, as %s.\n", printable(r.Batch))
	return err
}

func printPublish(out io.Writer, s push.Status) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	c := s.Counters
	for _, line := range [][2]string{
		{"publish", s.PublishID + " of app " + s.AppID},
		{"state", s.State},
		{"reason", s.ErrorReason},
		{"recipients", fmt.Sprintf("%d planned, %d left out", c.Planned, c.Suppressed)},
		{"notifications", fmt.Sprintf("%d delivered, %d failed, %d expired, %d dead", c.Succeeded, c.Failed, c.Expired, c.DeadLettered)},
		{"retries", fmt.Sprintf("%d scheduled, %d attempted, %d dead letters sent again", c.RetryScheduled, c.RetryAttempted, c.Replayed)},
	} {
		if line[1] != "" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", line[0], printable(line[1]))
		}
	}
	return t.Flush()
}
