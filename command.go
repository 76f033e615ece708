package sockudo

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "sockudo",
		Usage: "<command>",
		Short: "Looks after the realtime server of a running Caddy",
		Long: "Looks after the realtime server of a running Caddy, through its admin API.\n\n" +
			"Exit codes: 0 done, 1 failed or called wrongly, 2 what was named does not exist, 3 the server is not reachable, 4 timed out.",
		CobraFunc: func(cmd *cobra.Command) {
			addCommands(cmd)
			withExitCodes(cmd)
		},
	})
}

// addCommands adds all commands.
func addCommands(cmd *cobra.Command) {
	cmd.AddCommand(
		statusCommand(), appsCommand(), channelsCommand(), connectionsCommand(), presenceCommand(),
		tailCommand(), publishCommand(), subscribeCommand(), drainCommand(),
		webhooksCommand(), pushCommand(), vapidKeysCommand(), signCommand(), tokenCommand(), importCommand(),
	)
}
