package main

import (
	"context"
	"errors"
	"strconv"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func newLogs(a *app) *cobra.Command {
	var o gateway.LogsOptions
	tail := tailFlag("all")
	cmd := &cobra.Command{
		Use:   "logs [OPTIONS] [NAME]",
		Short: "Show the log of a gateway",
		Long: `Show the log of a gateway's node, whether it runs or not, or of the OpenShell server in
it.`,
		Example: `# The last hundred lines, and what follows
docker openshell gateway logs -n 100 -f

# What the server said in the last ten minutes
docker openshell gateway logs --server --since 10m`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			o.Tail = string(tail)
			return runLogs(ctx, a, cmd, args, o)
		}),
	}
	f := cmd.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "Go on with new lines as they come")
	f.BoolVarP(&o.Timestamps, "timestamps", "t", false, "Show when each line was written")
	f.VarP(&tail, "tail", "n", `Number of lines to show from the end, or "all"`)
	f.StringVar(&o.Since, "since", "", `Show lines since a time ("2026-01-02T13:23:37Z") or a duration ago ("42m")`)
	f.StringVar(&o.Until, "until", "", `Show lines before a time ("2026-01-02T13:23:37Z") or a duration ago ("42m")`)
	f.BoolVar(&o.Server, "server", false, "Show the log of the OpenShell server, not of the node")
	complete(cmd, "tail", fixed("all"))
	complete(cmd, "since", cobra.NoFileCompletions)
	complete(cmd, "until", cobra.NoFileCompletions)
	return cmd
}

func runLogs(ctx context.Context, a *app, cmd *cobra.Command, args []string, o gateway.LogsOptions) error {
	t, m, err := a.on(cmd, args, nil)
	if err != nil {
		return err
	}
	o.Out, o.Err = a.cli.Out(), a.cli.Err()
	return m.Logs(ctx, t.name, o)
}

// tailFlag is a number of lines or "all".
type tailFlag string

func (*tailFlag) Type() string     { return "string" }
func (t *tailFlag) String() string { return string(*t) }
func (t *tailFlag) Set(s string) error {
	if n, err := strconv.Atoi(s); s != "all" && (err != nil || n < 0) {
		return errors.New(`must be a number of lines or "all"`)
	}
	*t = tailFlag(s)
	return nil
}
