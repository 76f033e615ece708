package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/migrate"
)

// maxImport bounds a file of settings, in bytes.
const maxImport = 4 << 20

func importCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import [--from soketi|reverb|pusher|sockudo] [--site <address>] [--output <file>] [--secrets <file>] [--json] <file>...",
		Short: "Turns settings of soketi, Laravel Reverb, Pusher Channels or Sockudo into a Caddyfile",
		Long: `Turns settings of soketi, Laravel Reverb, Pusher Channels or Sockudo into a Caddyfile,
and reports what differs: it writes the Caddyfile to the standard output, or to a new file,
and the report to the standard error.

Secrets are not in the Caddyfile, which refers to environment variables: those of a file of
variables keep their names, so that "caddy run --envfile .env" finds them.

It ends with 0 when everything was taken over, exactly or nearly, with 3 when something has
no equivalent, and with 1 when the settings cannot be read.`,
		Args: cobra.MinimumNArgs(1), SilenceUsage: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := importSettings(cmd, args)
			cmd.SilenceErrors = true // the report or the log says it
			return caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return status, err })(cmd, args)
		},
	}
	flags := cmd.Flags()
	flags.StringP("from", "", "", "The server that the files are of: soketi, reverb, pusher or sockudo; found out if it is not given")
	flags.StringP("site", "", "", "The address of the site, such as realtime.example.com; that of the files if it is not given")
	flags.StringP("output", "o", "", "A new file for the Caddyfile, instead of the standard output")
	flags.StringP("secrets", "", "", "A new file for the variables that the Caddyfile refers to, which only its owner may read")
	flags.BoolP("json", "", false, "Write the Caddyfile and the report as one JSON object")
	return cmd
}

// importSettings runs the command, and says with which code it ends.
func importSettings(cmd *cobra.Command, names []string) (status int, err error) {
	files, err := readImportFiles(names)
	if err != nil {
		return 1, err
	}
	i, err := importFiles(flagOf(cmd, "from"), flagOf(cmd, "site"), files)
	if err != nil {
		return 1, err
	}
	// Both files are made before anything is written into one of them.
	if name := flagOf(cmd, "secrets"); name != "" {
		text, err := secretsFile(i.secrets)
		if err == nil {
			err = writeNew(name, text)
		}
		if err != nil {
			return 1, err
		}
	}
	if name := flagOf(cmd, "output"); name != "" {
		if err := writeNew(name, i.Caddyfile); err != nil {
			return 1, err
		}
	}
	if err := i.print(cmd, asksJSON(cmd), flagOf(cmd, "output") == ""); err != nil {
		return 1, err
	}
	if !i.complete() {
		return exitFound, nil
	}
	return 0, nil
}

func readImportFiles(names []string) (files []migrate.File, err error) {
	for _, name := range names {
		f, err := os.Open(name) //nolint:gosec // the user's file
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(io.LimitReader(f, maxImport+1))
		_ = f.Close() // it was only read
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if len(text) > maxImport {
			return nil, fmt.Errorf("%s is larger than %d bytes", name, maxImport)
		}
		files = append(files, migrate.File{Name: name, Text: text})
	}
	return files, nil
}

// writeNew makes a file that only its owner may read. It leaves one alone that is there.
func writeNew(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the user's file
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// secretsFile are the lines that caddy run --envfile reads.
func secretsFile(secrets []migrate.Secret) (string, error) {
	var b strings.Builder
	for _, s := range secrets {
		if strings.ContainsAny(s.Value, "#\n\r") || strings.TrimSpace(s.Value) != s.Value || strings.HasPrefix(s.Value, `"`) || strings.HasPrefix(s.Value, "'") {
			return "", fmt.Errorf("the value of %s has signs that caddy run --envfile cannot read; put it into a file of its own, and write {file./PATH} for {env.%s}", s.Name, s.Name)
		}
		b.WriteString(s.Name + "=" + s.Value + "\n")
	}
	return b.String(), nil
}

// print writes the Caddyfile, unless it is in a file, and the report.
func (i *Imported) print(cmd *cobra.Command, asJSON, caddyfile bool) error {
	if asJSON {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "\t")
		e.SetEscapeHTML(false)
		return e.Encode(i)
	}
	if caddyfile {
		if _, err := io.WriteString(cmd.OutOrStdout(), i.Caddyfile); err != nil {
			return err
		}
	}
	_, err := io.WriteString(cmd.ErrOrStderr(), i.describe())
	return err
}

// outcomeTitles are what a report calls outcomes.
var outcomeTitles = map[migrate.Outcome]string{
	migrate.NoEquivalent: "No equivalent: this is for you to do", migrate.Approximated: "Nearly the same: look at these",
	migrate.TakenOver: "Taken over", migrate.NotNeeded: "Not needed",
}

// describe is the report for people.
func (i *Imported) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Settings of %s", i.From)
	if i.Because != "" {
		fmt.Fprintf(&b, ", since %s", i.Because)
	}
	b.WriteString(".\n")
	for _, outcome := range migrate.Outcomes {
		var entries []migrate.Entry
		for _, e := range i.Report {
			if e.Outcome == outcome {
				entries = append(entries, e)
			}
		}
		if len(entries) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s (%d)\n", outcomeTitles[outcome], len(entries))
		for _, e := range entries {
			b.WriteString("  " + describeEntry(e) + "\n")
		}
	}
	if len(i.Variables) > 0 {
		fmt.Fprintf(&b, "\nCaddy needs these environment variables: %s.\n", strings.Join(i.Variables, ", "))
	}
	return b.String()
}

func describeEntry(e migrate.Entry) string {
	text := e.Setting
	if e.Value != "" {
		text += " = " + e.Value
	}
	if e.Word != "" {
		text += " → " + e.Word
	}
	if e.Place != "" {
		text += "  (" + e.Place + ")"
	}
	if e.Note != "" {
		text += "\n      " + e.Note
	}
	return text
}
