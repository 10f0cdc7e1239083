package main

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func newSelect(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "select [NAME]",
		Short: "Choose the gateway that is meant when none is named",
		Long: `Make a gateway the active one: the one that is meant when none is named, here and in the
openshell CLI. Without NAME the gateways are listed, with an asterisk at the active one.`,
		Example: `docker openshell gateway select work

# Which one is active?
docker openshell gateway select`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runSelect(ctx, a, cmd, args)
		}),
	}
	return cmd
}

func runSelect(ctx context.Context, a *app, cmd *cobra.Command, args []string) error {
	names, err := onLine(cmd, args)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return runLs(ctx, a, &lsOptions{})
	}
	t, err := nameSources{line: names}.resolve()
	if err != nil {
		return &gateway.Error{Cause: gateway.CauseInvalid, Err: err}
	}
	m, err := a.manager(nil)
	if err != nil {
		return err
	}
	if err := m.Select(ctx, t.name); err != nil {
		return err
	}
	fmt.Fprintf(a.cli.Out(), "Gateway %q is now the active one\n", t.name)
	return nil
}
