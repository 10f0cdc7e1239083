package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

// app is what every command needs: docker's configuration, contexts and streams.
type app struct{ cli command.Cli }

// newRoot returns the command "openshell" with everything below it.
func newRoot(dockerCLI command.Cli) *cobra.Command {
	a := &app{cli: dockerCLI}
	cmd := &cobra.Command{
		Use:   "openshell COMMAND",
		Short: "Run OpenShell gateways that keep their state",
		Long: `Run OpenShell gateways on the daemon of the current Docker context.

A gateway is one container with a Kubernetes node in it, and one volume that holds
everything worth keeping: sandboxes, database, certificates and the SSH handshake
secret. A restart of Docker, a killed container, a failed start or an interrupted
command all end in the same gateway.`,
		Example: `# Start the gateway; the same command resumes it later
docker openshell gateway start

# Is it healthy?
docker openshell status

# The same on another machine
docker --context box openshell gateway start`,
		Args: cli.NoArgs,
		RunE: command.ShowHelp(dockerCLI.Err()),
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			handleSignals(cmd)
			return plugin.PersistentPreRunE(cmd, args)
		},
	}
	cmd.PersistentFlags().StringP(flagGateway, "g", "", `Gateway to work on [OPENSHELL_GATEWAY] (default: the active one, else "openshell")`)
	complete(cmd, flagGateway, a.completeGateways(anyNumber))
	cmd.SetFlagErrorFunc(flagError)
	cmd.AddCommand(newGateway(a), newSandbox(a), newImage(a), newStatus(a), newVersion(a), newSSHProxy(a))
	refuseCommands(cmd)
	return cmd
}

// handleSignals makes the first SIGINT or SIGTERM cancel the command's context, and
// the second one end the process. On a terminal docker forwards nothing, because the
// kernel signals the whole foreground group; elsewhere docker closes the plugin's
// socket instead, which cancels a context that is derived from this one.
func handleSignals(cmd *cobra.Command) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	cmd.SetContext(ctx)
}
