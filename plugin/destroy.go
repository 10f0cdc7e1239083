package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

type destroyOptions struct {
	output
	force bool
}

func newDestroy(a *app) *cobra.Command {
	var o destroyOptions
	cmd := &cobra.Command{
		Use:   "destroy [OPTIONS] [NAME]",
		Short: "Remove a gateway with all its data",
		Long: `Remove a gateway: its container, its network, its volume with all sandboxes and data,
and its files on this machine. Nothing of it can be had back. The images stay.

What is going to be removed is listed first. On a terminal the command asks; elsewhere
it removes nothing unless --force is given.`,
		Example: `# See what would go, and decide
docker openshell gateway destroy

# In a script
docker openshell gateway destroy --force work`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; what was not removed yet is still there",
				hint: "the same command removes the rest; without it, 'docker openshell gateway start' resumes from the volume if that is left"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runDestroy(ctx, a, cmd, args, &o)
		}),
	}
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "Do not ask")
	o.output.add(cmd, "Print only the name of the gateway")
	addName(a, cmd)
	addRemote(cmd)
	return cmd
}

func runDestroy(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *destroyOptions) error {
	show := o.renderer(a.cli.Err())
	defer show.close()
	t, m, err := a.on(cmd, args, show.event)
	if err != nil {
		return err
	}
	plan, err := m.PlanDestroy(ctx, t.name)
	if err != nil {
		return err
	}
	if len(plan.Things) == 0 {
		return &gateway.Error{Cause: gateway.CauseAbsent, Err: fmt.Errorf("there is no gateway %q to destroy", t.name),
			Hint: "see 'docker openshell gateway ls'"}
	}
	if !o.quiet || !o.force {
		fmt.Fprintf(a.cli.Err(), "Destroying gateway %q on the daemon of %s (Docker context %q) removes:\n", t.name, plan.Daemon, plan.Context)
		for _, thing := range plan.Things {
			if strings.HasPrefix(thing, " ") { // what belongs to the thing before
				fmt.Fprintln(a.cli.Err(), thing)
				continue
			}
			fmt.Fprintf(a.cli.Err(), "  - %s\n", thing)
		}
	}
	if !o.force {
		if err := a.confirm(ctx, fmt.Sprintf("gateway %q is not destroyed", t.name)); err != nil {
			return err
		}
	}
	res, err := m.Destroy(ctx, t.name)
	show.close()
	if err != nil {
		return err
	}
	if o.quiet {
		fmt.Fprintln(a.cli.Out(), res.Name)
	} else {
		fmt.Fprintf(a.cli.Out(), "Gateway %q is destroyed\n", res.Name)
	}
	return nil
}
