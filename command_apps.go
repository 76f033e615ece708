package sockudo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/realtime"
)

func appsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apps [--hub <name>] [<command>]", Short: "Lists the apps of a hub, and looks after those in a store",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := askHub(cmd, http.MethodGet, "/apps", nil, nil, nil)
			if err != nil {
				return err
			}
			return show(cmd, body, printApps)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	showApp := &cobra.Command{
		Use: "show <id>", Short: "Shows one app, without its secrets",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error { return askApp(cmd, http.MethodGet, args[0], nil, nil) },
	}
	put := &cobra.Command{
		Use: "put <id> [<file> | -]", Short: "Makes an app, or replaces it as a whole: the file is the app in JSON, as in the configuration",
		Long: "Makes an app, or replaces it as a whole: the file is the app in JSON, as in the configuration. What it does not name has its\n" +
			"default; a key and a secret stay, and are made for a new app. A secret that was made is shown this once.",
		Args: cobra.RangeArgs(1, 2), SilenceUsage: true,
		RunE: putApp,
	}
	remove := &cobra.Command{
		Use: "delete <id>", Short: "Removes an app and closes its sockets",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: deleteApp,
	}
	rotate := &cobra.Command{
		Use: "rotate-secret <id> [--overlap <duration>]", Short: "Gives an app a new secret, and shows it this once",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: rotateSecret,
	}
	rotate.Flags().StringP("overlap", "", "", "How long the old secret stays good, such as 24h")
	for _, one := range []*cobra.Command{put, remove, rotate} {
		one.Flags().StringP("version", "", "", "The version of the app that is changed, as show tells it; the change is refused if it has another one by now")
	}
	cmd.AddCommand(showApp, put, remove, rotate)
	return cmd
}

// askApp calls the admin API about one app, and shows it.
func askApp(cmd *cobra.Command, method, id string, header http.Header, body io.Reader) error {
	text, err := askHub(cmd, method, "/apps/"+url.PathEscape(id), nil, header, body)
	if err != nil {
		return err
	}
	return show(cmd, text, printApp)
}

// matching says which version of an app is meant, any one unless a flag names it.
func matching(cmd *cobra.Command) http.Header {
	version := flagOf(cmd, "version")
	if version == "" {
		return http.Header{"If-Match": {"*"}}
	}
	return http.Header{"If-Match": {`"` + version + `"`}}
}

func putApp(cmd *cobra.Command, args []string) error {
	record := []byte("{}")
	if len(args) == 2 {
		var err error
		if record, err = readFile(cmd, args[1]); err != nil {
			return err
		}
	}
	header := matching(cmd)
	if flagOf(cmd, "version") == "" { // a new app has no version that could match
		_, err := askHub(cmd, http.MethodGet, "/apps/"+url.PathEscape(args[0]), nil, nil, nil)
		if err != nil && exitCode(err) != exitMissing {
			return err
		}
		if err != nil {
			header = http.Header{"If-None-Match": {"*"}}
		}
	}
	return askApp(cmd, http.MethodPut, args[0], header, bytes.NewReader(record))
}

func deleteApp(cmd *cobra.Command, args []string) error {
	_, err := askHub(cmd, http.MethodDelete, "/apps/"+url.PathEscape(args[0]), nil, matching(cmd), nil)
	if err != nil {
		return err
	}
	if asksJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"deleted": args[0]})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "App %s is removed.\n", printable(args[0]))
	return err
}

// rotateSecret puts an app back as it is shown, with a new secret.
func rotateSecret(cmd *cobra.Command, args []string) error {
	text, err := askHub(cmd, http.MethodGet, "/apps/"+url.PathEscape(args[0]), nil, nil, nil)
	if err != nil {
		return err
	}
	var app AppRecord
	if err := json.Unmarshal(text, &app); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	change := map[string]any{"enabled": app.Enabled, "policy": app.Policy, "rotate_secret": true}
	if overlap := flagOf(cmd, "overlap"); overlap != "" {
		change["secret_overlap"] = overlap
	}
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	header := matching(cmd)
	if flagOf(cmd, "version") == "" {
		header.Set("If-Match", `"`+app.Version+`"`) // what was read is what is changed
	}
	return askApp(cmd, http.MethodPut, args[0], header, bytes.NewReader(body))
}

// readFile reads what an argument names: a file, or the standard input as "-".
func readFile(cmd *cobra.Command, name string) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // the caller's file
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxCommandInput+1))
	if err == nil && len(text) > maxCommandInput {
		err = errors.New("it is larger than 16 MiB")
	}
	return text, joinedError("reading "+name, err)
}

// maxCommandInput bounds what a command reads of a file, in bytes.
const maxCommandInput = 16 << 20

func printApps(out io.Writer, apps []realtime.AppState) error {
	if len(apps) == 0 {
		_, err := fmt.Fprintln(out, "There is no app.")
		return err
	}
	rows := [][]string{{"APP", "ENABLED", "SOCKETS", "USERS", "CHANNELS", "SUBSCRIPTIONS", "MEMBERS"}}
	for _, a := range apps {
		o := a.Occupancy
		rows = append(rows, []string{
			a.ID, yesOrNo(a.Enabled), fmt.Sprint(a.Connections), fmt.Sprint(a.Users), fmt.Sprint(o.Channels), fmt.Sprint(o.Subscriptions), fmt.Sprint(o.PresenceMembers),
		})
	}
	return table(out, rows)
}

func yesOrNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func printApp(out io.Writer, a AppRecord) error {
	rows := [][]string{{"app", a.ID}, {"key", a.Key}}
	if a.Secret != "" {
		rows = append(rows, []string{"secret", a.Secret + "  (shown this once)"})
	}
	rows = append(rows, [][]string{
		{"enabled", yesOrNo(a.Enabled)},
		{"version", a.Version},
		{"old secrets", fmt.Sprintf("%d still good", a.PreviousSecrets)},
		{"sockets", fmt.Sprint(a.State.Connections)},
		{"channels", fmt.Sprint(a.State.Occupancy.Channels)},
		{"policy", string(a.Policy)},
	}...)
	return table(out, rows)
}
