package sockudo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/wait"
	"github.com/sockudo/caddy-sockudo/realtime"
)

const (
	// tailPatience is how long a tail tries to find a server again that it has lost.
	tailPatience = 30 * time.Second
	// tailPause is the time between two attempts.
	tailPause = 250 * time.Millisecond
	// tailSilence is the silence after which a server is lost: it writes each 15 seconds.
	tailSilence = 3 * tailAlive
	// maxTailLine bounds a line of a tail, in bytes.
	maxTailLine = 1 << 20
)

func tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail [--app <id>] [--channel <pattern>] [--socket <id>] [--user <id>] [--kind <kind>,...] [--no-data] [--count <n>] [--timeout <duration>]",
		Short: "Shows what happens in a hub, as it happens: connections, subscriptions, members, events, inbound messages, refusals",
		Long: "Shows what happens in a hub on this node, as it happens, until it is interrupted. A reload of the configuration and a restart of\n" +
			"the server are survived: the command connects again and says so.\n\nKinds: " + kindNames() + ".",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: runTail,
	}
	addFlags(cmd)
	addHubFlag(cmd)
	flags := cmd.Flags()
	flags.StringP("app", "", "", "The id of the only app")
	flags.StringP("channel", "", "", "The only channel, or the begin of channels with an asterisk behind: room-*")
	flags.StringP("socket", "", "", "The only socket")
	flags.StringP("user", "", "", "The id of the only user")
	flags.StringP("kind", "", "", "The only kinds, with commas between them")
	flags.BoolP("no-data", "", false, "Leave payloads out")
	addEndFlags(cmd)
	return cmd
}

// addEndFlags adds those that end a command which goes on for ever otherwise.
func addEndFlags(cmd *cobra.Command) {
	cmd.Flags().IntP("count", "", 0, "End when so many have come (default: never)")
	cmd.Flags().DurationP("timeout", "", 0, "End after this time, which is a failure if --count has more to come (default: never)")
}

// ending is when such a command ends.
type ending struct{ count, seen int }

// endingOf reads the flags. The context ends with the timeout.
func endingOf(cmd *cobra.Command) (*ending, context.Context, context.CancelFunc, error) {
	count, err := cmd.Flags().GetInt("count")
	if err != nil {
		return nil, nil, nil, err
	}
	timeout, err := cmd.Flags().GetDuration("timeout")
	if err != nil {
		return nil, nil, nil, err
	}
	if count < 0 || timeout < 0 {
		return nil, nil, nil, errors.New("--count and --timeout must not be negative")
	}
	ctx, cancel := context.WithCancel(contextOf(cmd))
	if timeout > 0 {
		ctx, cancel = context.WithTimeout(contextOf(cmd), timeout)
	}
	return &ending{count: count}, ctx, cancel, nil
}

// one counts one more, and reports whether that was the last.
func (e *ending) one() bool {
	e.seen++
	return e.count > 0 && e.seen >= e.count
}

// timedOut is what the timeout means.
func (e *ending) timedOut() error {
	if e.count > 0 {
		return codedf(exitTimeout, "%d of %d have come in time", e.seen, e.count)
	}
	return nil
}

// errSeenAll ends a command that has seen enough.
var errSeenAll = errors.New("all have come")

func runTail(cmd *cobra.Command, _ []string) error {
	end, ctx, cancel, err := endingOf(cmd)
	if err != nil {
		return err
	}
	defer cancel()
	a, err := newAdminClient(cmd)
	if err != nil {
		return err
	}
	hub, err := a.hub(cmd)
	if err != nil {
		return err
	}
	query := queryOf(cmd, "app", "channel", "socket", "user")
	if kinds := flagOf(cmd, "kind"); kinds != "" {
		query.Set("kinds", kinds)
	}
	if flagOf(cmd, "no-data") == "true" {
		query.Set("data", "false")
	}
	return a.follow(ctx, cmd, hub+"/tail?"+query.Encode(), end)
}

