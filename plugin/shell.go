package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/docker-openshell/docker-openshell/internal/sandbox"
)

// Signals to a command in a sandbox.
const (
	// lastSignal is the one that ends our side, whatever the command does.
	lastSignal = 3
	// farewell is how long a command has to end after docker itself was told to.
	farewell = 10 * time.Second
)

// signalNames are those that are passed on.
var signalNames = map[os.Signal]string{os.Interrupt: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT"}

// shellOptions describe a command in a sandbox, as its user gave it.
type shellOptions struct {
	args    []string
	dir     string
	env     []string
	tty     bool
	timeout time.Duration // 0 is none
}

// exitTimeout is what a command that ran too long exits with.
const exitTimeout = 124

// runInSandbox runs a command and returns its exit code. While it runs, signals are
// the command's and not ours.
func (a *app) runInSandbox(cmdCtx context.Context, c *sandbox.Client, s sandbox.Sandbox, o shellOptions) (code int, err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmdCtx))
	defer cancel()
	// Until the command runs an interruption is ours.
	stop := context.AfterFunc(cmdCtx, cancel)
	shell, err := c.Shell(ctx, s)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shell.Close()) }()
	if !stop() {
		return 0, ctx.Err()
	}
	run := sandbox.RunOptions{Args: o.args, Dir: o.dir, Env: o.env, Stdin: a.cli.In(), Stdout: a.cli.Out(), Stderr: a.cli.Err()}
	if o.tty {
		restore, err := a.raw(&run)
		if err != nil {
			return 0, err
		}
		defer restore()
		run.Resize = resizes(ctx, a.cli.Out())
	}
	names := make(chan string)
	run.Signals = names
	interrupted, expired := false, false
	finished := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		interrupted, expired = passSignals(cmdCtx, o.timeout, names, finished)
		if interrupted || expired {
			cancel()
			shell.Close() //nolint:errcheck // what waits for it gets the error
		}
	}()
	code, err = shell.Run(ctx, run)
	close(finished)
	<-watched
	switch {
	case expired:
		return exitTimeout, nil
	case interrupted:
		return exitInterrupted, nil
	}
	return code, err
}

// passSignals hands signals on to a command until it has finished. It reports whether
// the user has had enough of it, or its time is over.
func passSignals(ctx context.Context, timeout time.Duration, names chan<- string, finished <-chan struct{}) (interrupted, expired bool) {
	signals := make(chan os.Signal, lastSignal)
	for s := range signalNames {
		signal.Notify(signals, s)
	}
	defer signal.Stop(signals)
	var over, gone <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		over = t.C
	}
	count, canceled := 0, ctx.Done()
	// A signal waits here for a command that is not there yet; a later one takes its place.
	var name string
	var next chan<- string
	for {
		select {
		case <-finished:
			return false, false
		case <-over:
			return false, true
		case <-gone:
			return true, false
		case next <- name:
			next = nil
		case s := <-signals:
			count++
			if count >= lastSignal {
				return true, false
			}
			name, next = signalNames[s], names
		case <-canceled:
			// A signal of ours ends the context too. Where there was none, docker was
			// told to end, and told us; it will not do so again.
			canceled = nil
			if count == 0 && len(signals) == 0 {
				name, next, gone = "TERM", names, time.After(farewell)
			}
		}
	}
}

// raw hands the terminal over to the sandbox.
func (a *app) raw(run *sandbox.RunOptions) (restore func(), err error) {
	if run.Term = os.Getenv("TERM"); run.Term == "" {
		run.Term = "xterm-256color"
	}
	height, width := a.cli.Out().GetTtySize()
	run.Size = sandbox.Size{Width: int(width), Height: int(height)}
	run.Stderr = io.Discard // a terminal has one stream
	if !a.cli.In().IsTerminal() {
		return func() {}, nil
	}
	if err := a.cli.In().SetRawTerminal(); err != nil {
		return nil, fmt.Errorf("hand the terminal over: %w", err)
	}
	if err := a.cli.Out().SetRawTerminal(); err != nil {
		a.cli.In().RestoreTerminal()
		return nil, fmt.Errorf("hand the terminal over: %w", err)
	}
	return func() {
		a.cli.In().RestoreTerminal()
		a.cli.Out().RestoreTerminal()
	}, nil
}

// remoteExit is the exit code of a command in a sandbox, which is not an error of ours
// and of which nothing is said.
type remoteExit int

func (e remoteExit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// exitAs is the error with which a command exits as the remote one did.
func exitAs(code int) error {
	if code == 0 {
		return nil
	}
	return remoteExit(code)
}
