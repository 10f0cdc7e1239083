package main

import (
	"context"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
)

func newSandbox(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sandbox COMMAND",
		Aliases: []string{"sb"},
		Short:   "Manage sandboxes and work in them",
		Long: `Create sandboxes, run commands in them, copy files, and connect to them.

A gateway that is stopped, or of which only the volume is left, is resumed first. Where
a sandbox can be left out, the one that was used last is meant.`,
		Example: `# Make a sandbox and work in it
docker openshell sandbox create --name demo
docker openshell sandbox connect demo

# Run a command in it
docker openshell sandbox exec -n demo -- ls -l`,
		Args: cli.NoArgs,
		RunE: command.ShowHelp(a.cli.Err()),
	}
	addEndpoint(cmd)
	cmd.AddCommand(
		newSandboxCreate(a),
		newSandboxLs(a),
		newSandboxGet(a),
		newSandboxRm(a),
		newSandboxExec(a),
		newSandboxConnect(a),
		newSSHConfig(a),
		newUpload(a),
		newDownload(a),
		newSandboxLogs(a),
	)
	return cmd
}

// completeSandboxes completes the names of sandboxes, up to limit of them as arguments.
// It asks a gateway that answers at once, and brings none up.
func (a *app) completeSandboxes(limit int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if limit != anyNumber && len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		dir, err := a.dir()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		t, err := a.target(cmd, nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		l := &link{name: t.name, dir: dir}
		if l.open(ctx) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer l.Close() //nolint:errcheck // nothing was changed
		list, err := l.List(ctx, 0, 0)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []cobra.Completion
		for _, s := range list {
			names = append(names, s.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// linked runs f with a connection to the gateway that a command means.
func (a *app) linked(ctx context.Context, cmd *cobra.Command, f func(*link) error) error {
	return a.reached(ctx, cmd, reach{resume: true}, f)
}

// tunnelled is the same for a command that goes into a sandbox.
func (a *app) tunnelled(ctx context.Context, cmd *cobra.Command, f func(*link) error) error {
	return a.reached(ctx, cmd, reach{resume: true, tunnel: true}, f)
}

func (a *app) reached(ctx context.Context, cmd *cobra.Command, how reach, f func(*link) error) error {
	o := output{progress: progressAuto}
	show := o.renderer(a.cli.Err())
	defer show.close()
	how.events = show.event
	l, err := a.connect(ctx, cmd, how)
	show.close()
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // every call has had its answer
	return f(l)
}
