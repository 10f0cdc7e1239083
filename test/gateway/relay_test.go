package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// supervise is a sandbox's supervisor: it calls the server and, when asked, relays to
// what listens at an address. An empty address is a sandbox that cannot.
func (w *world) supervise(ctx context.Context, id, address string) grpc.BidiStreamingClient[pb.SupervisorMessage, pb.GatewayMessage] {
	w.Helper()
	call, err := w.client.ConnectSupervisor(ctx)
	w.check(err)
	w.check(call.Send(&pb.SupervisorMessage{Payload: &pb.SupervisorMessage_Hello{Hello: &pb.SupervisorHello{SandboxId: id, InstanceId: "i"}}}))
	first, err := call.Recv()
	w.check(err)
	if accepted := first.GetSessionAccepted(); accepted.GetSessionId() == "" || accepted.GetHeartbeatIntervalSecs() != 15 {
		w.Errorf("accepted %v", first)
	}
	client := w.client
	go func() {
		for {
			message, err := call.Recv()
			if err != nil {
				return
			}
			channel := message.GetRelayOpen().GetChannelId()
			if channel == "" {
				continue
			}
			if address == "" {
				result := &pb.RelayOpenResult{ChannelId: channel, Error: "no SSH here"}
				call.Send(&pb.SupervisorMessage{Payload: &pb.SupervisorMessage_RelayOpenResult{RelayOpenResult: result}}) //nolint:errcheck // the test looks at the other end
				continue
			}
			go relayTo(ctx, client, channel, address)
		}
	}()
	return call
}

func relayTo(ctx context.Context, client pb.OpenShellClient, channel, address string) {
	call, err := client.RelayStream(ctx)
	if err != nil {
		return
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer conn.Close() //nolint:errcheck // the test looks at the other end
	if call.Send(&pb.RelayFrame{Payload: &pb.RelayFrame_Init{Init: &pb.RelayInit{ChannelId: channel}}}) != nil {
		return
	}
	go func() {
		for buffer := make([]byte, frameSize); ; {
			n, err := conn.Read(buffer)
			if n > 0 && call.Send(&pb.RelayFrame{Payload: &pb.RelayFrame_Data{Data: append([]byte(nil), buffer[:n]...)}}) != nil {
				return
			}
			if err != nil {
				call.CloseSend() //nolint:errcheck // the test looks at the other end
				return
			}
		}
	}()
	for {
		frame, err := call.Recv()
		if err != nil {
			return
		}
		if len(frame.GetData()) > frameSize {
			panic("a frame is too large")
		}
		if _, err := conn.Write(frame.GetData()); err != nil {
			return
		}
	}
}

// sshListener serves SSH without a preface, as a sandbox's socket does.
func sshListener(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() }) //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveSSH(conn, conn)
		}
	}()
	return l.Addr().String()
}

// TestRelay runs a command and opens a tunnel over the relay, and follows the phase as
// the supervisor comes and goes.
func TestRelay(t *testing.T) {
	w := newWorld(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	id := string(w.create("box").GetId())
	w.fake.setReady("box", "True", "DependenciesReady")
	w.wait(id, provisioning)

	address := sshListener(t)
	call := w.supervise(ctx, id, address)
	w.wait(id, ready)
	if out, _, code := w.run(&pb.ExecSandboxRequest{SandboxId: id, Command: []string{"cat"}, Stdin: []byte("over the relay")}); out != "over the relay" || code != 0 {
		t.Errorf("%q, %d", out, code)
	}
	code, conn, r := w.dialTunnel(http.MethodConnect, credentialsOf(id, w.session(id)), "")
	if line, err := r.ReadString('\n'); code != 200 || err != nil || line[:8] != "SSH-2.0-" {
		t.Errorf("%d, %q, %v", code, line, err)
	}
	w.check(conn.Close())

	// A second call takes the place of the first, which ends.
	second, stop := context.WithCancel(ctx)
	w.supervise(second, id, "")
	<-call.Context().Done()
	w.wait(id, ready)
	failing, err := w.client.ExecSandbox(ctx, &pb.ExecSandboxRequest{SandboxId: id, Command: []string{"true"}})
	w.check(err)
	if _, err := failing.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a sandbox that cannot: %v", err)
	}
	stop()
	w.wait(id, provisioning)

	w.supervise(ctx, id, address)
	w.wait(id, ready)
	w.restart(true)
	w.wait(id, provisioning)
	w.supervise(ctx, id, address)
	w.wait(id, ready)
}

func TestRelayRefusals(t *testing.T) {
	w := newWorld(t, true)
	call, err := w.client.ConnectSupervisor(t.Context())
	w.check(err)
	w.check(call.Send(&pb.SupervisorMessage{Payload: &pb.SupervisorMessage_Hello{Hello: &pb.SupervisorHello{SandboxId: "unknown"}}}))
	if _, err := call.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown sandbox: %v", err)
	}
	stream, err := w.client.RelayStream(t.Context())
	w.check(err)
	w.check(stream.Send(&pb.RelayFrame{Payload: &pb.RelayFrame_Init{Init: &pb.RelayInit{ChannelId: "unknown"}}}))
	if _, err := stream.Recv(); status.Code(err) != codes.NotFound {
		t.Errorf("an unknown channel: %v", err)
	}
	old := newWorld(t, false)
	none, err := old.client.ConnectSupervisor(t.Context())
	w.check(err)
	if _, err := none.Recv(); status.Code(err) != codes.Unimplemented {
		t.Errorf("a server of the earlier generation: %v", err)
	}
}

// TestRelayPending shows the limits of relays that are being opened.
func TestRelayPending(t *testing.T) {
	r := newRelays()
	box := &pb.Sandbox{Id: []byte("1")}
	if _, err := r.dial(t.Context(), box, ""); status.Code(err) != codes.Unavailable {
		t.Errorf("without a supervisor: %v", err)
	}
	wait, cancel := context.WithCancel(t.Context())
	cancel()
	if r.present(wait, box) == nil {
		t.Error("present without a supervisor")
	}
	v := r.register("1")
	if err := r.present(t.Context(), box); err != nil {
		t.Error(err)
	}
	for range pendingPerSandbox {
		if _, _, err := r.expect("1", newUUID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.dial(t.Context(), box, ""); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too many: %v", err)
	}
	for channel := range r.pending {
		r.fail(channel, errors.New("enough"))
	}
	// The supervisor is gone before it opens its end.
	go func() {
		<-v.messages
		r.unregister(v)
	}()
	if _, err := r.dial(t.Context(), box, ""); status.Code(err) != codes.Unavailable {
		t.Errorf("gone: %v", err)
	}
	// Nobody answers in time.
	v = r.register("1")
	go func() { <-v.messages }()
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.dial(soon, box, ""); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("in time: %v", err)
	}
	if len(r.pending) != 0 {
		t.Error("relays are left")
	}
}
