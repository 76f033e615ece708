package sockudo

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/realtime/protocol"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token --key <key> --client <id> --allow <pattern>=<operation>[,<operation>...] [--ttl <duration>] [--json]",
		Short: "Makes a capability token, by which a V2 client is who it is and may do what it may",
		Long: `Makes a capability token for clients of protocol V2. It needs no running server.

--allow is given once for each pattern of channels, which has at most one "*". Operations are subscribe, publish, history,
presence, and those of messages, annotations and push. The secret comes from the variable ` + secretVariable + `,
from --secret-file, or from the standard input with --secret -. With --app, key and secret are those of an app in the
configuration of the running Caddy. A token is revoked by its jti or its client, over the HTTP API.`,
		Example: `  caddy sockudo token --key app-key --client user-7 --allow 'orders-*=subscribe,history' --ttl 15m`,
		Args:    cobra.NoArgs, SilenceUsage: true,
		RunE: token,
	}
	addCredentialFlags(cmd)
	flags := cmd.Flags()
	flags.StringP("client", "", "", "The client that the token is of: 1 to 128 bytes")
	flags.StringArrayP("allow", "", nil, "A pattern of channels and what is permitted there, such as orders-*=subscribe,history")
	flags.DurationP("ttl", "", time.Hour, "How long the token is good, in whole seconds, up to 24h")
	flags.DurationP("not-before", "", 0, "How long from now the token begins to be good, in whole seconds")
	flags.StringP("jti", "", "", "The id of the token: 1 to 128 bytes. Default: a random one")
	return cmd
}

// CapabilityToken is what the command token writes as JSON.
type CapabilityToken struct {
	// Token is the token itself.
	Token string `json:"token"`
	// ClientID is the client that the token is of.
	ClientID string `json:"client_id"`
	// ID is the jti, by which the token can be revoked.
	ID string `json:"jti"`
	// Issued is the iat, in seconds since 1970.
	Issued int64 `json:"iat"`
	// NotBefore is the nbf, in seconds since 1970, left out if there is none.
	NotBefore int64 `json:"nbf,omitempty"`
	// Expires is the exp, in seconds since 1970.
	Expires int64 `json:"exp"`
	// Capabilities are the permitted operations, by pattern of channels.
	Capabilities map[string][]string `json:"capabilities"`
}

func token(cmd *cobra.Command, _ []string) error {
	claims, err := claimsOf(cmd)
	if err != nil {
		return err
	}
	c, err := signer(cmd)
	if err != nil {
		return err
	}
	text, err := protocol.SignToken(c.key, c.secret, claims)
	if err != nil {
		return fmt.Errorf("the token would be refused: %w", err)
	}
	out := cmd.OutOrStdout()
	if !asksJSON(cmd) {
		_, err = fmt.Fprintln(out, text)
		return err
	}
	t := CapabilityToken{
		Token: text, ClientID: claims.ClientID, ID: claims.ID,
		Issued: claims.Issued.Unix(), Expires: claims.Expires.Unix(), Capabilities: claims.Capabilities,
	}
	if !claims.NotBefore.IsZero() {
		t.NotBefore = claims.NotBefore.Unix()
	}
	return json.NewEncoder(out).Encode(t)
}

func claimsOf(cmd *cobra.Command) (c protocol.TokenClaims, err error) {
	flags := cmd.Flags()
	c.ClientID = flagOf(cmd, "client")
	if c.ClientID == "" {
		return c, errors.New("--client is missing: it says who the client is")
	}
	if c.ID = flagOf(cmd, "jti"); c.ID == "" {
		c.ID = protocol.NewMessageID()
	}
	ttl, err := flags.GetDuration("ttl")
	if err != nil {
		return c, err
	}
	if ttl < time.Second || ttl%time.Second != 0 || ttl > protocol.MaxTokenLifetime {
		return c, fmt.Errorf("--ttl %s must be whole seconds, from 1s to %s", ttl, protocol.MaxTokenLifetime)
	}
	after, err := flags.GetDuration("not-before")
	if err != nil {
		return c, err
	}
	if after < 0 || after%time.Second != 0 || after >= ttl {
		return c, fmt.Errorf("--not-before %s must be whole seconds, and less than --ttl, which is %s", after, ttl)
	}
	c.Issued = time.Now().Truncate(time.Second)
	c.Expires = c.Issued.Add(ttl)
	if after > 0 {
		c.NotBefore = c.Issued.Add(after)
	}
	allow, err := flags.GetStringArray("allow")
	if err != nil {
		return c, err
	}
	c.Capabilities, err = capabilitiesOf(allow)
	return c, err
}

// capabilitiesOf reads the patterns and their operations. A channel name may have an "="
// in it, an operation never.
func capabilitiesOf(allow []string) (map[string][]string, error) {
	if len(allow) == 0 {
		return nil, errors.New("--allow is missing: a token that permits nothing is of no use")
	}
	all := map[string][]string{}
	for _, text := range allow {
		end := strings.LastIndexByte(text, '=')
		if end < 1 || end == len(text)-1 {
			return nil, fmt.Errorf("--allow %q is not PATTERN=OPERATION,OPERATION", text)
		}
		pattern := text[:end]
		if strings.Count(pattern, "*") > 1 {
			return nil, fmt.Errorf("--allow %q: a pattern has at most one *", text)
		}
		for operation := range strings.SplitSeq(text[end+1:], ",") {
			operation = strings.TrimSpace(operation)
			if !protocol.KnownOperation(operation) {
				return nil, fmt.Errorf("--allow %q: there is no operation %q; there are %s", text, operation, strings.Join(protocol.Operations(), ", "))
			}
			all[pattern] = append(all[pattern], operation)
		}
	}
	return all, nil
}
