package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// TestUnusableSession: a session that cannot be used is revoked, if it can be named
// without harm, and no error shows its token.
func TestUnusableSession(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*pb.CreateSshSessionResponse)
		revoked string // the token
		fails   bool
	}{
		"host":                   {change: func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "x;id" }, revoked: secretToken},
		"another sandbox":        {change: func(r *pb.CreateSshSessionResponse) { r.SandboxId = "other" }, revoked: secretToken},
		"host, not revoked":      {change: func(r *pb.CreateSshSessionResponse) { r.GatewayHost = "" }, revoked: secretToken, fails: true},
		"token":                  {change: func(r *pb.CreateSshSessionResponse) { r.Token = secretToken + "\r\n" }},
		"no token":               {change: func(r *pb.CreateSshSessionResponse) { r.Token = "" }},
		"endpoint is https only": {change: func(r *pb.CreateSshSessionResponse) { r.GatewayHost, r.GatewayScheme = "10.0.0.1", "http" }, revoked: secretToken},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			revoked := ""
			c := serve(t, &fake{answer: func(_ context.Context, _ int, call string, req proto.Message) (proto.Message, error) {
				if call == "CreateSshSession" {
					return reply(tt.change), nil
				}
				revoked = req.(*pb.RevokeSshSessionRequest).GetToken()
				if tt.fails {
					return nil, status.Error(codes.Internal, "database\x1b[2J")
				}
				return &pb.RevokeSshSessionResponse{Revoked: true}, nil
			}})
			s, err := c.NewSession(t.Context(), box(PhaseReady))
			if s != nil || CauseOf(err) != CauseReply {
				t.Fatalf("%v, %v", s, err)
			}
			if revoked != tt.revoked {
				t.Errorf("revoked %q", revoked)
			}
			if strings.Contains(err.Error(), "nor could the session be revoked") != tt.fails {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), secretToken) {
				t.Errorf("the token is in %v", err)
			}
			fits(t, name, err.Error())
		})
	}
}

// TestSessionWaits: after a boot of its node a sandbox is not ready for a while.
func TestSessionWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		phase pb.SandboxPhase
		other bool // another sandbox has the name by now
		waits bool
	}{
		"coming up":      {phase: provisioning, waits: true},
		"ready just now": {phase: ready, waits: true},
		"failed":         {phase: pb.SandboxPhase_SANDBOX_PHASE_ERROR},
		"being deleted":  {phase: pb.SandboxPhase_SANDBOX_PHASE_DELETING},
		"made anew":      {phase: ready, other: true},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			f := &fake{watch: func(_ int, _ *pb.WatchSandboxRequest, s stream) error { return stay(s, state(ready)) }}
			f.answer = func(_ context.Context, n int, call string, _ proto.Message) (proto.Message, error) {
				switch {
				case call == "GetSandbox":
					s := found("box", tt.phase)
					if tt.other {
						s.Id = []byte("other")
					}
					return &pb.SandboxResponse{Sandbox: s}, nil
				case n == 0:
					return nil, status.Error(codes.FailedPrecondition, "sandbox is not ready")
				}
				return reply(), nil
			}
			s, err := serve(t, f).NewSession(t.Context(), box(PhaseReady))
			if tt.waits {
				if err != nil || s.Sandbox().ID != id {
					t.Errorf("%v", err)
				}
				return
			}
			if CauseOf(err) != CauseNotReady || f.made("CreateSshSession") != 1 {
				t.Errorf("%d calls: %v", f.made("CreateSshSession"), err)
			}
		})
	}
}

// TestSessionWaitInterrupted: an interruption is told as one, wherever it comes.
func TestSessionWaitInterrupted(t *testing.T) {
	for name, phase := range map[string]pb.SandboxPhase{"in the watch": provisioning, "in the pause": ready, "in the look-up": 0} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			ctx, cancel := context.WithCancel(t.Context())
			c := serve(t, &fake{answer: func(call context.Context, _ int, name string, _ proto.Message) (proto.Message, error) {
				if name == "CreateSshSession" {
					return nil, status.Error(codes.FailedPrecondition, "sandbox is not ready")
				}
				time.AfterFunc(100*time.Millisecond, cancel)
				if phase == 0 {
					<-call.Done()
					return nil, call.Err()
				}
				return &pb.SandboxResponse{Sandbox: found("box", phase)}, nil
			}, watch: func(_ int, _ *pb.WatchSandboxRequest, s stream) error { return stay(s, state(provisioning)) }})
			if _, err := c.NewSession(ctx, box(PhaseReady)); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestRevokeAfterwards: a command that was interrupted still revokes its session.
func TestRevokeAfterwards(t *testing.T) {
	noLeaks(t)
	f := &fake{answer: func(context.Context, int, string, proto.Message) (proto.Message, error) {
		return &pb.RevokeSshSessionResponse{}, nil // of a token that is not known: no error
	}}
	s := &Session{client: serve(t, f), sandbox: box(PhaseReady), token: secretToken}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Revoke(ctx); err != nil || f.made("RevokeSshSession") != 1 {
		t.Errorf("%d calls: %v", f.made("RevokeSshSession"), err)
	}
}

// TestRetire: what failed is tried once more at the end, and what worked is not.
func TestRetire(t *testing.T) {
	for fails, want := range map[int]struct {
		calls int
		ok    bool
	}{0: {1, true}, 1: {2, true}, 2: {2, false}} {
		f := &fake{answer: func(_ context.Context, n int, _ string, _ proto.Message) (proto.Message, error) {
			if n < fails {
				return nil, status.Error(codes.Internal, "the store is busy")
			}
			return &pb.RevokeSshSessionResponse{Revoked: true}, nil
		}}
		s := &Session{client: serve(t, f), sandbox: box(PhaseReady), token: secretToken}
		if err := s.Retire(t.Context())(); (err == nil) != want.ok || f.made("RevokeSshSession") != want.calls {
			t.Errorf("fails %d times: %d calls, %v", fails, f.made("RevokeSshSession"), err)
		}
	}
}
