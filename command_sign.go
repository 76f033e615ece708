package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func signCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign --key <key> (--channel <name> | --signin | --path <path>) [--json]",
		Short: "Makes the signatures that a backend makes: of channels, of sign-ins, of HTTP calls",
		Long: `Makes the signatures that a backend makes. It needs no running server.

  --channel   the answer of an authorization endpoint: for the socket --socket, with --user-data on presence channels
  --signin    the answer of a user authentication endpoint: for --socket, with --user-data
  --path      a call of the HTTP API: --method, --body; with --url the whole URL, with --curl a line for the shell

The secret comes from the variable ` + secretVariable + `, from --secret-file, or from the standard input with --secret -.
With --app, key and secret are those of an app in the configuration of the running Caddy.`,
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: sign,
	}
	addCredentialFlags(cmd)
	flags := cmd.Flags()
	flags.StringP("channel", "", "", "The channel that the socket may subscribe to")
	flags.BoolP("signin", "", false, "Sign a user in")
	flags.StringP("socket", "", "", "The id of the socket, from pusher:connection_established")
	flags.StringP("user-data", "", "", "JSON: on a presence channel {\"user_id\":…,\"user_info\":…}, at a sign-in {\"id\":…}")
	flags.StringP("method", "", "", "The method of an HTTP call. Default: GET, or POST with a body")
	flags.StringP("path", "", "", "The path of an HTTP call, such as /apps/ID/events, with its query if it has one")
	flags.StringP("body", "", "", "The body of an HTTP call, @FILE, or - for the standard input")
	flags.StringP("url", "", "", "Where the HTTP API is, such as https://example.com")
	flags.BoolP("curl", "", false, "Write the HTTP call as a line for the shell; needs --url")
	return cmd
}

// SocketAuth is what an endpoint answers that authorizes a subscription or a sign-in.
type SocketAuth struct {
	// Auth is the key of the app and the signature.
	Auth string `json:"auth"`
	// ChannelData is the member of a presence channel, as it was signed.
	ChannelData string `json:"channel_data,omitempty"`
	// UserData is the user who signs in, as it was signed.
	UserData string `json:"user_data,omitempty"`
}

func sign(cmd *cobra.Command, _ []string) error {
	what, err := toSign(cmd)
	if err != nil {
		return err
	}
	c, err := signer(cmd)
	if err != nil {
		return err
	}
	switch what {
	case "channel":
		return signChannel(cmd, c)
	case "signin":
		return signUser(cmd, c)
	default:
		return signCall(cmd, c)
	}
}

// toSign is which of the three is to be signed.
func toSign(cmd *cobra.Command) (what string, err error) {
	for _, name := range []string{"channel", "signin", "path"} {
		if !cmd.Flag(name).Changed {
			continue
		}
		if what != "" {
			return "", fmt.Errorf("--%s and --%s are both given: sign one thing at a time", what, name)
		}
		what = name
	}
	if what == "" {
		return "", errors.New("say what to sign: --channel, --signin or --path")
	}
	ofCalls := []string{"method", "body", "url", "curl"}
	ofSockets := []string{"socket", "user-data"}
	wrong := ofCalls
	if what == "path" {
		wrong = ofSockets
	}
	for _, name := range wrong {
		if cmd.Flag(name).Changed {
			return "", fmt.Errorf("--%s means nothing with --%s", name, what)
		}
	}
	return what, nil
}

func socketOf(cmd *cobra.Command) (string, error) {
	id := flagOf(cmd, "socket")
	if !protocol.ValidSocketID(id) {
		return "", fmt.Errorf("--socket %q is not a socket id such as 1234.5678", id)
	}
	return id, nil
}

func signChannel(cmd *cobra.Command, c appKeys) error {
	name, data := flagOf(cmd, "channel"), flagOf(cmd, "user-data")
	channel := protocol.ParseChannel(name)
	if err := anyChannel.Check(channel); err != nil {
		return at("--channel", err)
	}
	socket, err := socketOf(cmd)
	if err != nil {
		return err
	}
	switch channel.Kind {
	case protocol.Public:
		return fmt.Errorf("--channel %s is a public channel, which needs no signature", name)
	case protocol.Encrypted:
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "An encrypted channel needs a shared_secret beside this, which only its publisher can make.")
	case protocol.Presence:
		if _, e := protocol.ParseMember(data); e != nil {
			return fmt.Errorf("--user-data of a presence channel must be JSON with a user_id, such as {\"user_id\":\"u1\"}: %s", e.Message)
		}
	case protocol.Private:
	}
	return writeAuth(cmd, SocketAuth{Auth: protocol.SignChannel(c.key, c.secret, socket, name, data), ChannelData: data})
}

// anyChannel are the rules for channel names that hold whatever the namespaces of an app
// are.
var anyChannel = protocol.ChannelRules{
	MaxLength: 1 << 20,
	Namespace: func(string) (protocol.NamespaceRules, bool) {
		return protocol.NamespaceRules{UserLimited: true}, true
	},
}

func signUser(cmd *cobra.Command, c appKeys) error {
	data := flagOf(cmd, "user-data")
	socket, err := socketOf(cmd)
	if err != nil {
		return err
	}
	if _, e := protocol.ParseUser(data); e != nil {
		return fmt.Errorf("--user-data of a sign-in must be JSON with an id, such as {\"id\":\"u1\"}: %s", e.Message)
	}
	return writeAuth(cmd, SocketAuth{Auth: protocol.SignUser(c.key, c.secret, socket, data), UserData: data})
}

func writeAuth(cmd *cobra.Command, a SocketAuth) error {
	out := cmd.OutOrStdout()
	if asksJSON(cmd) {
		return json.NewEncoder(out).Encode(a)
	}
	_, err := fmt.Fprintln(out, "auth:", a.Auth)
	for _, line := range [][2]string{{"channel_data:", a.ChannelData}, {"user_data:", a.UserData}} {
		if err == nil && line[1] != "" {
			_, err = fmt.Fprintln(out, line[0], line[1])
		}
	}
	return err
}

func signCall(cmd *cobra.Command, c appKeys) error {
	call, err := callOf(cmd)
	if err != nil {
		return err
	}
	call.Query = protocol.SignRequest(c.key, c.secret, call.Method, call.Path, call.query, []byte(call.Body), time.Now())
	call.URL = call.base + call.Path + "?" + call.Query
	if call.base != "" {
		call.Curl = call.curl()
	}
	out := cmd.OutOrStdout()
	switch {
	case asksJSON(cmd):
		return json.NewEncoder(out).Encode(call)
	case flagOf(cmd, "curl") == "true":
		_, err = fmt.Fprintln(out, call.Curl)
	default:
		_, err = fmt.Fprintln(out, call.URL)
	}
	return err
}

// methods are those that calls of the HTTP API have.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead}
