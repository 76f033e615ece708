package sockudo

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/internal/doctor"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor <url> [--key <key>] [--app <id>] [--json]",
		Short: "Walks through the public address of a server like a client, and names the hop that is broken",
		Long: `Walks through the public address of a server like a client and like a backend: name, connection, certificate, HTTP, clock,
WebSocket, connection, ping, authorization, publish, delivery, presence, client events, large messages, webhooks and push
notifications. Of each hop it says what was seen, and of one that is broken what is probably wrong and what mends it.

The secret of the app comes from the variable ` + secretVariable + `, from --secret-file, or from the standard input with --secret -.
With --app and without --key, both come from the configuration of the running Caddy. Without a secret the steps that need it are skipped.

It exits with 0 if all is well, with 1 if it cannot begin, with 5 if something is broken and with 6 if there are warnings only.`,
		Example: `  caddy sockudo doctor https://realtime.example.com --app app-id --key app-key --origin https://www.example.com`,
		Args:    cobra.ExactArgs(1), SilenceUsage: true,
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return examine(cmd, args[0]) })(cmd, args)
	}
	addCredentialFlags(cmd)
	flags := cmd.Flags()
	flags.StringP("origin", "", "", "The Origin header of the sockets, as browsers on your site send it. Default: none")
	flags.StringP("ca", "", "", "A file with certificates of authorities to trust beside those of the system")
	flags.DurationP("timeout", "", 10*time.Second, "How long a step may take")
	flags.DurationP("idle", "", 0, "Let a socket be silent for so long, and see whether it stays open. Default: no such step")
	flags.IntP("payload", "", 10_000, "The size of the largest event that is tried, in bytes")
	flags.BoolP("webhook", "", false, "Ask the admin API whether the webhooks of the app are delivered")
	flags.StringP("webhook-listen", "", "", "Wait for a webhook of the app on this address, such as :8090")
	flags.BoolP("push", "", false, "Publish a push notification for nobody, and follow it. With --address or --hub, also ask the admin API how they are doing")
	flags.StringP("push-device", "", "", "The id of a registered device to send a notification to. Implies --push")
	return cmd
}

// examine walks and writes the report. Its number is that to exit with.
func examine(cmd *cobra.Command, address string) (int, error) {
	o, err := doctorOptions(cmd, address)
	if err != nil {
		return exitFailed, err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	asJSON := asksJSON(cmd)
	live := !asJSON && isTerminal(cmd.OutOrStdout())
	if live {
		o.Progress = func(s doctor.Step) { _ = writeStep(cmd.OutOrStdout(), s) }
	}
	report, err := doctor.Run(ctx, o)
	if err != nil {
		return exitFailed, err
	}
	if asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(report)
	} else {
		err = writeReport(cmd.OutOrStdout(), report, live)
	}
	switch {
	case err != nil:
		return exitFailed, err
	case report.Outcome == doctor.Failed:
		return exitFound, nil
	case report.Outcome == doctor.Warning:
		return exitWarnings, nil
	}
	return 0, nil
}

// doctorOptions reads the flags.
func doctorOptions(cmd *cobra.Command, address string) (doctor.Options, error) {
	o := doctor.Options{URL: address, Key: flagOf(cmd, "key"), App: flagOf(cmd, "app"), Origin: flagOf(cmd, "origin"), WebhookListen: flagOf(cmd, "webhook-listen")}
	if !strings.Contains(address, "://") {
		o.URL = "https://" + address
	}
	c, err := doctorCredentials(cmd)
	if err != nil {
		return o, err
	}
	o.Key, o.Secret = c.key, c.secret
	flags := cmd.Flags()
	var errs []error
	read := func(err error) { errs = append(errs, err) }
	o.Timeout, err = flags.GetDuration("timeout")
	read(err)
	o.Idle, err = flags.GetDuration("idle")
	read(err)
	o.Payload, err = flags.GetInt("payload")
	read(err)
	if o.Timeout <= 0 || o.Idle < 0 || o.Payload <= 0 {
		read(errors.New("--timeout, --idle and --payload must not be negative, and --timeout and --payload not zero"))
	}
	if file := flagOf(cmd, "ca"); file != "" {
		o.Roots, err = authorities(file)
		read(at("--ca", err))
	}
	if flagOf(cmd, "webhook") == "true" {
		o.Webhooks, err = webhookSource(cmd)
		read(err)
	}
	if o.WebhookListen != "" && (o.Secret == "" || o.Key == "") {
		read(errors.New("--webhook-listen needs the key and the secret of the app, which sign webhooks"))
	}
	o.PushDevice = flagOf(cmd, "push-device")
	o.Push = flagOf(cmd, "push") == "true" || o.PushDevice != ""
	if flags.Changed("address") || flags.Changed("hub") { // else it may be that of another server
		o.PushState = pushSource(cmd)
	}
	return o, errors.Join(errs...)
}

// doctorCredentials finds what there is. The admin API is asked only for what is not
// given.
func doctorCredentials(cmd *cobra.Command) (appKeys, error) {
	if flagOf(cmd, "app") != "" && flagOf(cmd, "key") != "" {
		secret, _, err := readSecret(cmd)
		return appKeys{key: flagOf(cmd, "key"), secret: secret}, err
	}
	c, _, err := readCredentials(cmd)
	return c, err
}

// authorities are those of the system and of a file.
func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the caller's file
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return pool, nil
}

func writeReport(out io.Writer, r doctor.Report, steps bool) error {
	if !steps {
		for _, s := range r.Steps {
			if err := writeStep(out, s); err != nil {
				return err
			}
		}
	}
	verdict := "Everything that was tried works."
	if i := firstBroken(r.Steps); i >= 0 {
		verdict = "The first thing to look at is " + r.Steps[i].Name + "."
	}
	_, err := fmt.Fprintln(out, "\n"+verdict)
	return err
}

// firstBroken is the first step that failed, or else the first with a warning.
func firstBroken(steps []doctor.Step) int {
	found := -1
	for i, s := range steps {
		switch {
		case s.Outcome == doctor.Failed:
			return i
		case s.Outcome == doctor.Warning && found < 0:
			found = i
		}
	}
	return found
}

func writeStep(out io.Writer, s doctor.Step) error {
	took := ""
	if s.Outcome != doctor.Skipped {
		took = fmt.Sprintf(" (%.1f ms)", s.DurationMS)
	}
	_, err := fmt.Fprintf(out, "%-8s %-13s %s%s\n", s.Outcome, s.Name, s.Detail, took)
	for _, line := range [][2]string{{"cause", s.Cause}, {"fix", s.Fix}} {
		if err == nil && line[1] != "" {
			_, err = fmt.Fprintf(out, "%24s: %s\n", line[0], line[1])
		}
	}
	return err
}

// bounded calls f, which knows no end, until ctx ends.
func bounded[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return v, ctx.Err()
	}
}
