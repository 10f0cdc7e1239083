// Command openshell-sandbox is a small peer of OpenShell's sandbox supervisor, to test
// against. In a sandbox's pod it runs the sandbox's command and serves SSH, behind the
// NSSH1 handshake of servers up to 0.0.34 or through the relay of later ones. Unlike
// the real one it confines nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

const version = "0.0.34-test"

// stopGrace is how long the sandbox's command may take to end when it is told to.
const stopGrace = 3 * time.Second

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("openshell-sandbox " + version)
		return
	}
	if os.Getpid() == 1 {
		os.Exit(runInit())
	}
	s, err := readSettings(os.Getenv)
	if err == nil {
		// What runs in the sandbox must not inherit it.
		err = os.Unsetenv(secretVariable)
	}
	if err != nil {
		log.Fatalf("openshell-sandbox: %v", err)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := supervise(ctx, s); err != nil {
		log.Fatalf("openshell-sandbox: %v", err)
	}
}

// supervise runs the sandbox's command and serves SSH beside it, until the command
// ends, which is an error, or the context does.
func supervise(parent context.Context, s *settings) error {
	user, err := lookupAccount(s.user, s.directory)
	if err != nil {
		return err
	}
	ssh, err := newSSHServer(user)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)

	if s.listen != "" {
		listener, err := listenTCP(s.listen)
		if err != nil {
			return err
		}
		go func() { cancel(serveTCP(ctx, listener, newVerifier(s.secret, s.skew), ssh)) }()
	}
	if s.socket != "" {
		listener, err := listenSocket(s.socket)
		if err != nil {
			return err
		}
		go func() { cancel(accept(ctx, listener, ssh.serve)) }()
		relay, err := newRelay(s)
		if err != nil {
			return err
		}
		go relay.run(ctx)
	}

	command := user.command(s.command[0], s.command[1:]...)
	// The sandbox's command sees the pod's environment, as with the real supervisor.
	command.Env = append(os.Environ(), command.Env...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the sandbox's command: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	log.Printf("sandbox %q runs %q", s.sandboxID, s.command)
	select {
	case err := <-ended:
		if err == nil {
			err = errors.New("exit status 0")
		}
		return fmt.Errorf("the sandbox's command ended: %w", err)
	case <-ctx.Done():
	}
	log.Print("stopping")
	if err := stop(command, ended); err != nil {
		return err
	}
	if parent.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}

// stop asks a command's process group to end, and ends it if it does not.
func stop(command *exec.Cmd, ended <-chan error) error {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(-command.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("send %s to the sandbox's command: %w", s, err)
		}
		select {
		case <-ended:
			return nil
		case <-time.After(stopGrace):
		}
	}
	return errors.New("the sandbox's command does not end")
}
