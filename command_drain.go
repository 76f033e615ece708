package sockudo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/wait"
)

// lookAtDrain is how often a drain is looked at.
const lookAtDrain = 200 * time.Millisecond

func drainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drain [--wait [--timeout <duration>]] | --resume",
		Short: "Refuses new sockets and closes the open ones, spread over the drain period, so that clients go to other nodes",
		Long: "Refuses new sockets and closes the open ones with 4200, spread over the drain period, so that clients go to other nodes. The\n" +
			"server goes on running; health checks answer 503. With --resume it admits sockets again.",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: runDrain,
	}
	addFlags(cmd)
	addHubFlag(cmd)
	cmd.Flags().BoolP("wait", "", false, "Wait until no socket is left")
	cmd.Flags().DurationP("timeout", "", 5*time.Minute, "For how long to wait")
	cmd.Flags().BoolP("resume", "", false, "Admit sockets again")
	cmd.MarkFlagsMutuallyExclusive("wait", "resume")
	return cmd
}

func runDrain(cmd *cobra.Command, _ []string) error {
	timeout, err := cmd.Flags().GetDuration("timeout")
	if err != nil {
		return err
	}
	if timeout <= 0 {
		return errors.New("--timeout must be more than nothing")
	}
	a, err := newAdminClient(cmd)
	if err != nil {
		return err
	}
	hub, err := a.hub(cmd)
	if err != nil {
		return err
	}
	method := http.MethodPost
	if flagOf(cmd, "resume") == "true" {
		method = http.MethodDelete
	}
	text, err := a.call(contextOf(cmd), method, hub+"/drain", nil, nil)
	if err != nil {
		return err
	}
	if flagOf(cmd, "wait") != "true" {
		return show(cmd, text, printDrain)
	}
	ctx, cancel := context.WithTimeout(contextOf(cmd), timeout)
	defer cancel()
	if text, err = a.awaitDrain(ctx, cmd, hub, text); err != nil {
		return err
	}
	return show(cmd, text, printDrain)
}

// awaitDrain waits until no socket is left, and returns the state of the hub then.
func (a *adminClient) awaitDrain(ctx context.Context, cmd *cobra.Command, hub string, text []byte) ([]byte, error) {
	var p *progress
	defer func() {
		if p != nil {
			p.end()
		}
	}()
	for {
		var state HubState
		if err := json.Unmarshal(text, &state); err != nil {
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		if p == nil {
			p = newProgress(cmd.ErrOrStderr(), "sockets", state.Sockets, asksJSON(cmd))
		}
		if state.Sockets == 0 {
			return text, nil
		}
		if !state.Draining {
			return nil, fmt.Errorf("the drain was ended by somebody else, with %d sockets open", state.Sockets)
		}
		p.set(state.Sockets)
		if !wait.For(ctx, lookAtDrain) {
			return nil, codedf(exitTimeout, "%d sockets are left", state.Sockets)
		}
		next, err := a.call(ctx, http.MethodGet, hub, nil, nil)
		switch {
		case ctx.Err() != nil:
			return nil, codedf(exitTimeout, "%d sockets are left", state.Sockets)
		case err != nil:
			return nil, err
		}
		text = next
	}
}

func printDrain(out io.Writer, s HubState) error {
	text := "Hub %s admits sockets.\n"
	switch {
	case s.Draining && s.Sockets == 0:
		text = "Hub %s is drained: no socket is left, and none is admitted.\n"
	case s.Draining:
		text = "Hub %s drains: %d sockets are left, and none is admitted.\n"
		_, err := fmt.Fprintf(out, text, printable(s.Name), s.Sockets)
		return err
	}
	_, err := fmt.Fprintf(out, text, printable(s.Name))
	return err
}
