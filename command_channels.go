package sockudo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func channelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "channels --app <id> [--prefix <text>] [--limit <n>]", Short: "Lists the occupied channels of an app, by name",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := askHub(cmd, http.MethodGet, "/channels", queryOf(cmd, "app", "prefix", "limit"), nil, nil)
			if err != nil {
				return err
			}
			return show(cmd, body, printChannels)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	addAppFlag(cmd)
	cmd.Flags().StringP("prefix", "", "", "List those only whose names begin with this")
	cmd.Flags().IntP("limit", "", 100, "How many to list, at most 10000")
	return cmd
}

// addAppFlag adds the one that names an app, which a command cannot do without.
func addAppFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("app", "", "", "The id of the app")
	_ = cmd.MarkFlagRequired("app") // the flag is there
}

func printChannels(out io.Writer, page ChannelPage) error {
	if page.Total == 0 {
		_, err := fmt.Fprintln(out, "No channel is occupied.")
		return err
	}
	rows := [][]string{{"CHANNEL", "SUBSCRIPTIONS", "USERS"}}
	for _, c := range page.Channels {
		users := ""
		if c.Users > 0 {
			users = fmt.Sprint(c.Users)
		}
		rows = append(rows, []string{c.Name, fmt.Sprint(c.Subscriptions), users})
	}
	if err := table(out, rows); err != nil || page.Total == len(page.Channels) {
		return err
	}
	_, err := fmt.Fprintf(out, "These are %d of %d: see --limit and --prefix.\n", len(page.Channels), page.Total)
	return err
}

func presenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "presence <channel> --app <id>", Short: "Lists who is in a presence channel, on all nodes",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			query := queryOf(cmd, "app")
			query.Set("channel", args[0])
			body, err := askHub(cmd, http.MethodGet, "/presence", query, nil, nil)
			if err != nil {
				return err
			}
			return show(cmd, body, printMembers)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	addAppFlag(cmd)
	return cmd
}

func printMembers(out io.Writer, page MemberPage) error {
	rows := [][]string{{"USER", "CONNECTIONS HERE", "INFO"}}
	for _, m := range page.Members {
		rows = append(rows, []string{m.UserID, fmt.Sprint(m.Connections), string(m.UserInfo)})
	}
	return table(out, rows)
}

func connectionsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "connections [--app <id>] [--limit <n>] [--after <socket>] [<command>]", Short: "Lists open sockets, and closes them",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := askHub(cmd, http.MethodGet, "/connections", queryOf(cmd, "app", "limit", "after"), nil, nil)
			if err != nil {
				return err
			}
			return show(cmd, body, printConnections)
		},
	}
	addFlags(cmd)
	addHubFlag(cmd)
	cmd.Flags().StringP("app", "", "", "List those of one app only")
	cmd.Flags().IntP("limit", "", 100, "How many to list, at most 10000")
	cmd.Flags().StringP("after", "", "", "Begin behind a socket, which the list before has named")
	cmd.AddCommand(&cobra.Command{
		Use: "close <socket>", Short: "Closes a socket with 4009, on which clients do not come back",
		Args: cobra.ExactArgs(1), SilenceUsage: true,
		RunE: closeConnection,
	})
	return cmd
}

func closeConnection(cmd *cobra.Command, args []string) error {
	if _, err := askHub(cmd, http.MethodDelete, "/connections/"+url.PathEscape(args[0]), nil, nil, nil); err != nil {
		return err
	}
	if asksJSON(cmd) {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"closed": args[0]})
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "Socket %s is closed.\n", printable(args[0]))
	return err
}

func printConnections(out io.Writer, page ConnectionPage) error {
	if len(page.Connections) == 0 {
		_, err := fmt.Fprintln(out, "No socket is open.")
		return err
	}
	rows := [][]string{{"SOCKET", "APP", "USER", "ADDRESS", "OPEN FOR", "CHANNELS"}}
	for _, c := range page.Connections {
		rows = append(rows, []string{c.SocketID, c.App, c.UserID, c.ClientIP, time.Since(c.Opened).Round(time.Second).String(), listed(c.Channels)})
	}
	if err := table(out, rows); err != nil || page.Next == "" {
		return err
	}
	_, err := fmt.Fprintf(out, "There are more: --after %s\n", printable(page.Next))
	return err
}

// listed are the first of many names, and how many there are besides.
func listed(names []string) string {
	const most = 5
	text := strings.Join(names[:min(len(names), most)], " ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}
