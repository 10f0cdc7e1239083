package main

import (
	"context"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"
)

const lsTable = "table {{.Name}}{{.Mark}}\t{{.State}}\t{{.Endpoint}}\t{{.Image}}\t{{.CreatedSince}}"

type lsOptions struct {
	quiet  bool
	format formatFlag
}

func newLs(a *app) *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List gateways",
		Long: `List the gateways of the current Docker context, and those that this machine's files
know, in any state. An asterisk marks the active one: the one that is meant when none is
named.`,
		Example: `docker openshell gateway ls

# Names only
docker openshell gateway ls -q

# One line of JSON for each
docker openshell gateway ls --format json

# Columns of your choice
docker openshell gateway ls --format 'table {{.Name}}\t{{.Origin}}'`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(onlyReading, func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return runLs(ctx, a, &o)
		}),
	}
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "Print only names")
	o.format.add(cmd, "", tableOrTemplate, "table", "json")
	return cmd
}

func runLs(ctx context.Context, a *app, o *lsOptions) error {
	m, err := a.manager(nil)
	if err != nil {
		return err
	}
	list, err := m.List(ctx)
	if err != nil {
		return err
	}
	if o.quiet {
		for _, s := range list {
			fmt.Fprintln(a.cli.Out(), s.Name)
		}
		return nil
	}
	rows := make([]*summaryRow, 0, len(list))
	for _, s := range list {
		rows = append(rows, &summaryRow{Summary: s})
	}
	format := o.format
	if format == "" {
		format = "table"
	}
	return writeRows(a.cli.Out(), format, lsTable, rows)
}
