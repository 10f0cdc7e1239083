package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

func found(name string, phase pb.SandboxPhase) *pb.Sandbox {
	return &pb.Sandbox{Id: []byte(id), Name: []byte(name), Phase: phase}
}

// everyCall makes each call once and returns their errors.
func everyCall(ctx context.Context, c *Client) map[string]error {
	box := Sandbox{ID: id, Name: "box"}
	out := map[string]error{}
	_, out["CreateSandbox"] = c.Create(ctx, CreateOptions{Name: "box"})
	_, out["GetSandbox"] = c.Get(ctx, "box")
	_, out["ListSandboxes"] = c.List(ctx, 0, 0)
	out["DeleteSandbox"] = c.Delete(ctx, "box")
	_, out["GetSandboxLogs"] = c.Logs(ctx, box, LogOptions{})
	_, out["CreateSshSession"] = c.newSession(ctx, box)
	out["RevokeSshSession"] = (&Session{client: c, sandbox: box, token: secretToken}).Revoke(ctx)
	out["WatchSandbox"] = c.FollowLogs(ctx, box, LogOptions{}, func(LogLine) error { return nil })
	return out
}

// TestRequests: what each call sends.
func TestRequests(t *testing.T) {
	noLeaks(t)
	got := map[string]proto.Message{}
	c := serve(t, &fake{answer: func(_ context.Context, _ int, call string, req proto.Message) (proto.Message, error) {
		got[call] = proto.Clone(req)
		return nil, status.Error(codes.PermissionDenied, "no")
	}})
	everyCall(t.Context(), c)
	want := map[string]proto.Message{
		"CreateSandbox":    &pb.CreateSandboxRequest{Name: "box", Spec: &pb.SandboxSpec{}}, // without a specification it is refused
		"GetSandbox":       &pb.GetSandboxRequest{Name: "box"},
		"ListSandboxes":    &pb.ListSandboxesRequest{Limit: 500},
		"DeleteSandbox":    &pb.DeleteSandboxRequest{Name: "box"},
		"GetSandboxLogs":   &pb.GetSandboxLogsRequest{SandboxId: id, Lines: 200},
		"CreateSshSession": &pb.CreateSshSessionRequest{SandboxId: id},
		"RevokeSshSession": &pb.RevokeSshSessionRequest{Token: secretToken},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// TestCodes: each status has its cause, whatever the call, and no text of a gateway
// reaches a terminal raw.
func TestCodes(t *testing.T) {
	for code, want := range map[codes.Code]Cause{
		codes.InvalidArgument: CauseInvalid, codes.OutOfRange: CauseInvalid, codes.NotFound: CauseAbsent, codes.AlreadyExists: CauseExists,
		codes.FailedPrecondition: CauseNotReady, codes.DeadlineExceeded: CauseTimeout, codes.ResourceExhausted: CauseBusy,
		codes.PermissionDenied: CauseRefused, codes.Unauthenticated: CauseRefused, codes.Internal: CauseRefused, codes.Unimplemented: CauseRefused,
		codes.Canceled: CauseRefused, codes.DataLoss: CauseRefused, codes.Unknown: CauseRefused,
	} {
		refuse := status.Error(code, strings.ReplaceAll(hostileText, secretToken, "")+"why")
		c := serve(t, &fake{
			answer: func(context.Context, int, string, proto.Message) (proto.Message, error) { return nil, refuse },
			watch: func(int, *pb.WatchSandboxRequest, grpc.ServerStreamingServer[pb.SandboxStreamEvent]) error {
				return refuse
			}})
		for call, err := range everyCall(t.Context(), c) {
			if CauseOf(err) != want {
				t.Errorf("%s, %s: %s: %v", code, call, CauseOf(err), err)
				continue
			}
			fits(t, call, err.Error())
			if strings.Contains(err.Error(), secretToken) {
				t.Errorf("%s shows the token: %v", call, err)
			}
		}
	}
}

// TestRepeated: only what can be done twice is done twice.
func TestRepeated(t *testing.T) {
	noLeaks(t)
	f := &fake{}
	f.answer = func(_ context.Context, n int, call string, _ proto.Message) (proto.Message, error) {
		if n < 2 {
			return nil, status.Error(codes.Unavailable, "starting")
		}
		return map[string]proto.Message{
			"GetSandbox":       &pb.SandboxResponse{Sandbox: found("box", 2)},
			"ListSandboxes":    &pb.ListSandboxesResponse{},
			"GetSandboxLogs":   &pb.GetSandboxLogsResponse{},
			"RevokeSshSession": &pb.RevokeSshSessionResponse{},
		}[call], nil
	}
	errs := everyCall(t.Context(), serve(t, f))
	for _, call := range []string{"GetSandbox", "ListSandboxes", "GetSandboxLogs", "RevokeSshSession"} {
		if errs[call] != nil || f.made(call) != 3 {
			t.Errorf("%s was made %d times: %v", call, f.made(call), errs[call])
		}
	}
	for _, call := range []string{"CreateSandbox", "DeleteSandbox", "CreateSshSession"} {
		if CauseOf(errs[call]) != CauseUnreachable || f.made(call) != 1 {
			t.Errorf("%s was made %d times: %v", call, f.made(call), errs[call])
		}
	}
}

// TestUnreachable: nobody but the gateway itself is talked to.
func TestUnreachable(t *testing.T) {
	noLeaks(t)
	ours, other := newAuthority(t), newAuthority(t)
	healthy := &fake{answer: func(context.Context, int, string, proto.Message) (proto.Message, error) {
		return &pb.HealthResponse{Version: "0.0.36"}, nil
	}}
	secure := func(a *authority, names ...string) string {
		return listen(t, healthy, grpc.Creds(credentials.NewTLS(a.server(t, names...))))
	}
	good, stolen := secure(ours, "127.0.0.1"), secure(other, "127.0.0.1")
	cert, key := other.issue(t)
	for name, c := range map[string]*Client{
		"another authority":          ours.client(t, "https://"+stolen),
		"another name":               ours.client(t, "https://"+secure(ours, "other.example.com")),
		"a name of control sequence": ours.client(t, "https://"+secure(other, "\x1b[2J.example.com")),
		"no TLS there":               ours.client(t, "https://"+listen(t, healthy)),
		"TLS there":                  connected(t, Config{Endpoint: "http://" + good}),
		"a certificate of another":   connected(t, Config{Endpoint: "https://" + good, CA: ours.pem, Cert: cert, Key: key}),
	} {
		err := c.Connect(t.Context())
		if CauseOf(err) != CauseUnreachable || !strings.Contains(err.Error(), c.Endpoint()) {
			t.Errorf("%s: %s: %v", name, CauseOf(err), err)
			continue
		}
		fits(t, name, err.Error())
	}
	for name, c := range map[string]*Client{
		"the right one": ours.client(t, "https://"+good),
		"without TLS":   connected(t, Config{Endpoint: "http://" + listen(t, healthy)}),
	} {
		if err := c.Connect(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSilence: a gateway that takes a connection and says nothing is given up, and an
// interruption is not called a failure of the gateway.
func TestSilence(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(io.Discard, conn)
				conn.Close()
			}()
		}
	}()
	mute := serve(t, &fake{answer: func(ctx context.Context, _ int, _ string, _ proto.Message) (proto.Message, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	for name, c := range map[string]*Client{"in the handshake": newAuthority(t).client(t, "https://"+l.Addr().String()), "in a call": mute} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if _, err := c.Get(ctx, "box"); CauseOf(err) != CauseTimeout {
			t.Errorf("%s: %s: %v", name, CauseOf(err), err)
		}
		cancel()
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		if _, err := c.Get(ctx, "box"); !errors.Is(err, context.Canceled) || CauseOf(err) != CauseUnknown {
			t.Errorf("%s, interrupted: %s: %v", name, CauseOf(err), err)
		}
	}
}

// TestReplies: a reply without what it must hold is no success.
func TestReplies(t *testing.T) {
	later := &pb.Sandbox{}
	if err := proto.Unmarshal([]byte(text(1, join(text(1, id), text(2, "x")))), later); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		reply *pb.Sandbox
		want  Cause
	}{"empty": {nil, CauseReply}, "a name to print": {found(hostileText, 2), CauseReply}, "later": {later, CauseGeneration}} {
		c := serve(t, &fake{answer: func(_ context.Context, _ int, call string, _ proto.Message) (proto.Message, error) {
			if call == "ListSandboxes" {
				return &pb.ListSandboxesResponse{Sandboxes: []*pb.Sandbox{tt.reply}}, nil
			}
			return &pb.SandboxResponse{Sandbox: tt.reply}, nil
		}})
		for call, get := range map[string]func() error{
			"get":    func() error { _, err := c.Get(t.Context(), "box"); return err },
			"create": func() error { _, err := c.Create(t.Context(), CreateOptions{}); return err },
			"list":   func() error { _, err := c.List(t.Context(), 0, 0); return err },
		} {
			err := get()
			// An entry of a list cannot be missing, only empty.
			if CauseOf(err) != tt.want {
				t.Errorf("%s, %s: %s: %v", name, call, CauseOf(err), err)
				continue
			}
			fits(t, call, err.Error())
		}
	}
}
