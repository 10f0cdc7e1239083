package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

type sandboxRow struct {
	formatter.HeaderContext
	sandbox.Sandbox
}

// MarshalJSON encodes the sandbox alone.
func (r *sandboxRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.Sandbox) }

// CreatedSince is the age, for people.
func (r *sandboxRow) CreatedSince() string { return ago(r.Created) }

// SandboxID is the field ID under a name of its own, for its header.
func (r *sandboxRow) SandboxID() string { return r.ID }

const sandboxTable = "table {{.Name}}\t{{.Phase}}\t{{.Image}}\t{{.CreatedSince}}"

type sandboxLsOptions struct {
	limit, offset int
	quiet         bool
	ids, names    bool
	format        formatFlag
}

func newSandboxLs(a *app) *cobra.Command {
	var o sandboxLsOptions
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS]",
		Aliases: []string{"list"},
		Short:   "List sandboxes",
		Long:    `List the sandboxes of a gateway.`,
		Example: `docker openshell sandbox ls

# Names only
docker openshell sandbox ls -q

# One line of JSON for each
docker openshell sandbox ls --format json`,
		Args:              cli.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if o.limit < 0 || o.offset < 0 {
				return usageError(cmd, errors.New("--limit and --offset cannot be negative"))
			}
			return a.linked(ctx, cmd, func(l *link) error { return runSandboxLs(ctx, a, l, &o) })
		}),
	}
	f := cmd.Flags()
	f.IntVar(&o.limit, "limit", 0, "List at most this many, 0 for all")
	f.IntVar(&o.offset, "offset", 0, "Leave out this many at the beginning")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "Print only names")
	f.BoolVar(&o.names, "names", false, "Print only names")
	f.BoolVar(&o.ids, "ids", false, "Print only IDs")
	o.format.add(cmd, "", tableOrTemplate, "table", "json")
	cmd.MarkFlagsMutuallyExclusive("names", "ids", "format")
	complete(cmd, "limit", cobra.NoFileCompletions)
	complete(cmd, "offset", cobra.NoFileCompletions)
	return cmd
}

func runSandboxLs(ctx context.Context, a *app, l *link, o *sandboxLsOptions) error {
	list, err := l.List(ctx, o.limit, o.offset)
	if err != nil {
		return err
	}
	rows := make([]*sandboxRow, 0, len(list))
	for _, s := range list {
		switch {
		case o.ids:
			fmt.Fprintln(a.cli.Out(), s.ID)
		case o.quiet || o.names:
			fmt.Fprintln(a.cli.Out(), s.Name)
		}
		rows = append(rows, &sandboxRow{Sandbox: s})
	}
	if o.ids || o.quiet || o.names {
		return nil
	}
	if o.format == "" {
		o.format = "table"
	}
	return writeRows(a.cli.Out(), o.format, sandboxTable, rows)
}

func newSandboxGet(a *app) *cobra.Command {
	var format formatFlag
	cmd := &cobra.Command{
		Use:   "get [OPTIONS] [NAME]",
		Short: "Show a sandbox",
		Long:  `Show what the gateway knows of a sandbox.`,
		Example: `docker openshell sandbox get demo

# One value
docker openshell sandbox get --format '{{.Phase}}' demo`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeSandboxes(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return a.linked(ctx, cmd, func(l *link) error {
				s, err := l.get(ctx, a, args)
				if err != nil {
					return err
				}
				if format != "" {
					return writeRows(a.cli.Out(), format, sandboxTable, []*sandboxRow{{Sandbox: s}})
				}
				describeSandbox(a, s)
				return nil
			})
		}),
	}
	format.add(cmd, "", tableOrTemplate, "table", "json")
	return cmd
}

// get looks up the sandbox of an optional argument.
func (l *link) get(ctx context.Context, a *app, args []string) (sandbox.Sandbox, error) {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	name, err := l.named(a, name)
	if err != nil {
		return sandbox.Sandbox{}, err
	}
	return l.Get(ctx, name)
}

func describeSandbox(a *app, s sandbox.Sandbox) {
	out := a.cli.Out()
	field(out, "Name", s.Name)
	field(out, "ID", s.ID)
	field(out, "Namespace", s.Namespace)
	field(out, "Phase", string(s.Phase))
	field(out, "Image", s.Image)
	if s.GPU {
		field(out, "GPU", "yes")
	}
	for _, c := range s.Condition {
		field(out, "Condition", fmt.Sprintf("%s=%s %s %s", c.Type, c.Status, c.Reason, c.Message))
	}
}
