package main

import (
	"context"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

type restartOptions struct {
	output
	format  formatFlag
	timeout timeoutFlag
}

func newRestart(a *app) *cobra.Command {
	var o restartOptions
	cmd := &cobra.Command{
		Use:   "restart [OPTIONS] [NAME]",
		Short: "Stop a gateway and start it again",
		Long: `Stop a gateway if it runs, start it, and wait until it is healthy. Its state and its
configuration stay as they are; to change the configuration, use "gateway start" with
the options that are to change.`,
		Example: `# Restart the gateway
docker openshell gateway restart

# Restart another one, and wait for at most two minutes
docker openshell gateway restart --timeout 2m work`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(a.leftByStart, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runRestart(ctx, a, cmd, args, &o)
		}),
	}
	o.timeout.add(cmd)
	o.output.add(cmd, "Print only the name of the gateway")
	o.format.add(cmd, "", jsonOrTemplate, "json")
	complete(cmd, "timeout", cobra.NoFileCompletions)
	addRemote(cmd)
	return cmd
}

func runRestart(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *restartOptions) error {
	show := o.renderer(a.cli.Err())
	defer show.close()
	t, m, err := a.on(cmd, args, show.event)
	if err != nil {
		return err
	}
	// Stopping first is what makes a restart of nothing an error: a start would
	// create it.
	if _, err := m.Stop(ctx, t.name, gateway.StopTimeout); err != nil {
		return err
	}
	res, err := m.Start(ctx, t.name, gateway.StartOptions{Timeout: time.Duration(o.timeout)})
	show.close()
	if err != nil {
		return err
	}
	return a.showStart(res, o.quiet, o.format)
}
