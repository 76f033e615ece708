package sockudo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func subscribeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "subscribe <url> <channel>... --key <key> [--secret-file <file>] [--event <name>] [--count <n>] [--timeout <duration>]",
		Short: "Subscribes to channels as a client does, through the public address, and prints their events",
		Long: "Subscribes to channels as a client does, with a WebSocket to the public address: wss://example.com, or https://example.com, with\n" +
			"the path before /app if there is one. Private and presence channels need the secret of the app, in a file or in " + secretVariable + ".\n\n" +
			"When the server closes the connection, the command comes back like other clients: not at all after a code from 4000 to 4099.\n" +
			"What a running Caddy does without being a client of it shows the command tail.",
		Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: runSubscribe,
	}
	flags := cmd.Flags()
	flags.BoolP("json", "", false, "Write one JSON object a line")
	flags.StringP("key", "k", "", "The key of the app")
	flags.StringP("app-key", "", "", "The same")
	flags.StringP("secret-file", "", "", "A file with the secret of the app")
	flags.StringP("user-id", "", "", "The user in presence channels (default: caddy-sockudo)")
	flags.StringP("user-info", "", "", "What presence channels tell of that user, a JSON object")
	flags.StringP("event", "", "", "Print and count events of this name only")
	flags.BoolP("insecure", "", false, "Accept any certificate")
	addEndFlags(cmd)
	return cmd
}

// subscription are the channels that a command subscribes to, and how.
type subscriptionOrder struct {
	address  string
	key      string
	secret   string
	channels []string
	userID   string
	userInfo json.RawMessage
	event    string
	insecure bool
}

// orderOf reads the arguments and flags.
func orderOf(cmd *cobra.Command, args []string) (*subscriptionOrder, error) {
	o := &subscriptionOrder{
		key: flagOf(cmd, "key"), channels: args[1:], userID: flagOf(cmd, "user-id"),
		userInfo: json.RawMessage(flagOf(cmd, "user-info")), event: flagOf(cmd, "event"), insecure: flagOf(cmd, "insecure") == "true",
	}
	if o.key == "" {
		o.key = flagOf(cmd, "app-key")
	}
	if len(o.channels) == 0 {
		return nil, errors.New("name a channel behind the URL; to listen to a running Caddy by its admin API, use the command tail")
	}
	if o.key == "" {
		return nil, errors.New("--key is missing: the key of the app")
	}
	if o.userID == "" {
		o.userID = "caddy-sockudo"
	}
	if len(o.userInfo) > 0 {
		var object map[string]any
		if err := json.Unmarshal(o.userInfo, &object); err != nil {
			return nil, fmt.Errorf("--user-info is not a JSON object: %w", err)
		}
	}
	var err error
	if o.address, err = socketAddress(args[0], o.key); err != nil {
		return nil, err
	}
	if o.secret, err = secretOf(cmd); err != nil {
		return nil, err
	}
	for _, name := range o.channels {
		if kind := protocol.ParseChannel(name).Kind; kind != protocol.Public && o.secret == "" {
			return nil, fmt.Errorf("channel %s needs the secret of the app: name a file with it as --secret-file, or set %s", printable(name), secretVariable)
		}
	}
	return o, nil
}

// secretOf is the secret of the app, or "".
func secretOf(cmd *cobra.Command) (string, error) {
	file := flagOf(cmd, "secret-file")
	if file == "" {
		return os.Getenv(secretVariable), nil
	}
	text, err := readFile(cmd, file)
	if err != nil {
		return "", fmt.Errorf("--secret-file: %w", err)
	}
	secret, err := secretFrom(bytes.NewReader(text))
	if err != nil {
		return "", fmt.Errorf("--secret-file: %s %w", file, err)
	}
	return secret, nil
}

func runSubscribe(cmd *cobra.Command, args []string) error {
	order, err := orderOf(cmd, args)
	if err != nil {
		return err
	}
	end, ctx, cancel, err := endingOf(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	for begun := false; ; {
		s, err := order.dial(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			return end.timedOut()
		case err != nil && !begun:
			return err
		case err == nil:
			cmd.PrintErrln("Connected as " + printable(s.id) + ".")
			err = s.run(ctx, order, func(e socketEvent) error { return writeEvent(cmd, e, order.event, end) })
			begun = begun || s.subscribed
			s.close()
		}
		switch {
		case errors.Is(err, errSeenAll):
			return nil
		case ctx.Err() != nil:
			return end.timedOut()
		case !begun || !comesBack(err):
			return err
		}
		cmd.PrintErrln(printable("The connection has ended (" + err.Error() + "); connecting again. Events meanwhile are missed."))
		if !pauseBeforeReturn(ctx) {
			return end.timedOut()
		}
	}
}

// pauseBeforeReturn waits for a second and a bit, so that many clients do not come back at once.
func pauseBeforeReturn(ctx context.Context) bool {
	return wait.For(ctx, time.Second+jitter(time.Second))
}

// writeEvent writes an event that has come in.
func writeEvent(cmd *cobra.Command, e socketEvent, only string, end *ending) error {
	if e.internal() && only == "" {
		if e.Event != eventSucceeded {
			return nil
		}
		cmd.PrintErrln("Subscribed to " + printable(e.Channel) + ".")
		return nil
	}
	if only != "" && e.Event != only {
		return nil
	}
	if err := printEvent(cmd.OutOrStdout(), e, asksJSON(cmd)); err != nil {
		return err
	}
	if end.one() {
		return errSeenAll
	}
	return nil
}

func printEvent(out io.Writer, e socketEvent, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(e)
	}
	text := paint(out, faint, time.Now().Format("15:04:05.000")) + "  " + printable(e.Channel) + "  " + paint(out, green, printable(e.Event))
	if e.UserID != "" {
		text += "  user=" + printable(e.UserID)
	}
	_, err := fmt.Fprintln(out, text+"  "+printable(e.text()))
	return err
}
