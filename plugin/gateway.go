package main

import (
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newGateway(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "gateway COMMAND",
		Aliases: []string{"gw"},
		Short:   "Manage gateways",
		Long: `Start, stop, look at and remove gateways.

NAME is optional everywhere. Without it these decide, in this order: the flag
--gateway, the environment variable OPENSHELL_GATEWAY, the active gateway (the last
one that was started, or chosen with "gateway select"), and the name "openshell".`,
		Example: `# Start, stop and resume
docker openshell gateway start
docker openshell gateway stop
docker openshell gateway start

# A second one beside it
docker openshell gateway start --port 8081 work
docker openshell gateway ls`,
		Args: cli.NoArgs,
		RunE: command.ShowHelp(a.cli.Err()),
	}
	cmd.AddCommand(
		newStart(a),
		newStop(a),
		newRestart(a),
		newDestroy(a),
		newStatus(a),
		newLs(a),
		newInfo(a),
		newSelect(a),
		newLogs(a),
		newInspect(a),
		newSnapshot(a),
		newRestore(a),
	)
	refuseCommands(cmd)
	return cmd
}
