package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// User is who commands run as in a sandbox.
const User = "sandbox"

// handshakeTimeouts bound the SSH handshake, attempt by attempt. The gateway grants a
// tunnel before it has reached the sandbox, and tries that again with growing pauses:
// after a boot of the node, another attempt finds what is there by then. There are no
// more of them than a session may have tunnels at a time.
var handshakeTimeouts = []time.Duration{5 * time.Second, 15 * time.Second, 40 * time.Second}

const (
	// aliveInterval and aliveMissed detect a peer that is gone without a word.
	aliveInterval = 15 * time.Second
	aliveMissed   = 3
)

// Shell is an SSH connection into a sandbox.
type Shell struct {
	client  *ssh.Client
	sandbox Sandbox
	stop    context.CancelFunc
	// silent says that the peer stopped answering.
	silent atomic.Bool
}

// Shell opens a tunnel and an SSH connection through it. The connection ends with ctx.
func (s *Session) Shell(ctx context.Context) (shell *Shell, err error) {
	for _, timeout := range handshakeTimeouts {
		shell, err = s.handshake(ctx, timeout)
		if slow, ok := errors.AsType[net.Error](err); !ok || !slow.Timeout() {
			return shell, err
		}
	}
	return nil, err
}

// handshake makes one attempt.
func (s *Session) handshake(ctx context.Context, timeout time.Duration) (*Shell, error) {
	tunnel, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { tunnel.Close() }) //nolint:errcheck // an early end
	fail := func(err error) (*Shell, error) {
		stop()
		tunnel.Close() //nolint:errcheck // there is an error already
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.handshakeError(err)
	}
	if err := tunnel.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fail(err)
	}
	conn, channels, requests, err := ssh.NewClientConn(tunnel, s.sandbox.Name, &ssh.ClientConfig{
		User: User, HostKeyCallback: s.checkHostKey, ClientVersion: "SSH-2.0-docker-openshell"})
	if err != nil {
		return fail(err)
	}
	if err := tunnel.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	alive, cancel := context.WithCancel(ctx)
	sh := &Shell{client: ssh.NewClient(conn, channels, requests), sandbox: s.sandbox,
		stop: func() { cancel(); stop() }}
	go sh.keepAlive(alive)
	return sh, nil
}

// handshakeError explains a connection that ends before SSH has begun: then it was the
// sandbox that refused the gateway, and the one thing that it checks is the secret.
func (s *Session) handshakeError(err error) error {
	if errors.Is(err, io.EOF) || strings.Contains(err.Error(), "handshake failed: EOF") {
		return fail(CauseRefused, "it may hold an older SSH handshake secret than the gateway: 'docker openshell status' names such sandboxes; they have to be made anew",
			"sandbox %q refused the gateway's connection", s.sandbox.Name)
	}
	return fail(CauseCut, "", "open an SSH connection to sandbox %q: %w", s.sandbox.Name, err)
}

// checkHostKey compares with the fingerprint that the gateway gave. The present
// servers give none: a sandbox makes a new key at each start, and the tunnel itself is
// what authenticates it.
func (s *Session) checkHostKey(_ string, _ net.Addr, key ssh.PublicKey) error {
	if s.fingerprint == "" || ssh.FingerprintSHA256(key) == s.fingerprint {
		return nil
	}
	return errors.New("the host key is not the one that the gateway names")
}

// Close ends the connection.
func (s *Shell) Close() error {
	s.stop()
	if err := s.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// keepAlive closes a connection whose peer does not answer any more.
func (s *Shell) keepAlive(ctx context.Context) {
	answers := make(chan struct{}, 1)
	missed := 0
	ticker := time.NewTicker(aliveInterval)
	defer ticker.Stop()
	asked := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-answers:
			missed, asked = 0, false
		case <-ticker.C:
			if asked {
				missed++
			}
			if missed >= aliveMissed {
				s.silent.Store(true)
				s.client.Close() //nolint:errcheck // what waits for it gets the error
				return
			}
			if !asked {
				asked = true
				go func() {
					if _, _, err := s.client.SendRequest("keepalive@openssh.com", true, nil); err == nil {
						answers <- struct{}{}
					}
				}()
			}
		}
	}
}

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
	session.Stdout, session.Stderr = o.Stdout, o.Stderr
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
	return s.exit(ctx, session.Wait())
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
	return fail(CauseCut, "", "sandbox %q: %w", s.sandbox.Name, err)
}