// follow reads tails, one after the other, until the command ends.
func (a *adminClient) follow(ctx context.Context, cmd *cobra.Command, path string, end *ending) error {
	begun, lost := false, time.Time{}
	for {
		heard, err := a.readTail(ctx, cmd, path, end, begun)
		switch {
		case errors.Is(err, errSeenAll):
			return nil
		case ctx.Err() != nil:
			return end.timedOut()
		case !begun && !heard:
			return err // it was never there, or refuses
		}
		if heard {
			begun, lost = true, time.Now()
			cmd.PrintErrln(printable("The connection has ended (" + err.Error() + "); connecting again. What happens meanwhile is not shown."))
		}
		code := exitCode(err)
		if time.Since(lost) > tailPatience || !heard && code != exitUnreachable && code != exitMissing {
			return err
		}
		if !wait.For(ctx, tailPause) {
			return end.timedOut()
		}
	}
}

// readTail reads one tail to its end, which is always an error. heard is false if it has not begun.
func (a *adminClient) readTail(ctx context.Context, cmd *cobra.Command, path string, end *ending, again bool) (heard bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(tailSilence, func() { cancel(errors.New("nothing has come for a while")) })
	defer silence.Stop()
	resp, err := a.open(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxTailLine)
	for lines.Scan() {
		silence.Reset(tailSilence)
		var line TailLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return heard, fmt.Errorf("reading a line: %w", err)
		}
		if !heard && again {
			cmd.PrintErrln("Connected again.")
		}
		heard = true
		switch {
		case line.Ended != "":
			return true, coded(exitUnreachable, errors.New(line.Ended))
		case line.Alive:
			continue
		}
		if err := writeTail(cmd, lines.Bytes(), line); err != nil {
			return heard, err
		}
		if line.Happening != nil && end.one() {
			return heard, errSeenAll
		}
	}
	if err := context.Cause(ctx); err != nil {
		return heard, coded(exitUnreachable, err)
	}
	if err := lines.Err(); err != nil {
		return heard, coded(exitUnreachable, err)
	}
	return heard, coded(exitUnreachable, io.ErrUnexpectedEOF)
}

// writeTail writes one line.
func writeTail(cmd *cobra.Command, raw []byte, line TailLine) error {
	out := cmd.OutOrStdout()
	if asksJSON(cmd) {
		_, err := fmt.Fprintf(out, "%s\n", raw)
		return err
	}
	if line.Happening == nil {
		cmd.PrintErrln(fmt.Sprintf("%d more have happened for which there was no room: this reads too slowly.", line.Missed))
		return nil
	}
	_, err := fmt.Fprintln(out, tailText(out, line.Happening))
	return err
}

// tailText is a happening in one line.
func tailText(out io.Writer, h *realtime.Happening) string {
	kind := fmt.Sprintf("%-16s", printable(string(h.Kind)))
	switch h.Kind {
	case realtime.Refused:
		kind = paint(out, red, kind)
	case realtime.Published, realtime.ClientEvent:
		kind = paint(out, green, kind)
	case realtime.Received:
		kind = paint(out, blue, kind)
	case realtime.DrainStarted, realtime.DrainEnded:
		kind = paint(out, yellow, kind)
	default:
	}
	parts := []string{paint(out, faint, h.At.Local().Format("15:04:05.000")), kind}
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+printable(value))
		}
	}
	add("app=", h.App)
	add("channel=", h.Channel)
	add("event=", h.Event)
	add("socket=", h.SocketID)
	add("user=", h.UserID)
	add("from=", h.ClientIP)
	if h.Code != 0 {
		add("code=", fmt.Sprint(h.Code))
	}
	add("reason=", h.Reason)
	if !h.Here && (h.Kind == realtime.Published || h.Kind == realtime.ClientEvent) {
		parts = append(parts, "(of another node)")
	}
	add("", h.Data)
	if h.Size > len(h.Data) && h.Data != "" {
		parts = append(parts, fmt.Sprintf("… (%d bytes)", h.Size))
	}
	return strings.Join(parts, "  ")
}
