package sockudo

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/console"
)

func consoleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "console [--site <url>] [--ttl <duration>] [--app <id>] [--publish] [--hub <name>]",
		Short: "Makes a link to the debug console, which is good for a short time",
		Long: "Makes a link to the debug console of a hub. Whoever has it may look, until it expires: treat it as a password. " +
			"The console is off unless the sockudo block of the hub says console on.",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: makeConsoleLink,
	}
	addFlags(cmd)
	flags := cmd.Flags()
	cmd.PersistentFlags().StringP("hub", "", defaultHub, "The name of the hub")
	flags.StringP("site", "", "https://localhost", "The address of a site of the hub, with the prefix of its paths if it has one")
	flags.StringP("ttl", "", "15m", "How long the link is good, 24h at most")
	flags.StringP("app", "", "", "The only app that it shows, instead of all")
	flags.BoolP("publish", "", false, "Let it publish events, close connections and send dead letters again")
	cmd.AddCommand(&cobra.Command{
		Use: "revoke", Short: "Makes all links worthless, and ends open consoles",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := ask(cmd, http.MethodDelete, consoleOf(cmd)); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "No link is good any more.")
			return err
		},
	})
	return cmd
}

// consoleOf is the console of the hub in the admin API.
func consoleOf(cmd *cobra.Command) string {
	return "/sockudo/hubs/" + url.PathEscape(flagOf(cmd, "hub")) + "/console"
}

func makeConsoleLink(cmd *cobra.Command, _ []string) error {
	site, err := url.Parse(flagOf(cmd, "site"))
	if err != nil || site.Scheme != "http" && site.Scheme != "https" || site.Host == "" {
		return fmt.Errorf("site %q is not an address such as https://realtime.example.com", flagOf(cmd, "site"))
	}
	query := url.Values{"ttl": {flagOf(cmd, "ttl")}, "app": {flagOf(cmd, "app")}, "publish": {flagOf(cmd, "publish")}}
	body, err := ask(cmd, http.MethodPost, consoleOf(cmd)+"?"+query.Encode())
	if err != nil {
		return err
	}
	return show(cmd, body, func(out io.Writer, l console.Link) error {
		may := "look at"
		if l.Publish {
			may = "look at and publish to"
		}
		what := "all apps"
		if l.App != "" {
			what = "app " + l.App
		}
		_, err := fmt.Fprintf(out, "%s\n\nWhoever has this link may %s %s until %s.\n",
			strings.TrimSuffix(site.String(), "/")+l.Path, may, what, l.Expires.Local().Format(time.DateTime))
		return err
	})
}
