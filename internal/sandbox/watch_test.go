package sandbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

type stream = grpc.ServerStreamingServer[pb.SandboxStreamEvent]

const (
	provisioning = pb.SandboxPhase_SANDBOX_PHASE_PROVISIONING
	ready        = pb.SandboxPhase_SANDBOX_PHASE_READY
)

func state(phase pb.SandboxPhase, reason ...string) *pb.SandboxStreamEvent {
	s := found("box", phase)
	for _, r := range reason {
		s.Status = &pb.SandboxStatus{Conditions: []*pb.SandboxCondition{{Type: "Ready", Status: "False", Reason: r}}}
	}
	return &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Sandbox{Sandbox: s}}
}

func happened(reason, message string) *pb.SandboxStreamEvent {
	return &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Event{Event: &pb.PlatformEvent{Reason: reason, Message: message}}}
}

func send(s stream, events ...*pb.SandboxStreamEvent) error {
	for _, e := range events {
		if err := s.Send(e); err != nil {
			return err
		}
	}
	return nil
}

// stay keeps a stream open until the client has had enough.
func stay(s stream, events ...*pb.SandboxStreamEvent) error {
	if err := send(s, events...); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

func box(phase Phase) Sandbox { return Sandbox{ID: id, Name: "box", Phase: phase} }

// TestWaitReady: the ends that a wait can have.
func TestWaitReady(t *testing.T) {
	other := found("box", ready)
	other.Id = []byte("other")
	later := &pb.Sandbox{}
	if err := proto.Unmarshal([]byte(text(1, join(text(1, id), text(2, "x")))), later); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		watch func(n int, s stream) error
		want  Cause
		text  string // "" means ready
	}{
		"ready at once":     {watch: func(_ int, s stream) error { return stay(s, state(ready)) }},
		"ready later":       {watch: func(_ int, s stream) error { return stay(s, state(provisioning), happened("Pulled", ""), state(ready)) }},
		"a phase of no one": {watch: func(_ int, s stream) error { return stay(s, state(77), state(ready)) }},
		"failed": {watch: func(_ int, s stream) error {
			return stay(s, state(provisioning), state(pb.SandboxPhase_SANDBOX_PHASE_ERROR, "ImagePullBackOff"+hostileText))
		}, want: CauseFailed, text: "cannot be provisioned: \"ImagePullBackOff"},
		"being deleted": {watch: func(_ int, s stream) error { return stay(s, state(pb.SandboxPhase_SANDBOX_PHASE_DELETING)) },
			want: CauseFailed, text: "is being deleted"},
		"deleted": {watch: func(n int, s stream) error {
			if n == 0 {
				return send(s, state(provisioning)) // the end of a stream alone says nothing
			}
			return status.Error(codes.NotFound, "sandbox not found")
		}, want: CauseFailed, text: "was deleted"},
		"restart of the gateway": {watch: func(n int, s stream) error {
			switch n {
			case 0:
				return status.Error(codes.Unavailable, "going down")
			case 1:
				return send(s, state(provisioning))
			}
			return stay(s, state(ready))
		}},
		"another sandbox": {watch: func(_ int, s stream) error {
			return stay(s, &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Sandbox{Sandbox: other}})
		}, want: CauseReply, text: "answered with sandbox"},
		"later generation": {watch: func(_ int, s stream) error {
			return stay(s, &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Sandbox{Sandbox: later}})
		}, want: CauseGeneration, text: "later generation"},
		"refused": {watch: func(n int, _ stream) error {
			if n > 0 {
				return status.Error(codes.Internal, "asked again")
			}
			return status.Error(codes.PermissionDenied, "no")
		}, want: CauseRefused, text: "no"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			c := serve(t, &fake{watch: func(n int, req *pb.WatchSandboxRequest, s stream) error {
				want := &pb.WatchSandboxRequest{Id: id, FollowStatus: true, FollowLogs: true, FollowEvents: true, LogTailLines: 200, LogSources: []string{"gateway"}}
				if diff := cmp.Diff(want, req, protocmp.Transform()); diff != "" {
					return status.Error(codes.InvalidArgument, diff)
				}
				return tt.watch(n, s)
			}})
			got, err := c.WaitReady(t.Context(), box(PhaseProvisioning), nil)
			if tt.text == "" {
				if err != nil || got.Phase != PhaseReady {
					t.Errorf("%s: %v", got.Phase, err)
				}
				return
			}
			if CauseOf(err) != tt.want || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%s: %v", CauseOf(err), err)
			}
			fits(t, name, err.Error())
		})
	}
}

// TestReadyFromBefore: a gateway may show first what was so before the wait.
func TestReadyFromBefore(t *testing.T) {
	noLeaks(t)
	proceed := make(chan struct{})
	c := serve(t, &fake{watch: func(_ int, _ *pb.WatchSandboxRequest, s stream) error {
		if err := send(s, state(ready)); err != nil {
			return err
		}
		select {
		case <-proceed:
		case <-s.Context().Done():
		}
		return stay(s, state(provisioning), state(ready))
	}})
	done := make(chan error, 1)
	go func() {
		_, err := c.WaitReady(t.Context(), box(PhaseReady), nil)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("the phase from before counted: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(proceed)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestProgress: a stream that is taken up again repeats its events; they are told once,
// and fit for a terminal.
func TestProgress(t *testing.T) {
	noLeaks(t)
	c := serve(t, &fake{watch: func(n int, _ *pb.WatchSandboxRequest, s stream) error {
		warning := &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Warning{Warning: &pb.SandboxStreamWarning{Message: "slow"}}}
		if err := send(s, state(provisioning), happened("Pulling", "image "+hostileText), warning, &pb.SandboxStreamEvent{}); err != nil || n == 0 {
			return err
		}
		return stay(s, happened("Started", ""), state(ready))
	}})
	var got []Progress
	if _, err := c.WaitReady(t.Context(), box(PhaseProvisioning), func(p Progress) { got = append(got, p) }); err != nil {
		t.Fatal(err)
	}
	want := []Progress{{"Pulling", clean("image " + hostileText)}, {"Warning", "slow"}, {"Started", ""}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, p := range got {
		fits(t, "progress", p.Message)
	}
}

func TestWaitReadyExpires(t *testing.T) {
	noLeaks(t)
	c := serve(t, &fake{watch: func(_ int, _ *pb.WatchSandboxRequest, s stream) error {
		return stay(s, state(provisioning, "DependenciesNotReady"))
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.WaitReady(ctx, box(PhaseProvisioning), nil)
	if CauseOf(err) != CauseTimeout || !strings.Contains(err.Error(), "still provisioning: DependenciesNotReady") {
		t.Errorf("%s: %v", CauseOf(err), err)
	}
	// Nobody there is no reason to wait less, or longer.
	absent := connected(t, Config{Endpoint: "http://127.0.0.1:1"})
	ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := absent.WaitReady(ctx, box(PhaseProvisioning), nil); CauseOf(err) != CauseTimeout {
		t.Errorf("%s: %v", CauseOf(err), err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, interrupt)
	if _, err := c.WaitReady(ctx, box(PhaseProvisioning), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
