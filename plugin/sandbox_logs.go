package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command/formatter"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

type sandboxLogsOptions struct {
	lines   int
	follow  bool
	since   string
	sources []string
	level   string
	format  formatFlag
}

func newSandboxLogs(a *app) *cobra.Command {
	var o sandboxLogsOptions
	cmd := &cobra.Command{
		Use:   "logs [OPTIONS] [NAME]",
		Short: "Show what a gateway has logged of a sandbox",
		Long:  `Show the lines that a gateway keeps of a sandbox: its own, and the sandbox'.`,
		Example: `docker openshell sandbox logs demo

# The last five minutes, and then what is new
docker openshell sandbox logs --since 5m --follow demo`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeSandboxes(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			opts, err := o.build(time.Now())
			if err != nil {
				return usageError(cmd, err)
			}
			return a.linked(ctx, cmd, func(l *link) error { return runSandboxLogs(ctx, a, l, args, &o, opts) })
		}),
	}
	f := cmd.Flags()
	f.IntVarP(&o.lines, "lines", "n", 200, "Show this many of the last lines")
	f.BoolVarP(&o.follow, "follow", "f", false, "Go on with new lines")
	f.BoolVar(&o.follow, "tail", false, "Go on with new lines")
	f.Lookup("tail").Hidden = true
	f.StringVar(&o.since, "since", "", "Show lines since a time (2026-01-02T15:04:05Z) or for a duration (5m)")
	f.StringArrayVar(&o.sources, "source", nil, `Show lines of "gateway", "sandbox" or "all"`)
	f.StringVar(&o.level, "level", "", "Show lines of this level and above")
	o.format.add(cmd, "", jsonOrTemplate, "json")
	complete(cmd, "source", fixed("gateway", "sandbox", "all"))
	complete(cmd, "level", fixed("error", "warn", "info", "debug", "trace"))
	for _, flag := range []string{"lines", "since"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func (o *sandboxLogsOptions) build(now time.Time) (sandbox.LogOptions, error) {
	opts := sandbox.LogOptions{Lines: o.lines, Level: o.level}
	if o.lines < 1 {
		return opts, fmt.Errorf("--lines %d: use 1 or more", o.lines)
	}
	for _, s := range o.sources {
		switch s {
		case "gateway", "sandbox":
			opts.Sources = append(opts.Sources, s)
		case "all":
		default:
			return opts, fmt.Errorf("--source %q: use gateway, sandbox or all", s)
		}
	}
	if o.since == "" {
		return opts, nil
	}
	if d, err := time.ParseDuration(o.since); err == nil && d > 0 {
		opts.Since = now.Add(-d)
		return opts, nil
	}
	t, err := time.Parse(time.RFC3339, o.since)
	if err != nil {
		return opts, fmt.Errorf("--since %q: use a duration such as 5m, or a time such as 2026-01-02T15:04:05Z", o.since)
	}
	opts.Since = t
	return opts, nil
}

type logRow struct {
	formatter.HeaderContext
	sandbox.LogLine
}

// MarshalJSON encodes the line alone.
func (r *logRow) MarshalJSON() ([]byte, error) { return json.Marshal(r.LogLine) }

func runSandboxLogs(ctx context.Context, a *app, l *link, args []string, o *sandboxLogsOptions, opts sandbox.LogOptions) error {
	s, err := l.get(ctx, a, args)
	if err != nil {
		return err
	}
	show := func(line sandbox.LogLine) error {
		if o.format != "" {
			return writeRows(a.cli.Out(), o.format, "", []*logRow{{LogLine: line}})
		}
		_, err := fmt.Fprintln(a.cli.Out(), line)
		return err
	}
	if o.follow {
		err := l.FollowLogs(ctx, s, opts, show)
		if errors.Is(err, context.Canceled) {
			return nil // how one stops to follow
		}
		return err
	}
	lines, err := l.Logs(ctx, s, opts)
	if err != nil {
		return err
	}
	for _, line := range lines {
		if err := show(line); err != nil {
			return err
		}
	}
	return nil
}
