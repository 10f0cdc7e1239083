package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// Size is that of a terminal, in characters.
type Size struct{ Width, Height int }

// RunOptions describe a command in a sandbox.
type RunOptions struct {
	// Args are the command; none means an interactive shell.
	Args []string
	// Dir is the working directory; "" means the workspace.
	Dir string
	// Env holds NAME=VALUE.
	Env            []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Term is the terminal's type; "" means that there is none.
	Term string
	Size Size
	// Resize and Signals are passed on until they are closed; they may be nil. Signals
	// are names without "SIG".
	Resize  <-chan Size
	Signals <-chan string
}

// command is the line for the remote shell.
func (o RunOptions) command() string {
	if len(o.Args) == 0 {
		return ""
	}
	line := quoteAll(o.Args)
	if len(o.Env) > 0 {
		line = "env " + quoteAll(o.Env) + " " + line
	}
	if o.Dir != "" {
		line = "cd " + quote(o.Dir) + " && " + line
	}
	return line
}

// validate refuses what cannot be passed on.
func (o RunOptions) validate() error {
	for _, s := range append(append([]string{o.Dir}, o.Args...), o.Env...) {
		if strings.ContainsRune(s, 0) {
			return fail(CauseInvalid, "", "%q holds a NUL character, which no command can be given", s)
		}
	}
	if len(o.Args) > 0 && o.Args[0] == "" {
		return fail(CauseInvalid, "", "the command is empty")
	}
	for _, e := range o.Env {
		name, _, found := strings.Cut(e, "=")
		if !found || !within(name, 256, alphanumeric+"_") || name[0] >= '0' && name[0] <= '9' {
			return fail(CauseInvalid, "use NAME=VALUE", "%q is no environment variable", e)
		}
	}
	return nil
}

// Run runs a command and returns its exit code. The streams are copied until they
// end; the end of Stdin is passed on.
func (s *Shell) Run(ctx context.Context, o RunOptions) (int, error) {
	if err := o.validate(); err != nil {
		return 0, err
	}
	session, err := s.client.NewSession()
	if err != nil {
		return 0, s.cut(ctx, err)
	}
	defer session.Close() //nolint:errcheck // closed by its end
	lost := make(chan error, 2)
	session.Stdout, session.Stderr = watched(o.Stdout, lost), watched(o.Stderr, lost)
	// A pipe, because waiting for the command must not wait for the input's end.
	stdin, err := session.StdinPipe()
	if err != nil {
		return 0, s.cut(ctx, err)
	}
	if o.Term != "" {
		modes := ssh.TerminalModes{ssh.ECHO: 1, ssh.TTY_OP_ISPEED: 38400, ssh.TTY_OP_OSPEED: 38400}
		if err := session.RequestPty(o.Term, o.Size.Height, o.Size.Width, modes); err != nil {
			return 0, s.cut(ctx, fmt.Errorf("the sandbox gives no terminal: %w", err))
		}
	}
	if line := o.command(); line != "" {
		err = session.Start(line)
	} else {
		err = session.Shell()
	}
	if err != nil {
		return 0, s.cut(ctx, err)
	}
	if o.Stdin == nil {
		o.Stdin = strings.NewReader("")
	}
	go func() {
		// An error of the input ends it; the command's end ends this.
		io.Copy(stdin, o.Stdin) //nolint:errcheck // the command tells whether it had enough
		stdin.Close()           //nolint:errcheck // the same
	}()
	done := make(chan struct{})
	defer close(done)
	go pass(session, o, done)
	return s.wait(ctx, session, lost)
}

// wait waits for the end of a command. One whose output cannot be written is ended: it
// would stand still for ever, because nobody reads on.
func (s *Shell) wait(ctx context.Context, session *ssh.Session, lost <-chan error) (int, error) {
	ended := make(chan error, 1)
	go func() { ended <- session.Wait() }()
	var lostErr error
	select {
	case err := <-ended:
		if len(lost) == 0 {
			return s.exit(ctx, err)
		}
		lostErr = <-lost
	case lostErr = <-lost:
		session.Close() //nolint:errcheck // the sandbox may have ended it already
		// A peer that does not confirm the end is not waited for.
		select {
		case <-ended:
		case <-time.After(time.Second):
		}
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return 0, fmt.Errorf("write what sandbox %q sends: %w", s.sandbox.Name, lostErr)
}

// watched is a writer that reports its first error; nil stays nil.
func watched(w io.Writer, lost chan<- error) io.Writer {
	if w == nil {
		return nil
	}
	return &watchedWriter{w, lost}
}

type watchedWriter struct {
	io.Writer
	lost chan<- error
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		// The library writes no more after it, so there is room for both streams.
		w.lost <- err
	}
	return n, err
}

// pass hands signals and sizes on until the command has ended.
func pass(session *ssh.Session, o RunOptions, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case size, ok := <-o.Resize:
			if !ok {
				o.Resize = nil
				continue
			}
			session.WindowChange(size.Height, size.Width) //nolint:errcheck // a command that ends meanwhile has no window
		case name, ok := <-o.Signals:
			if !ok {
				o.Signals = nil
				continue
			}
			session.Signal(ssh.Signal(name)) //nolint:errcheck // nor takes signals
		}
	}
}

// exit turns the end of a command into its code. A command that a signal ended has
// 128 and the signal's number, as in a shell.
func (s *Shell) exit(ctx context.Context, err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	ended, ok := errors.AsType[*ssh.ExitError](err)
	if !ok {
		return 0, s.cut(ctx, err)
	}
	// The library knows the numbers of the signals, and gives 128 and more.
	return ended.ExitStatus(), nil
}

// cut explains a connection that is no more.
func (s *Shell) cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.silent.Load() {
		return fail(CauseCut, "run the command again; the sandbox keeps its files", "sandbox %q has not answered for %s", s.sandbox.Name, aliveMissed*aliveInterval)
	}
	if _, ok := errors.AsType[*ssh.ExitMissingError](err); ok || errors.Is(err, io.EOF) {
		return fail(CauseCut, "run the command again; the sandbox keeps its files", "the connection to sandbox %q was cut", s.sandbox.Name)
	}
	return fail(CauseCut, "", "sandbox %q: %w", s.sandbox.Name, cleaned{err})
}
