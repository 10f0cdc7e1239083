package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// testGateway is the server's side of the relay. It knows one sandbox.
type testGateway struct {
	openshellpb.UnimplementedOpenShellServer
	heartbeats chan struct{}
	// sessions are those that were accepted, relays the channels that arrived.
	sessions chan *testSupervisor
	relays   chan *testChannel
}

type testSupervisor struct {
	stream  grpc.BidiStreamingServer[openshellpb.SupervisorMessage, openshellpb.GatewayMessage]
	results chan *openshellpb.RelayOpenResult
}

// testChannel is a channel as a stream of bytes; close ends its call.
type testChannel struct {
	id   string
	conn net.Conn
}

func (g *testGateway) ConnectSupervisor(stream grpc.BidiStreamingServer[openshellpb.SupervisorMessage, openshellpb.GatewayMessage]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.GetHello().GetSandboxId() != "known" || first.GetHello().GetInstanceId() == "" {
		return status.Error(codes.NotFound, "sandbox not found")
	}
	accepted := &openshellpb.SessionAccepted{SessionId: "s", HeartbeatIntervalSecs: 1}
	if err := stream.Send(&openshellpb.GatewayMessage{
		Payload: &openshellpb.GatewayMessage_SessionAccepted{SessionAccepted: accepted},
	}); err != nil {
		return err
	}
	session := &testSupervisor{stream: stream, results: make(chan *openshellpb.RelayOpenResult, 16)}
	g.sessions <- session
	for {
		message, err := stream.Recv()
		if err != nil {
			return err
		}
		if message.GetHeartbeat() != nil {
			select {
			case g.heartbeats <- struct{}{}:
			default:
			}
		}
		if result := message.GetRelayOpenResult(); result != nil {
			session.results <- result
		}
	}
}

func (s *testSupervisor) open(t *testing.T, id string) {
	t.Helper()
	if err := s.stream.Send(&openshellpb.GatewayMessage{
		Payload: &openshellpb.GatewayMessage_RelayOpen{RelayOpen: &openshellpb.RelayOpen{ChannelId: id}},
	}); err != nil {
		t.Fatal(err)
	}
}

