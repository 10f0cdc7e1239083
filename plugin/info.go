package main

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func newInfo(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "info [OPTIONS] [NAME]",
		Short: "Show how a gateway is reached",
		Long: `Show under which address a gateway is reached and where it runs. Unlike "status" it
succeeds whether the gateway is healthy or not.`,
		Example: `docker openshell gateway info

# Only the address
docker openshell gateway info --format '{{.Endpoint}}' work`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runInfo(ctx, a, cmd, args, format)
		}),
	}
	format.add(cmd, "", jsonOrTemplate, "json")
	addName(a, cmd)
	addRemote(cmd)
	return cmd
}

func runInfo(ctx context.Context, a *app, cmd *cobra.Command, args []string, format formatFlag) error {
	t, m, err := a.on(cmd, args, nil)
	if err != nil {
		return err
	}
	st, err := m.Status(ctx, t.name)
	if err != nil {
		return err
	}
	if st.State == gateway.StateAbsent {
		return unhealthy(t, st)
	}
	if format != "" {
		return writeRows(a.cli.Out(), format, "", []*statusRow{{Status: st}})
	}
	out := a.cli.Out()
	fmt.Fprintf(out, "Gateway Info\n\n  Gateway: %s\n  Gateway endpoint: %s\n  State: %s\n  Docker context: %s\n", st.Name, st.Endpoint, st.State, st.Context)
	return nil
}
