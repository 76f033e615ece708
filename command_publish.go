package sockudo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func publishCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "publish --app <id> --channel <name>... --event <name> --data <text> | @<file> | -",
		Short: "Publishes an event, as a backend does with a call of the HTTP API",
		Long: "Publishes an event, as a backend does with a call of the HTTP API, with the same checks and limits. Data that is a JSON object\n" +
			"or list reaches clients as one, anything else as a string.",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: publishEvent,
	}
	addFlags(cmd)
	addHubFlag(cmd)
	addAppFlag(cmd)
	flags := cmd.Flags()
	flags.StringArrayP("channel", "", nil, "A channel; write it again for more")
	flags.StringP("event", "", "", "The name of the event")
	flags.StringP("data", "", "", "The payload, a file with it as @<file>, or - for the standard input")
	flags.StringP("except", "", "", "A socket that does not get the event")
	flags.StringP("idempotency-key", "", "", "A key: what is published again with it is published once")
	for _, name := range []string{"channel", "event", "data"} {
		_ = cmd.MarkFlagRequired(name) // the flags are there
	}
	return cmd
}

// publication is what the admin API is asked to publish, as in the HTTP API.
type publication struct {
	Name     string   `json:"name"`
	Channels []string `json:"channels"`
	Data     string   `json:"data"`
	SocketID string   `json:"socket_id,omitempty"`
	Key      string   `json:"idempotency_key,omitempty"`
	Info     string   `json:"info"`
}

func publishEvent(cmd *cobra.Command, _ []string) error {
	channels, err := cmd.Flags().GetStringArray("channel")
	if err != nil {
		return err
	}
	data, err := dataOf(cmd)
	if err != nil {
		return err
	}
	p := publication{
		Name: flagOf(cmd, "event"), Channels: channels, Data: data,
		SocketID: flagOf(cmd, "except"), Key: flagOf(cmd, "idempotency-key"), Info: "subscription_count",
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	text, err := askHub(cmd, http.MethodPost, "/publish", queryOf(cmd, "app"), nil, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if asksJSON(cmd) {
		_, err := cmd.OutOrStdout().Write(append(text, '\n'))
		return err
	}
	var answer struct {
		Channels map[string]struct {
			Subscriptions int `json:"subscription_count"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	for _, name := range sortedKeys(answer.Channels) {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "Published to %s, which has %d subscriptions.\n", printable(name), answer.Channels[name].Subscriptions)
		if err != nil {
			return err
		}
	}
	return nil
}

// dataOf is the payload that the flag names. Line ends at its end are those of a file or of an echo.
func dataOf(cmd *cobra.Command) (string, error) {
	data := flagOf(cmd, "data")
	file, isFile := strings.CutPrefix(data, "@")
	if data == "-" {
		file, isFile = "-", true
	}
	if isFile {
		text, err := readFile(cmd, file)
		if err != nil {
			return "", err
		}
		data = strings.TrimRight(string(text), "\r\n")
	}
	if !utf8.ValidString(data) {
		return "", errors.New("the payload is not UTF-8")
	}
	return data, nil
}
