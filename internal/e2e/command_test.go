package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// sockudo runs caddy sockudo with arguments, as a shell does.
func (c *caddy) sockudo(args ...string) (out, errs string, code int) {
	c.t.Helper()
	var o, e strings.Builder
	cmd := exec.CommandContext(c.t.Context(), serverBinary, append([]string{"sockudo"}, args...)...)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		c.t.Fatal(err)
	}
	return o.String(), e.String(), code
}

// Scripts can tell from the exit code how a command has ended, and read its output without its remarks.
func TestCommandExitCodes(t *testing.T) {
	t.Parallel()
	c := start(t, config{})
	for _, call := range []struct {
		args string
		code int
		told string
	}{
		{"apps", 0, ""},
		{"status --json", 0, ""},
		{"publish --app app-id --channel room --event e --data x", 0, ""},
		{"webhooks", 2, "sends no webhooks"},
		{"channels", 1, "required flag"},
		{"channels --app none", 2, `there is no app "none"`},
		{"connections close 1.1", 2, "there is no connection"},
		{"apps --hub none", 2, `there is no hub "none"`},
		{"apps --address 127.0.0.1:1", 3, "asking the admin API"},
		{"tail --count 1 --timeout 300ms --kind refused", 4, "0 of 1 have come in time"},
		{"drain --wait", 0, ""},
		{"drain --resume", 0, ""},
		{"subscribe http://127.0.0.1:" + c.port + " room --key app-key --count 1 --timeout 300ms", 4, "0 of 1 have come in time"},
		{"subscribe http://127.0.0.1:1 room --key app-key", 3, "connecting"},
	} {
		args := strings.Fields(call.args)
		if args[0] != "subscribe" && !strings.Contains(call.args, "--address") {
			args = append(args, "--address", c.admin)
		}
		out, errs, code := c.sockudo(args...)
		if code != call.code || !strings.Contains(errs, call.told) || strings.Count(errs, "Error:") > 1 || code != 0 && out != "" {
			t.Errorf("%s ends with %d, want %d: %q %q", call.args, code, call.code, out, errs)
		}
	}
	help, _, code := c.sockudo("help")
	for _, name := range []string{"status", "apps", "channels", "connections", "presence", "tail", "publish", "subscribe", "drain", "webhooks", "push", "vapid-keys"} {
		if code != 0 || !strings.Contains(help, "\n  "+name+" ") {
			t.Errorf("%s is not in the help (%d)", name, code)
		}
	}
}
