package main

import (
	"context"
	"fmt"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

type stopOptions struct {
	output
	timeout int
}

func newStop(a *app) *cobra.Command {
	var o stopOptions
	cmd := &cobra.Command{
		Use:   "stop [OPTIONS] [NAME]",
		Short: "Stop a gateway; it stays stopped until it is started again",
		Long: `Stop a gateway. It keeps all its state, and stays stopped over restarts of Docker and
of the machine until it is started again.

Stopping a gateway that does not run is no error; stopping one that does not exist is.`,
		Example: `# Stop the gateway, and bring it back later
docker openshell gateway stop
docker openshell gateway start

# Give it two minutes to end
docker openshell gateway stop --timeout 120`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; Docker goes on stopping the gateway if it has begun, and no data is touched",
				hint: "see 'docker openshell gateway ls'"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runStop(ctx, a, cmd, args, &o)
		}),
	}
	cmd.Flags().IntVarP(&o.timeout, "timeout", "t", int(gateway.StopTimeout/time.Second), "Seconds to wait before the gateway is killed, -1 for no limit")
	o.output.add(cmd, "Print only the name of the gateway")
	complete(cmd, "timeout", cobra.NoFileCompletions)
	addName(a, cmd)
	addRemote(cmd)
	return cmd
}

func runStop(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *stopOptions) error {
	show := o.renderer(a.cli.Err())
	defer show.close()
	t, m, err := a.on(cmd, args, show.event)
	if err != nil {
		return err
	}
	res, err := m.Stop(ctx, t.name, time.Duration(o.timeout)*time.Second)
	show.close()
	if err != nil {
		return err
	}
	switch {
	case o.quiet:
		fmt.Fprintln(a.cli.Out(), res.Name)
	case res.Stopped:
		fmt.Fprintf(a.cli.Out(), "Gateway %q is stopped\n", res.Name)
	default:
		fmt.Fprintf(a.cli.Out(), "Gateway %q was not running\n", res.Name)
	}
	return nil
}
