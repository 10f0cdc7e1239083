package main

import (
	"context"
	"errors"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

type sandboxExecOptions struct {
	name     string
	dir      string
	env      []string
	timeout  int
	tty      bool
	noTTY    bool
	userArgs []string
}

func newSandboxExec(a *app) *cobra.Command {
	var o sandboxExecOptions
	cmd := &cobra.Command{
		Use:   "exec [OPTIONS] -- COMMAND [ARG...]",
		Short: "Run a command in a sandbox",
		Long: `Run a command in a sandbox, with standard input, output and error passed through, and
exit with its exit code. SIGINT, SIGTERM, SIGHUP and SIGQUIT are the command's; the
third one ends the connection.

The arguments reach the command as they are: no shell of the sandbox expands them.`,
		Example: `# In the sandbox that was used last
docker openshell sandbox exec -- ls -l

# Pipe through it
tar -c src | docker openshell sandbox exec -n demo -- tar -x -C /sandbox

# With a terminal
docker openshell sandbox exec -n demo --tty -- top`,
		Args:              cli.RequiresMinArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if o.timeout < 0 {
				return usageError(cmd, errors.New("--timeout is a number of seconds, 0 for none"))
			}
			o.userArgs = args
			return a.tunnelled(ctx, cmd, func(l *link) error { return runSandboxExec(ctx, a, l, &o) })
		}),
	}
	f := cmd.Flags()
	// What follows the command is the command's.
	f.SetInterspersed(false)
	f.StringVarP(&o.name, "name", "n", "", "Sandbox to run it in (default: the one that was used last)")
	f.StringVarP(&o.dir, "workdir", "w", "", "Directory to run it in (default: the workspace)")
	f.StringArrayVarP(&o.env, "env", "e", nil, "Set an environment variable (NAME=VALUE)")
	f.IntVar(&o.timeout, "timeout", 0, "Seconds after which to give up with exit code 124, 0 for none")
	f.BoolVarP(&o.tty, "tty", "t", false, "Give the command a terminal (default: if standard input and output are terminals)")
	f.BoolVar(&o.noTTY, "no-tty", false, "Give the command no terminal")
	cmd.MarkFlagsMutuallyExclusive("tty", "no-tty")
	complete(cmd, "name", a.completeSandboxes(anyNumber))
	for _, flag := range []string{"workdir", "env", "timeout"} {
		complete(cmd, flag, cobra.NoFileCompletions)
	}
	return cmd
}

func runSandboxExec(ctx context.Context, a *app, l *link, o *sandboxExecOptions) error {
	var names []string
	if o.name != "" {
		names = []string{o.name}
	}
	s, err := l.get(ctx, a, names)
	if err != nil {
		return err
	}
	return a.shell(ctx, l, s, shellOptions{args: o.userArgs, dir: o.dir, env: o.env, tty: o.tty || !o.noTTY && a.terminal(),
		timeout: time.Duration(o.timeout) * time.Second})
}

// terminal says that somebody sits in front of both streams.
func (a *app) terminal() bool { return a.cli.In().IsTerminal() && a.cli.Out().IsTerminal() }

// shell runs a command in a sandbox and exits as it did.
func (a *app) shell(ctx context.Context, l *link, s sandbox.Sandbox, o shellOptions) error {
	if err := l.remember(s.Name); err != nil {
		return err
	}
	code, err := a.runInSandbox(ctx, l.Client, s, o)
	if err != nil {
		return err
	}
	return exitAs(code)
}

func newSandboxConnect(a *app) *cobra.Command {
	return refuse(&cobra.Command{
		Use:   "connect [NAME]",
		Short: "Open a shell in a sandbox",
		Long: `Open an interactive shell in a sandbox. It needs a terminal; to run one command, see
"sandbox exec".`,
		Example:           `docker openshell sandbox connect demo`,
		Args:              cli.RequiresMaxArgs(1),
		ValidArgsFunction: a.completeSandboxes(onlyOne),
		RunE: run(onlyReading, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if !a.terminal() {
				return errors.New("a shell needs a terminal; to run a command: docker openshell sandbox exec -- COMMAND")
			}
			return a.tunnelled(ctx, cmd, func(l *link) error {
				s, err := l.get(ctx, a, args)
				if err != nil {
					return err
				}
				return a.shell(ctx, l, s, shellOptions{tty: true})
			})
		}),
	}, "editor")
}
