package main

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// ConnectSupervisor is the control call of a sandbox, which is ready while it lasts.
func (s *service) ConnectSupervisor(call grpc.BidiStreamingServer[pb.SupervisorMessage, pb.GatewayMessage]) error {
	if s.relays == nil {
		return status.Error(codes.Unimplemented, "this server speaks NSSH1")
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	hello := first.GetHello()
	if hello == nil {
		return status.Error(invalid, "the first message must be hello")
	}
	row, err := s.byID(call.Context(), hello.GetSandboxId())
	if err != nil {
		return err
	}
	id := string(row.GetId())
	v := s.relays.register(id)
	defer func() {
		s.relays.unregister(v)
		s.supervisorChanged(id)
	}()
	accepted := &pb.SessionAccepted{SessionId: newUUID(), HeartbeatIntervalSecs: uint32(heartbeat / time.Second)}
	if err := call.Send(&pb.GatewayMessage{Payload: &pb.GatewayMessage_SessionAccepted{SessionAccepted: accepted}}); err != nil {
		return err
	}
	s.journal.log(id, "INFO", "supervisor", "supervisor connected")
	s.supervisorChanged(id)
	err = s.supervise(call, v)
	s.journal.log(id, "INFO", "supervisor", "supervisor disconnected")
	return err
}

// supervise keeps a control call going until either side ends it.
func (s *service) supervise(call grpc.BidiStreamingServer[pb.SupervisorMessage, pb.GatewayMessage], v *supervisor) error {
	ended := make(chan error, 1)
	heard := make(chan struct{}, 1)
	go func() { ended <- s.listen(call, heard) }()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	quiet := time.NewTimer(silence)
	defer quiet.Stop()
	for {
		message := &pb.GatewayMessage{Payload: &pb.GatewayMessage_Heartbeat{Heartbeat: &pb.GatewayHeartbeat{}}}
		select {
		case <-s.life.Done():
			return status.Error(codes.Unavailable, "the server is stopping")
		case <-v.done:
			return status.Error(codes.Aborted, "another call of this sandbox took its place")
		case err := <-ended:
			return err
		case <-quiet.C:
			return status.Error(codes.DeadlineExceeded, "the supervisor is silent")
		case <-heard:
			quiet.Reset(silence)
			continue
		case message = <-v.messages:
		case <-beat.C:
		}
		if err := call.Send(message); err != nil {
			return err
		}
	}
}

// listen takes what a supervisor says.
func (s *service) listen(call grpc.BidiStreamingServer[pb.SupervisorMessage, pb.GatewayMessage], heard chan<- struct{}) error {
	for {
		message, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case heard <- struct{}{}:
		default:
		}
		switch p := message.GetPayload().(type) {
		case *pb.SupervisorMessage_RelayOpenResult:
			if result := p.RelayOpenResult; !result.GetSuccess() {
				s.relays.fail(result.GetChannelId(), status.Error(codes.Unavailable, "the sandbox cannot open a relay: "+result.GetError()))
			}
		case *pb.SupervisorMessage_RelayClose:
			s.relays.fail(p.RelayClose.GetChannelId(), status.Error(codes.Unavailable, "the sandbox closed the relay: "+p.RelayClose.GetReason()))
		}
	}
}

// supervisorChanged brings the row up to date with whether the supervisor is there.
func (s *service) supervisorChanged(id string) {
	// The call may have ended, and the server may be stopping; the row must know.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), kubernetesTimeout)
	defer cancel()
	if err := s.update(ctx, id, s.relays.decide); err != nil && !errors.Is(err, errNoRow) {
		s.journal.log(id, "ERROR", "supervisor", "cannot store the phase", "error", err.Error())
	}
}

// disconnectAll takes back, at the start, what a server before this one wrote down of
// its supervisors.
func (s *service) disconnectAll(ctx context.Context) error {
	if s.relays == nil {
		return nil
	}
	rows, err := s.store.listSandboxes(ctx, -1, 0)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := s.update(ctx, string(row.GetId()), s.relays.decide); err != nil {
			return err
		}
	}
	return nil
}

// RelayStream is one connection to a sandbox, for which its supervisor was asked.
func (s *service) RelayStream(call grpc.BidiStreamingServer[pb.RelayFrame, pb.RelayFrame]) error {
	if s.relays == nil {
		return status.Error(codes.Unimplemented, "this server speaks NSSH1")
	}
	first, err := call.Recv()
	if err != nil {
		return err
	}
	start := first.GetInit()
	if start == nil {
		return status.Error(invalid, "the first frame must be init")
	}
	p := s.relays.take(start.GetChannelId())
	if p == nil {
		return status.Error(codes.NotFound, "nobody waits for this relay")
	}
	p.conn = newRelayConn(call)
	close(p.settled)
	select {
	case <-p.conn.done:
	case <-call.Context().Done():
	}
	return nil
}