func (g *testGateway) RelayStream(stream grpc.BidiStreamingServer[openshellpb.RelayFrame, openshellpb.RelayFrame]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	ours, theirs := net.Pipe()
	g.relays <- &testChannel{id: first.GetInit().GetChannelId(), conn: theirs}
	go func() {
		defer ours.Close()
		for {
			frame, err := stream.Recv()
			if err != nil {
				return
			}
			if len(frame.GetData()) > frameMax {
				return
			}
			if _, err := ours.Write(frame.GetData()); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, frameMax)
	for {
		n, err := ours.Read(buffer)
		if n > 0 {
			frame := &openshellpb.RelayFrame{Payload: &openshellpb.RelayFrame_Data{Data: buffer[:n]}}
			if err := stream.Send(frame); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

func newTestGateway() *testGateway {
	return &testGateway{
		heartbeats: make(chan struct{}, 1),
		sessions:   make(chan *testSupervisor, 1),
		relays:     make(chan *testChannel, 16),
	}
}

// listen serves the gateway at an address, where port 0 is any.
func (g *testGateway) listen(t *testing.T, address string) (*grpc.Server, string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	openshellpb.RegisterOpenShellServer(server, g)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return server, listener.Addr().String()
}

// startRelay runs a supervisor's relay for a sandbox.
func startRelay(t *testing.T, address, sandbox string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "ssh.sock")
	r, err := newRelay(&settings{sandboxID: sandbox, endpoint: "http://" + address, socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	r.wait = 10 * time.Millisecond
	listener, err := listenSocket(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		if err := accept(ctx, listener, testSSHServer(t).serve); err != nil {
			t.Error(err)
		}
	}()
	go r.run(ctx)
	return socket
}

func receive[T any](t *testing.T, from <-chan T, what string) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(10 * time.Second):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}

func TestRelay(t *testing.T) {
	gateway := newTestGateway()
	server, address := gateway.listen(t, "127.0.0.1:0")
	socket := startRelay(t, address, "known")
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	session := receive(t, gateway.sessions, "the session")
	receive(t, gateway.heartbeats, "a heartbeat")

	connect := func(id string) *ssh.Client {
		t.Helper()
		session.open(t, id)
		channel := receive(t, gateway.relays, "the channel")
		result := receive(t, session.results, "the result")
		if channel.id != id || result.GetChannelId() != id || !result.GetSuccess() {
			t.Errorf("channel %q, result %v", channel.id, result)
		}
		return sshClient(t, channel.conn)
	}
	one, two := connect("one"), connect("two")
	if out, err := newSession(t, one).Output("echo one"); err != nil || string(out) != "one\n" {
		t.Errorf("got %q, %v", out, err)
	}
	large := newSession(t, two)
	sent, got := sha256.New(), sha256.New()
	large.Stdin = io.TeeReader(io.LimitReader(rand.Reader, 8<<20), sent)
	large.Stdout = got
	if err := large.Run("cat"); err != nil || string(sent.Sum(nil)) != string(got.Sum(nil)) {
		t.Errorf("the data came back changed, or %v", err)
	}

	// A server that is gone ends what it carried, and is found again.
	lost := newSession(t, one)
	if err := lost.Start("sleep 1000 </dev/null"); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	var missing *ssh.ExitMissingError
	if err := lost.Wait(); !errors.As(err, &missing) {
		t.Errorf("the session ended with %v", err)
	}
	gateway.listen(t, address)
	session = receive(t, gateway.sessions, "the session after a restart")
	if out, err := newSession(t, connect("three")).Output("echo three"); err != nil || string(out) != "three\n" {
		t.Errorf("got %q, %v", out, err)
	}
}

func TestRelayWithoutSSH(t *testing.T) {
	gateway := newTestGateway()
	_, address := gateway.listen(t, "127.0.0.1:0")
	socket := startRelay(t, address, "known")
	session := receive(t, gateway.sessions, "the session")
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	session.open(t, "one")
	if result := receive(t, session.results, "the result"); result.GetSuccess() || result.GetError() == "" {
		t.Errorf("the result is %v", result)
	}
}

func TestRelayRefused(t *testing.T) {
	gateway := newTestGateway()
	_, address := gateway.listen(t, "127.0.0.1:0")
	r, err := newRelay(&settings{sandboxID: "unknown", endpoint: "http://" + address})
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := r.connect(t.Context())
	if accepted || status.Code(err) != codes.NotFound {
		t.Errorf("got %v, %v", accepted, err)
	}
}

func TestSettings(t *testing.T) {
	read := func(variables map[string]string) (*settings, error) {
		return readSettings(func(name string) string { return variables[name] })
	}
	s, err := read(map[string]string{
		"OPENSHELL_SSH_LISTEN_ADDR":         "0.0.0.0:2222",
		"OPENSHELL_SSH_HANDSHAKE_SECRET":    testSecret,
		"OPENSHELL_SSH_HANDSHAKE_SKEW_SECS": "7",
	})
	if err != nil || s.skew != 7*time.Second || len(s.command) != 2 || s.command[0] != "sleep" {
		t.Errorf("got %v, %v", s, err)
	}
	for name, variables := range map[string]map[string]string{
		"nothing":     {},
		"no secret":   {"OPENSHELL_SSH_LISTEN_ADDR": ":2222"},
		"bad skew":    {"OPENSHELL_SSH_LISTEN_ADDR": ":2222", "OPENSHELL_SSH_HANDSHAKE_SECRET": "x", "OPENSHELL_SSH_HANDSHAKE_SKEW_SECS": "-1"},
		"no endpoint": {"OPENSHELL_SSH_SOCKET_PATH": "/s", "OPENSHELL_SANDBOX_ID": "i"},
		"no sandbox":  {"OPENSHELL_SSH_SOCKET_PATH": "/s", "OPENSHELL_ENDPOINT": "http://e:1"},
	} {
		if _, err := read(variables); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
	for _, endpoint := range []string{"", "e:1", "http://e", "ftp://e:1", "https://e:1"} {
		if _, err := newRelay(&settings{endpoint: endpoint}); err == nil {
			t.Errorf("the endpoint %q was accepted", endpoint)
		}
	}
}
