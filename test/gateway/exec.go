package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	// execWait bounds the wait for a sandbox that is ready and cannot be reached yet.
	execWait = 15 * time.Second
	// exitTimeout is the code of a command that ran too long, as timeout(1) has it.
	exitTimeout = 124
	// exitUnknown is the code of a command whose end was not told.
	exitUnknown = 1
)

// ExecSandbox runs a command through an SSH client of the server's own.
func (s *service) ExecSandbox(req *pb.ExecSandboxRequest, out grpc.ServerStreamingServer[pb.ExecSandboxEvent]) error {
	command, err := shellCommand(req)
	if err != nil {
		return err
	}
	row, err := s.byID(out.Context(), req.GetSandboxId())
	if err != nil {
		return err
	}
	if row.GetPhase() != ready {
		return status.Error(codes.FailedPrecondition, notReadyText)
	}
	ctx := out.Context()
	wait, cancel := context.WithTimeout(ctx, execWait)
	defer cancel()
	if err := s.hop.present(wait, row.Sandbox); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	id := string(row.GetId())
	code, err := s.exec(ctx, req, row.Sandbox, command, out)
	if err != nil {
		s.journal.log(id, "WARN", "exec", "exec failed", "error", err.Error())
		if ctx.Err() != nil {
			return status.FromContextError(ctx.Err()).Err()
		}
		if _, ok := status.FromError(err); ok {
			return err
		}
		return status.Error(codes.Internal, err.Error())
	}
	s.journal.log(id, "INFO", "exec", "exec ended", "exit_code", strconv.Itoa(code))
	return out.Send(&pb.ExecSandboxEvent{Payload: &pb.ExecSandboxEvent_Exit{Exit: &pb.ExecSandboxExit{ExitCode: int32(code)}}})
}

// exec connects, runs the command, and returns its exit code once all output is sent.
func (s *service) exec(ctx context.Context, req *pb.ExecSandboxRequest, sandbox *pb.Sandbox, command string, out grpc.ServerStreamingServer[pb.ExecSandboxEvent]) (int, error) {
	run := ctx
	if seconds := req.GetTimeoutSeconds(); seconds > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
	}
	code, err := s.execOver(run, req, sandbox, command, out)
	if err != nil && run.Err() != nil && ctx.Err() == nil {
		return exitTimeout, nil
	}
	return code, err
}

func (s *service) execOver(ctx context.Context, req *pb.ExecSandboxRequest, sandbox *pb.Sandbox, command string, out grpc.ServerStreamingServer[pb.ExecSandboxEvent]) (int, error) {
	// The sandbox looks at the form of a token only; this one is good for nothing else.
	conn, err := s.hop.dial(ctx, sandbox, newUUID())
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // the command has ended
	stop := context.AfterFunc(ctx, func() {
		conn.Close() //nolint:errcheck // it ends what waits below
	})
	defer stop()
	// A sandbox makes a new host key at each start. The handshake, or the relay, has
	// shown already who it is.
	inner, channels, requests, err := ssh.NewClientConn(conn, string(sandbox.GetName()), &ssh.ClientConfig{User: "sandbox", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		return 0, fmt.Errorf("speak SSH with the sandbox: %w", err)
	}
	client := ssh.NewClient(inner, channels, requests)
	defer client.Close() //nolint:errcheck // the command has ended
	run, err := client.NewSession()
	if err != nil {
		return 0, fmt.Errorf("open an SSH session: %w", err)
	}
	defer run.Close() //nolint:errcheck // the command has ended
	if req.GetTty() {
		if err := run.RequestPty("xterm-256color", 24, 80, ssh.TerminalModes{}); err != nil {
			return 0, fmt.Errorf("ask for a terminal: %w", err)
		}
	}
	var mu sync.Mutex
	run.Stdin = bytes.NewReader(req.GetStdin())
	run.Stdout = &output{mu: &mu, out: out, event: func(data []byte) *pb.ExecSandboxEvent {
		return &pb.ExecSandboxEvent{Payload: &pb.ExecSandboxEvent_Stdout{Stdout: &pb.ExecSandboxStdout{Data: data}}}
	}}
	run.Stderr = &output{mu: &mu, out: out, event: func(data []byte) *pb.ExecSandboxEvent {
		return &pb.ExecSandboxEvent{Payload: &pb.ExecSandboxEvent_Stderr{Stderr: &pb.ExecSandboxStderr{Data: data}}}
	}}
	err = run.Run(command)
	if _, ok := errors.AsType[*ssh.ExitMissingError](err); ok && ctx.Err() != nil {
		// It is here that the command's end was not waited for.
		return 0, ctx.Err()
	}
	return exitCode(err)
}

// exitCode reads the code of a command out of what the SSH client says of its end.
func exitCode(err error) (int, error) {
	if err == nil {
		return 0, nil
	}
	if exit, ok := errors.AsType[*ssh.ExitError](err); ok {
		return exit.ExitStatus(), nil
	}
	if _, ok := errors.AsType[*ssh.ExitMissingError](err); ok {
		return exitUnknown, nil
	}
	return 0, fmt.Errorf("run the command: %w", err)
}

// output sends what it is given as events; the two of a command share a lock.
type output struct {
	mu    *sync.Mutex
	out   grpc.ServerStreamingServer[pb.ExecSandboxEvent]
	event func([]byte) *pb.ExecSandboxEvent
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	// The sender may keep the message, the caller reuses its buffer.
	if err := o.out.Send(o.event(bytes.Clone(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
