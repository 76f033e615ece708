package sockudo

import (
	"context"
	"errors"
	"fmt"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// How a command ends, for scripts. 0 is success; what has no code of its own is a failure, which a wrong
// call is too.
const (
	// exitFailed means that it was not done.
	exitFailed = 1
	// exitMissing means that what was named does not exist: a hub, an app, a channel, a socket.
	exitMissing = 2
	// exitUnreachable means that the server could not be asked.
	exitUnreachable = 3
	// exitTimeout means that what was waited for has not happened in time.
	exitTimeout = 4
)

// codedError is an error of a command that scripts can tell from others.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }

// Unwrap is the error without its code.
func (e *codedError) Unwrap() error { return e.err }

func coded(code int, err error) error { return &codedError{code, err} }

func codedf(code int, format string, args ...any) error {
	return coded(code, fmt.Errorf(format, args...))
}

// exitCode is how a command ends that has returned err.
func exitCode(err error) int {
	var c *codedError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &c):
		return c.code
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailed
}

// withExitCodes makes a command and all below it end the process with the code of their errors. Caddy
// knows the code of its own kind of command only, and so each becomes one of those at its end.
func withExitCodes(cmd *cobra.Command) {
	for _, child := range cmd.Commands() {
		withExitCodes(child)
	}
	run := cmd.RunE
	if run == nil {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		err := run(cmd, args)
		code := exitCode(err)
		if code <= exitFailed {
			return err
		}
		cmd.PrintErrln("Error:", err.Error())
		cmd.SilenceErrors = true // it is told
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return code, nil })(cmd, args)
	}
}

// joinedError is an error behind what was tried.
func joinedError(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
