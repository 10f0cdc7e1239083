package main

import (
	"context"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

type restoreOptions struct {
	output
	format  formatFlag
	timeout timeoutFlag
}

func newRestore(a *app) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore [OPTIONS] [NAME] SNAPSHOT",
		Short: "Swap a snapshot back in, with all its sandboxes",
		Long: `Put a snapshot in the place of a gateway's present state, which becomes a snapshot in
turn, and start the gateway with the configuration that it had. Nothing is removed, and
the same command with the other snapshot undoes it.`,
		Example: `docker openshell gateway snapshot ls
docker openshell gateway restore 20260102-030405

# Of another gateway
docker openshell gateway restore work 20260102-030405`,
		Args: cli.RequiresRangeArgs(1, 2),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 1 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			ids := a.snapshotIDs(cmd, args, nil)
			if len(args) == 0 {
				names, _ := a.completeGateways(onlyOne)(cmd, args, prefix)
				ids = append(ids, names...)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: run(a.leftByStart, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runRestore(ctx, a, cmd, args, &o)
		}),
	}
	o.timeout.add(cmd)
	o.output.add(cmd, "Print only the name of the gateway")
	o.format.add(cmd, "", jsonOrTemplate, "json")
	complete(cmd, "timeout", cobra.NoFileCompletions)
	return cmd
}

func runRestore(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *restoreOptions) error {
	id := args[len(args)-1]
	show := o.renderer(a.cli.Err())
	defer show.close()
	t, m, err := a.on(cmd, args[:len(args)-1], show.event)
	if err != nil {
		return err
	}
	res, err := m.Restore(ctx, t.name, id, gateway.RestoreOptions{Timeout: time.Duration(o.timeout)})
	show.close()
	if err != nil {
		return err
	}
	return a.showStart(res, o.quiet, o.format)
}
