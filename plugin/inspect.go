package main

import (
	"context"
	"errors"
	"slices"

	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/cli/cli/command/inspect"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func newInspect(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "inspect [OPTIONS] [NAME...]",
		Short: "Show everything that is known about gateways",
		Long: `Show everything that can be found out about one or more gateways without changing them:
condition, container, volume, recorded configuration, certificates, and the files on this
machine. Keys and other secrets are not shown.`,
		Example: `docker openshell gateway inspect

# When does the server's certificate expire?
docker openshell gateway inspect --format '{{range .Certificates}}{{.Name}} {{.NotAfter}}{{println}}{{end}}'`,
		ValidArgsFunction: a.completeGateways(anyNumber),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runInspect(ctx, a, cmd, args, format)
		}),
	}
	format.add(cmd, "f", tableOrTemplate+" (default an array of JSON)", "table", "json")
	return cmd
}

func runInspect(ctx context.Context, a *app, cmd *cobra.Command, args []string, format formatFlag) error {
	names, err := a.targets(cmd, args)
	if err != nil {
		return err
	}
	m, err := a.manager(nil)
	if err != nil {
		return err
	}
	var found []gateway.Inspection
	var failed []error
	for _, name := range names {
		in, err := m.Inspect(ctx, name)
		if cause := gateway.CauseOf(err); cause == gateway.CauseDaemon || cause == gateway.CauseCanceled {
			return err
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		found = append(found, in)
	}
	return errors.Join(append([]error{writeInspections(a, format, found)}, failed...)...)
}

// targets are the named gateways, or the implied one.
func (a *app) targets(cmd *cobra.Command, args []string) ([]string, error) {
	if len(args) <= 1 {
		t, err := a.target(cmd, args)
		return []string{t.name}, err
	}
	var names []string
	for _, arg := range args {
		t, err := a.target(cmd, []string{arg})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, t.name) {
			names = append(names, t.name)
		}
	}
	return names, nil
}

// writeInspections writes what was found, also when it is less than what was asked
// for, as "docker inspect" does.
func writeInspections(a *app, format formatFlag, found []gateway.Inspection) error {
	if format.isTable() {
		rows := make([]*inspectRow, 0, len(found))
		for _, in := range found {
			rows = append(rows, &inspectRow{Inspection: in})
		}
		return writeRows(a.cli.Out(), format, "table {{.Name}}\t{{.State}}\t{{.Endpoint}}\t{{.Auth}}\t{{.ServerVersion}}", rows)
	}
	w, err := inspect.NewTemplateInspectorFromString(a.cli.Out(), string(format))
	if err != nil {
		return err
	}
	for _, in := range found {
		if err := w.Inspect(in, nil); err != nil {
			return err
		}
	}
	return w.Flush()
}

type inspectRow struct {
	formatter.HeaderContext
	gateway.Inspection
}
