package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

func newSnapshot(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot COMMAND",
		Short: "Manage states of a gateway that were set aside",
		Long: `Manage the snapshots of a gateway: states that "gateway start --recreate --keep-old",
"gateway restore" and the fallback of "sandbox create" have set aside. They lie in the
gateway's volume, and go with it when the gateway is destroyed.`,
		Example: `docker openshell gateway snapshot ls
docker openshell gateway restore 20260102-030405`,
		Args: cli.NoArgs,
		RunE: command.ShowHelp(a.cli.Err()),
	}
	cmd.AddCommand(newSnapshotLs(a), newSnapshotRm(a))
	return cmd
}

type snapshotRow struct {
	formatter.HeaderContext
	gateway.Snapshot
}

// MarshalJSON encodes the snapshot alone.
func (r *snapshotRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.Snapshot) }

// CreatedSince is the age, for people.
func (r *snapshotRow) CreatedSince() string { return ago(r.Created) }

// Size is the size on the disk, for people.
func (r *snapshotRow) Size() string { return units.HumanSize(float64(r.Snapshot.Size)) }

// Sandboxes are the names, for people.
func (r *snapshotRow) Sandboxes() string { return strings.Join(r.Snapshot.Sandboxes, ", ") }

const snapshotTable = "table {{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.Sandboxes}}\t{{.Image}}\t{{.Reason}}"

func newSnapshotLs(a *app) *cobra.Command {
	var o lsOptions
	cmd := &cobra.Command{
		Use:     "ls [OPTIONS] [NAME]",
		Aliases: []string{"list"},
		Short:   "List the snapshots of a gateway",
		Long: `List the snapshots of a gateway, the oldest first: when and why they were made, what
they take on the disk, and the sandboxes whose workspaces are in them.`,
		Example: `docker openshell gateway snapshot ls

# In a script
docker openshell gateway snapshot ls --format json work`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeGateways(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runSnapshotLs(ctx, a, cmd, args, &o)
		}),
	}
	cmd.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "Print only IDs")
	o.format.add(cmd, "", tableOrTemplate, "table", "json")
	return cmd
}

func runSnapshotLs(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *lsOptions) error {
	t, m, err := a.on(cmd, args, nil)
	if err != nil {
		return err
	}
	list, err := m.Snapshots(ctx, t.name)
	if err != nil {
		return err
	}
	var rows []*snapshotRow
	for _, s := range list {
		if o.quiet {
			fmt.Fprintln(a.cli.Out(), s.ID)
		}
		rows = append(rows, &snapshotRow{Snapshot: s})
	}
	if o.quiet {
		return nil
	}
	if o.format == "" {
		o.format = "table"
	}
	return writeRows(a.cli.Out(), o.format, snapshotTable, rows)
}

type snapshotRmOptions struct {
	force bool
}

func newSnapshotRm(a *app) *cobra.Command {
	var o snapshotRmOptions
	cmd := &cobra.Command{
		Use:   "rm [OPTIONS] SNAPSHOT [SNAPSHOT...]",
		Short: "Remove snapshots of a gateway for good",
		Long: `Remove snapshots, with all sandboxes and data that are in them. What is going to be
removed is listed first. On a terminal the command asks; elsewhere it removes nothing
unless --force is given.`,
		Example: `docker openshell gateway snapshot rm 20260102-030405

# Of another gateway, in a script
docker openshell -g work gateway snapshot rm --force 20260102-030405`,
		Args: cli.RequiresMinArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.snapshotIDs(cmd, nil, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted; what was not removed yet is still there", hint: "see 'docker openshell gateway snapshot ls'"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runSnapshotRm(ctx, a, cmd, args, &o)
		}),
	}
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "Do not ask")
	return cmd
}

func runSnapshotRm(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *snapshotRmOptions) error {
	t, m, err := a.on(cmd, nil, nil)
	if err != nil {
		return err
	}
	if !o.force {
		list, err := m.Snapshots(ctx, t.name)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.cli.Err(), "Removing from gateway %q:\n", t.name)
		for _, s := range list {
			if slices.Contains(args, s.ID) {
				row := snapshotRow{Snapshot: s}
				fmt.Fprintf(a.cli.Err(), "  - snapshot %s (%s)%s\n", s.ID, row.Size(), with(" with sandboxes ", row.Sandboxes()))
			}
		}
		if err := a.confirm(ctx, fmt.Sprintf("no snapshot of gateway %q is removed", t.name)); err != nil {
			return err
		}
	}
	if err := m.RemoveSnapshots(ctx, t.name, args); err != nil {
		return err
	}
	for _, id := range args {
		fmt.Fprintln(a.cli.Out(), id)
	}
	return nil
}

// with is a text that follows a word, or nothing.
func with(word, text string) string {
	if text == "" {
		return ""
	}
	return word + text
}

// snapshotIDs completes the IDs of snapshots that are not on the line yet.
func (a *app) snapshotIDs(cmd *cobra.Command, name, given []string) []cobra.Completion {
	ctx, cancel := context.WithTimeout(cmd.Context(), 5*completionTime)
	defer cancel()
	t, err := a.target(cmd, name)
	if err != nil {
		return nil
	}
	m, err := a.manager(nil)
	if err != nil {
		return nil
	}
	list, err := m.Snapshots(ctx, t.name)
	if err != nil {
		return nil
	}
	var ids []cobra.Completion
	for _, s := range list {
		if !slices.Contains(given, s.ID) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}
