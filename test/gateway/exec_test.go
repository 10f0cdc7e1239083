package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// serveSSH is a sandbox's SSH server as far as exec needs it; commands run in a shell.
func serveSSH(conn net.Conn, r io.Reader) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return
	}
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(signer)
	server, channels, requests, err := ssh.NewServerConn(readAhead{conn, r}, config)
	if err != nil || server.User() != "sandbox" {
		return
	}
	go ssh.DiscardRequests(requests)
	for offer := range channels {
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		go serveChannel(channel, requests)
	}
}

// readAhead is a connection whose first bytes are in a buffer already.
type readAhead struct {
	net.Conn
	r io.Reader
}

func (c readAhead) Read(p []byte) (int, error) { return c.r.Read(p) }

func serveChannel(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close() //nolint:errcheck // the test looks at the other end
	for request := range requests {
		if request.WantReply {
			request.Reply(true, nil) //nolint:errcheck // the test looks at the other end
		}
		var text struct{ Command string }
		if request.Type != "exec" || ssh.Unmarshal(request.Payload, &text) != nil {
			continue
		}
		if text.Command == "vanish" {
			return
		}
		command := exec.Command("sh", "-c", text.Command)
		command.Stdin, command.Stdout, command.Stderr = channel, channel, channel.Stderr()
		code := uint32(0)
		if exit, ok := errors.AsType[*exec.ExitError](command.Run()); ok {
			code = uint32(exit.ExitCode())
		}
		channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code})) //nolint:errcheck // the test looks at the other end
		return
	}
}

// run executes and collects; nothing may follow the exit event.
func (w *world) run(req *pb.ExecSandboxRequest) (stdout, stderr string, code int32) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	call, err := w.client.ExecSandbox(ctx, req)
	w.check(err)
	code = -1
	for {
		event, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return stdout, stderr, code
		}
		w.check(err)
		if code >= 0 {
			w.Error("an event after the exit")
		}
		switch p := event.GetPayload().(type) {
		case *pb.ExecSandboxEvent_Stdout:
			stdout += string(p.Stdout.GetData())
		case *pb.ExecSandboxEvent_Stderr:
			stderr += string(p.Stderr.GetData())
		case *pb.ExecSandboxEvent_Exit:
			code = p.Exit.GetExitCode()
		}
	}
}

func TestExec(t *testing.T) {
	w := newWorld(t, false)
	w.service.hop = testHop(sandboxPeer(t, "OK\n", func(conn *net.TCPConn, r *bufio.Reader) { serveSSH(conn, r) }))
	id := string(w.create("box").GetId())
	early, err := w.client.ExecSandbox(t.Context(), &pb.ExecSandboxRequest{SandboxId: id, Command: []string{"true"}})
	w.check(err)
	if _, err := early.Recv(); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("not ready: %v", err)
	}
	w.fake.setReady("box", "True", "DependenciesReady")
	w.wait(id, ready)

	word := `it's "$HOME" \ * ; exit 9`
	out, stderr, code := w.run(&pb.ExecSandboxRequest{SandboxId: id, Workdir: "/", Environment: map[string]string{"A": word},
		Command: []string{"sh", "-c", `printf '%s|%s|' "$A" "$1"; pwd; cat; echo bad >&2; exit 7`, "sh", word}, Stdin: []byte("input")})
	if want := word + "|" + word + "|/\ninput"; out != want || stderr != "bad\n" || code != 7 {
		t.Errorf("%q, %q, %d", out, stderr, code)
	}
	if _, _, code := w.run(&pb.ExecSandboxRequest{SandboxId: id, Command: []string{"true"}, Tty: true}); code != 0 {
		t.Errorf("with a terminal: %d", code)
	}
	if _, _, code := w.run(&pb.ExecSandboxRequest{SandboxId: id, Command: []string{"vanish"}}); code != exitUnknown {
		t.Errorf("no exit status: %d", code)
	}
	if out, _, code := w.run(&pb.ExecSandboxRequest{SandboxId: id, TimeoutSeconds: 1, Command: []string{"sh", "-c", "echo up; cat; exec tail -f /dev/null"}}); code != exitTimeout || !strings.HasPrefix(out, "up") {
		t.Errorf("timeout: %q, %d", out, code)
	}
}

func TestShellCommand(t *testing.T) {
	long := strings.Repeat("x", maxArgument)
	for _, tt := range []struct {
		req  *pb.ExecSandboxRequest
		want string
	}{
		{&pb.ExecSandboxRequest{Command: []string{"ls", "-l", ""}}, "ls -l ''"},
		{&pb.ExecSandboxRequest{Command: []string{"a"}, Workdir: "/my dir", Environment: map[string]string{"B": "2", "A": "it's"}}, `cd '/my dir' && A='it'"'"'s' B=2 a`},
		{&pb.ExecSandboxRequest{}, ""},
		{&pb.ExecSandboxRequest{Command: make([]string, maxArguments+1)}, ""},
		{&pb.ExecSandboxRequest{Command: []string{long + "x"}}, ""},
		{&pb.ExecSandboxRequest{Command: []string{long, long, long, long, long, long, long, long}}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a\nb"}}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a\x00"}}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a"}, Workdir: "\r"}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a"}, Workdir: long[:maxWorkdir+1]}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a"}, Environment: map[string]string{"1A": ""}}, ""},
		{&pb.ExecSandboxRequest{Command: []string{"a"}, Environment: map[string]string{"A": "\n"}}, ""},
	} {
		got, err := shellCommand(tt.req)
		if got != tt.want || (err == nil) != (tt.want != "") || err != nil && status.Code(err) != codes.InvalidArgument {
			t.Errorf("%.60v: %.60q, %v", tt.req, got, err)
		}
	}
}
