package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/docker/cli/cli"
	"github.com/spf13/cobra"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

type sandboxCreateOptions struct {
	output
	name        string
	from        string
	uploads     []string
	noGitIgnore bool
	gpu         bool
	noKeep      bool
	keepFailed  bool
	noBootstrap bool
	tty, noTTY  bool
}

const (
	envProvision     = "OPENSHELL_PROVISION_TIMEOUT"
	defaultProvision = 300 * time.Second
)

func newSandboxCreate(a *app) *cobra.Command {
	var o sandboxCreateOptions
	cmd := &cobra.Command{
		Use:   "create [OPTIONS] [-- COMMAND [ARG...]]",
		Short: "Create a sandbox, and run a command in it",
		Long: `Create a sandbox and wait until it is ready. Then run the command in it, if one is
given, and exit with its exit code; on a terminal, and without a command, open a shell.

A gateway that is stopped, or of which only the volume is left, is resumed first; where
there is none at all, one is started. If a gateway cannot be resumed because its state is
broken, a new one is built, and the old state is kept as a snapshot. For any other
cause, such as a port that is taken or a daemon that does not run, nothing is rebuilt.

A sandbox that cannot be made leaves nothing behind, unless --keep-failed is given.`,
		Example: `# A sandbox with a name, and a shell in it
docker openshell sandbox create --name demo

# Run a command in a new sandbox and delete it afterwards
docker openshell sandbox create --no-keep -- sh -c 'id; pwd'

# From an image that is built here, with the files of this directory
docker openshell sandbox create --from . --upload . -- make test`,
		Args:              cli.RequiresMinArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: run(func(*cobra.Command, []string) interruption {
			return interruption{text: "interrupted", hint: "see 'docker openshell sandbox ls'"}
		}, func(ctx context.Context, cmd *cobra.Command, args []string) error {
			return runSandboxCreate(ctx, a, cmd, args, &o)
		}),
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringVar(&o.name, "name", "", "Name of the sandbox (default: the gateway makes one up)")
	f.StringVar(&o.from, "from", "", "Image, Dockerfile or directory with one, or the name of a community sandbox (default: the gateway's image)")
	f.StringArrayVar(&o.uploads, "upload", nil, "Copy a file or directory into the sandbox first (LOCAL[:DEST])")
	f.BoolVar(&o.noGitIgnore, "no-git-ignore", false, "Upload files that git ignores, too")
	f.BoolVar(&o.gpu, "gpu", false, "Give the sandbox a GPU")
	f.BoolVar(&o.noKeep, "no-keep", false, "Delete the sandbox when the command or shell has ended")
	f.BoolVar(&o.keepFailed, "keep-failed", false, "Leave a sandbox that does not become ready, to look at it")
	f.BoolVar(&o.noBootstrap, "no-bootstrap", false, "Do not start, resume or rebuild a gateway")
	f.BoolVarP(&o.tty, "tty", "t", false, "Give the command a terminal (default: if standard input and output are terminals)")
	f.BoolVar(&o.noTTY, "no-tty", false, "Give the command no terminal")
	o.output.add(cmd, "Print only the name of the sandbox")
	cmd.MarkFlagsMutuallyExclusive("tty", "no-tty")
	// What the openshell CLI does by default, and has hidden flags for.
	for _, name := range []string{"keep", "bootstrap"} {
		f.Bool(name, true, "")
		f.Lookup(name).Hidden = true
	}
	complete(cmd, "name", cobra.NoFileCompletions)
	addRemote(cmd)
	return refuse(cmd, "policy", "provider", "auto-providers", "no-auto-providers", "editor", "forward")
}

func runSandboxCreate(ctx context.Context, a *app, cmd *cobra.Command, args []string, o *sandboxCreateOptions) error {
	tty := o.tty || !o.noTTY && a.terminal()
	if o.noKeep && len(args) == 0 && !tty {
		return usageError(cmd, errors.New("--no-keep without a command or a terminal would delete the sandbox at once"))
	}
	if o.name != "" {
		if err := sandbox.ValidateName(o.name); err != nil {
			return err
		}
	}
	limit, err := provisionTimeout(os.Getenv)
	if err != nil {
		return err
	}
	uploads, err := parseUploads(ctx, o.uploads, o.noGitIgnore)
	if err != nil {
		return err
	}
	from, err := parseFrom(o.from, os.Getenv)
	if err != nil {
		return err
	}
	show := o.renderer(a.cli.Err())
	defer show.close()
	l, err := a.connect(ctx, cmd, reach{events: show.event, resume: !o.noBootstrap, create: !o.noBootstrap})
	if err != nil {
		return err
	}
	defer l.Close() //nolint:errcheck // every call has had its answer
	image, err := a.prepareImage(ctx, l, from, show)
	if err != nil {
		return err
	}
	s, err := l.Create(ctx, sandbox.CreateOptions{Name: o.name, Image: image, GPU: o.gpu || from.gpu})
	if err != nil {
		return err
	}
	if err := a.provision(ctx, l, &s, o, show, limit, uploads); err != nil {
		return err
	}
	if !o.noKeep {
		if err := l.remember(s.Name); err != nil {
			return err
		}
	}
	if len(args) == 0 && !tty {
		return nil
	}
	code, err := a.runInSandbox(ctx, l.Client, s, shellOptions{args: args, tty: tty})
	if o.noKeep {
		err = errors.Join(err, a.discard(ctx, l, s))
	}
	if err != nil {
		return err
	}
	return exitAs(code)
}

// provision waits for a new sandbox and fills it. One that comes to nothing is deleted.
func (a *app) provision(ctx context.Context, l *link, s *sandbox.Sandbox, o *sandboxCreateOptions, show renderer, limit time.Duration, uploads []upload) error {
	if o.quiet {
		fmt.Fprintln(a.cli.Out(), s.Name)
	} else {
		fmt.Fprintf(a.cli.Out(), "Created sandbox: %s\n", s.Name)
	}
	step := gateway.Event{Step: "provision", Text: "Provisioning sandbox " + s.Name}
	emit := func(kind gateway.EventKind) { e := step; e.Kind = kind; show.event(e) }
	emit(gateway.StepStarted)
	wait, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ready, err := l.WaitReady(wait, *s, func(p sandbox.Progress) {
		e := step
		e.Kind, e.Text = gateway.Progress, p.Reason+with(": ", p.Message)
		show.event(e)
	})
	if err == nil {
		emit(gateway.StepDone)
		*s = ready
		err = a.uploadAll(ctx, l.Client, *s, uploads, show)
	} else {
		emit(gateway.StepFailed)
	}
	show.close()
	if err == nil {
		return nil
	}
	if o.keepFailed {
		fmt.Fprintf(a.cli.Err(), "Sandbox %q is kept; to remove it: docker openshell sandbox rm %[1]s\n", s.Name)
		return err
	}
	return errors.Join(err, a.discard(ctx, l, *s))
}

// discardTimeout bounds the deletion of a sandbox, which is not cut short by what
// ended the command.
const discardTimeout = 30 * time.Second

func (a *app) discard(ctx context.Context, l *link, s sandbox.Sandbox) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTimeout)
	defer cancel()
	err := l.Delete(ctx, s.Name)
	if sandbox.CauseOf(err) == sandbox.CauseAbsent {
		return nil
	}
	return err
}

func provisionTimeout(getenv func(string) string) (time.Duration, error) {
	text := getenv(envProvision)
	if text == "" {
		return defaultProvision, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 || seconds > 86400 {
		return 0, &gateway.Error{Cause: gateway.CauseInvalid, Err: fmt.Errorf("%s=%q is not a number of seconds", envProvision, text),
			Hint: "use 1 to 86400, or unset it for " + strconv.Itoa(int(defaultProvision/time.Second))}
	}
	return time.Duration(seconds) * time.Second, nil
}
