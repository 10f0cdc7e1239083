// Package k3sexec runs commands, kubectl and image imports in one container. It
// knows nothing of gateways: it is given a container's ID and runs what it is told.
//
// Every command is attached without a terminal, so that the two output streams stay
// apart, is read until both end, and has a deadline that also ends the process
// inside: the Engine API cannot kill an exec, so the deadline travels with it.
package k3sexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// API is the part of the Engine API that this package calls.
type API interface {
	ExecCreate(ctx context.Context, container string, options client.ExecCreateOptions) (client.ExecCreateResult, error)
	ExecAttach(ctx context.Context, execID string, options client.ExecAttachOptions) (client.ExecAttachResult, error)
	ExecInspect(ctx context.Context, execID string, options client.ExecInspectOptions) (client.ExecInspectResult, error)
}

// Container is a running container in which commands can be executed.
type Container struct {
	api API
	id  string
}

// New returns the container with the given ID.
func New(api API, id string) *Container { return &Container{api: api, id: id} }

// DefaultTimeout bounds a command that sets no timeout of its own.
const DefaultTimeout = 30 * time.Second

// grace is how long after its deadline a command may take to die and its streams to
// close, before the connection is given up.
const grace = 5 * time.Second

// Command is one command to run.
type Command struct {
	// Argv is the command and its arguments. No secret belongs here: every user of
	// the daemon can read it.
	Argv []string
	// Stdin is what the command reads; nil means nothing.
	Stdin io.Reader
	// Timeout ends the command inside the container; 0 means [DefaultTimeout].
	Timeout time.Duration
}

// ExitError is a command that ran and ended with another code than zero.
type ExitError struct {
	// Argv is what was run, without the wrapper that bounds its time.
	Argv []string
	// Code is its exit code; 124 is also what ends a command that ran too long.
	Code int
	// Stderr is the end of what it wrote there: at most 10 lines and 2 KiB.
	Stderr string
}

func (e *ExitError) Error() string {
	msg := fmt.Sprintf("%s: exit code %d", strings.Join(e.Argv, " "), e.Code)
	if e.Stderr != "" {
		msg += ": " + e.Stderr
	}
	return msg
}

// bounded wraps argv so that it is ended inside the container after d. Not every
// image has a timeout applet: without one the command runs unbounded inside, and
// only our side gives up.
func bounded(argv []string, d time.Duration) []string {
	const script = `t=$1; shift; if command -v timeout >/dev/null 2>&1; then exec timeout "$t" "$@"; fi; exec "$@"`
	seconds := strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
	return append([]string{"sh", "-c", script, "sh", seconds}, argv...)
}

// Run runs a command to its end and returns what it wrote to standard output. A
// non-zero exit code is an [*ExitError]; any other error means that it is not known
// whether, or how, the command ended.
func (c *Container) Run(ctx context.Context, cmd Command) ([]byte, error) {
	if cmd.Timeout <= 0 {
		cmd.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cmd.Timeout+grace,
		fmt.Errorf("%s: no answer after %s", strings.Join(cmd.Argv, " "), cmd.Timeout+grace))
	defer cancel()
	var stdout bytes.Buffer
	stderr := &tail{lines: 10, bytes: 2048}
	code, err := c.attach(ctx, bounded(cmd.Argv, cmd.Timeout), cmd.Stdin, &stdout, stderr)
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", strings.Join(cmd.Argv, " "), err)
	}
	if code != 0 {
		return stdout.Bytes(), &ExitError{Argv: cmd.Argv, Code: code, Stderr: stderr.String()}
	}
	return stdout.Bytes(), nil
}

// Stream runs a shell script until it ends or ctx does, and hands it to stdout as
// it writes. The script is given args as its positional parameters. Its standard
// input stays open and empty for as long as the caller listens: a script that must
// not outlive the caller watches it for its end.
func (c *Container) Stream(ctx context.Context, script string, args []string, stdout io.Writer) error {
	stderr := &tail{lines: 10, bytes: 2048}
	leash, hold := io.Pipe()
	defer hold.Close() //nolint:errcheck // closing a pipe cannot fail
	argv := append([]string{"sh", "-c", script, "sh"}, args...)
	code, err := c.attach(ctx, argv, leash, stdout, stderr)
	if err != nil {
		return err
	}
	if code != 0 {
		return &ExitError{Argv: []string{"sh"}, Code: code, Stderr: stderr.String()}
	}
	return nil
}

// attach runs argv and copies its streams until both have ended: an exec that is
// attached to but not read blocks its command for good, and its exit code is only
// to be trusted after the end of its output.
func (c *Container) attach(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	created, err := c.api.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		AttachStdin:  stdin != nil,
		AttachStdout: true,
		AttachStderr: true,
		Cmd:          argv,
	})
	if err != nil {
		return 0, cause(ctx, err)
	}
	conn, err := c.start(ctx, created.ID)
	if err != nil {
		return 0, cause(ctx, err)
	}
	defer conn.Close()
	// The hijacked connection does not know our context: closing it is the only way
	// to end the copy below.
	stop := context.AfterFunc(ctx, conn.Close)
	defer stop()

	if stdin != nil {
		go func() {
			// A command that ends before it read all its input closes the stream;
			// its exit code then tells more than the write error.
			_, copyErr := io.Copy(conn.Conn, stdin)
			if closeErr := conn.CloseWrite(); copyErr == nil && closeErr != nil {
				conn.Close()
			}
		}()
	}
	if _, err := stdcopy.StdCopy(stdout, stderr, conn.Reader); err != nil {
		return 0, cause(ctx, err)
	}
	if err := ctx.Err(); err != nil {
		return 0, cause(ctx, err)
	}
	done, err := c.api.ExecInspect(ctx, created.ID, client.ExecInspectOptions{})
	if err != nil {
		return 0, cause(ctx, err)
	}
	if done.Running {
		return 0, errors.New("the streams ended before the command did")
	}
	return done.ExitCode, nil
}

// start starts an exec and connects to it, until ctx ends. The client's own call does not
// end with ctx while the daemon starts the process, which it does not get to in a
// container that is paused meanwhile.
func (c *Container) start(ctx context.Context, id string) (client.ExecAttachResult, error) {
	type outcome struct {
		conn client.ExecAttachResult
		err  error
	}
	started := make(chan outcome, 1)
	go func() {
		conn, err := c.api.ExecAttach(ctx, id, client.ExecAttachOptions{})
		started <- outcome{conn, err}
	}()
	select {
	case o := <-started:
		return o.conn, o.err
	case <-ctx.Done():
		go func() {
			if o := <-started; o.err == nil {
				o.conn.Close()
			}
		}()
		return client.ExecAttachResult{}, ctx.Err()
	}
}

// cause prefers the reason for which a context ended to the error that its end
// made elsewhere.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
