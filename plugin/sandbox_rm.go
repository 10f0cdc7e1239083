package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

type sandboxRmOptions struct {
	all, force bool
}

func newSandboxRm(a *app) *cobra.Command {
	var o sandboxRmOptions
	cmd := &cobra.Command{
		Use:     "rm [OPTIONS] NAME [NAME...]",
		Aliases: []string{"delete", "remove"},
		Short:   "Delete sandboxes with their workspaces",
		Long: `Delete sandboxes with all files in their workspaces. Sandboxes that are named are
deleted at once; --all asks first on a terminal, and elsewhere needs --force.`,
		Example: `docker openshell sandbox rm demo

# All of them, in a script
docker openshell sandbox rm --all --force`,
		Args:              cli.RequiresMinArgs(0),
		ValidArgsFunction: a.completeSandboxes(anyNumber),
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; what was not deleted yet is still there", hint: "see 'docker openshell sandbox ls'"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if o.all == (len(args) > 0) {
				return usageError(cmd, errors.New("name the sandboxes to delete, or give --all"))
			}
			return a.linked(ctx, cmd, func(l *link) error { return runSandboxRm(ctx, a, l, args, &o) })
		}),
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "Delete all sandboxes of the gateway")
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "Do not ask; a sandbox that is not there is no error")
	return cmd
}

func runSandboxRm(ctx context.Context, a *app, l *link, names []string, o *sandboxRmOptions) error {
	if o.all {
		list, err := l.List(ctx, 0, 0)
		if err != nil {
			return err
		}
		for _, s := range list {
			names = append(names, s.Name)
		}
		if len(names) > 0 && !o.force {
			fmt.Fprintf(a.cli.Err(), "Deleting all sandboxes of gateway %q:\n", l.name)
			for _, n := range names {
				fmt.Fprintf(a.cli.Err(), "  - %s\n", n)
			}
			if err := a.confirm(ctx, "no sandbox is deleted"); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, name := range names {
		err := l.Delete(ctx, name)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case sandbox.CauseOf(err) == sandbox.CauseAbsent && o.force:
		case err != nil:
			errs = append(errs, err)
			continue
		default:
			fmt.Fprintln(a.cli.Out(), name)
		}
		errs = append(errs, l.forget(name))
	}
	return errors.Join(errs...)
}
