package sockudo

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sockudo/caddy-sockudo/push/webpush"
)

// vapidKeysCommand needs no running server.
func vapidKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "vapid-keys [--json]",
		Short: "Makes a pair of keys for Web Push",
		Long: "Makes a pair of keys for Web Push. Browsers subscribe with the public one, and messages are signed with the private\n" +
			"one. Subscriptions are bound to the pair: keep it, and keep the private key secret.",
		Args: cobra.NoArgs, SilenceUsage: true,
		RunE: vapidKeys,
	}
	cmd.Flags().BoolP("json", "", false, "Write JSON")
	return cmd
}

// VAPIDKeys are what the command vapid-keys writes as JSON.
type VAPIDKeys struct {
	// PublicKey is the key that browsers subscribe with.
	PublicKey string `json:"publicKey"`
	// PrivateKey is the key that messages are signed with.
	PrivateKey string `json:"privateKey"`
}

func vapidKeys(cmd *cobra.Command, _ []string) error {
	public, private, err := webpush.GenerateKeys()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if asksJSON(cmd) {
		return json.NewEncoder(out).Encode(VAPIDKeys{public, private}) //nolint:gosec // to show it is what it is for
	}
	_, err = fmt.Fprintf(out, `Public key:   %s
Private key:  %s

In the configuration:

	vapid_public_key %[1]s
	vapid_private_key %[2]s
`, public, private)
	return err
}
