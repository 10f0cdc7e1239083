package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// frameMax is the most data that a frame of the relay carries.
const frameMax = 16 << 10

// relaySession is a session that the server accepted.
type relaySession struct {
	client openshellpb.OpenShellClient
	socket string
	stream grpc.BidiStreamingClient[openshellpb.SupervisorMessage, openshellpb.GatewayMessage]
	// replies go to the stream's only sender.
	replies chan *openshellpb.SupervisorMessage

	mu sync.Mutex
	// cancels ends the open channels by ID.
	cancels map[string]context.CancelFunc
}

// serve opens channels as the server asks, until the session ends.
func (s *relaySession) serve(ctx context.Context, heartbeat time.Duration) error {
	go s.send(ctx, heartbeat)
	for {
		message, err := s.stream.Recv()
		if err != nil {
			return fmt.Errorf("the session ended: %w", err)
		}
		switch {
		case message.GetRelayOpen() != nil:
			go s.open(ctx, message.GetRelayOpen().GetChannelId())
		case message.GetRelayClose() != nil:
			s.forget(message.GetRelayClose().GetChannelId())
		}
	}
}

// send sends heartbeats and replies until it cannot, the cause of which the stream's
// receiver gets to know.
func (s *relaySession) send(ctx context.Context, heartbeat time.Duration) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		message := &openshellpb.SupervisorMessage{
			Payload: &openshellpb.SupervisorMessage_Heartbeat{Heartbeat: &openshellpb.SupervisorHeartbeat{}},
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case message = <-s.replies:
		}
		if err := s.stream.Send(message); err != nil {
			return
		}
	}
}

// forget ends a channel.
func (s *relaySession) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancel, open := s.cancels[id]; open {
		cancel()
		delete(s.cancels, id)
	}
}

// open connects a channel with the SSH socket and serves it until it ends.
func (s *relaySession) open(ctx context.Context, id string) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.cancels[id] = cancel
	s.mu.Unlock()
	defer s.forget(id)

	stream, conn, err := s.dial(ctx, id)
	result := &openshellpb.RelayOpenResult{ChannelId: id, Success: err == nil}
	if err != nil {
		result.Error = err.Error()
		log.Printf("relay: channel %s: %v", id, err)
	}
	select {
	case <-ctx.Done():
	case s.replies <- &openshellpb.SupervisorMessage{
		Payload: &openshellpb.SupervisorMessage_RelayOpenResult{RelayOpenResult: result},
	}:
	}
	if err != nil {
		return
	}
	defer conn.Close()
	// The stream's reader waits for the server, and ends with the context.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	join(&relayStream{stream: stream, cancel: cancel}, conn)
}

// dial opens both ends of a channel.
func (s *relaySession) dial(ctx context.Context, id string) (grpc.BidiStreamingClient[openshellpb.RelayFrame, openshellpb.RelayFrame], *net.UnixConn, error) {
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		return nil, nil, fmt.Errorf("connect with the SSH server: %w", err)
	}
	stream, err := s.client.RelayStream(ctx)
	if err == nil {
		err = stream.Send(&openshellpb.RelayFrame{
			Payload: &openshellpb.RelayFrame_Init{Init: &openshellpb.RelayInit{ChannelId: id}},
		})
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the relay: %w", err), conn.Close())
	}
	return stream, conn.(*net.UnixConn), nil
}

// relayStream is a channel of the relay as a stream of bytes.
type relayStream struct {
	stream grpc.BidiStreamingClient[openshellpb.RelayFrame, openshellpb.RelayFrame]
	cancel context.CancelFunc
	rest   []byte
}

func (r *relayStream) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		frame, err := r.stream.Recv()
		if err != nil {
			return 0, err
		}
		r.rest = frame.GetData()
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *relayStream) Write(p []byte) (n int, err error) {
	for len(p) > n {
		size := min(len(p)-n, frameMax)
		err := r.stream.Send(&openshellpb.RelayFrame{
			Payload: &openshellpb.RelayFrame_Data{Data: p[n : n+size]},
		})
		if err != nil {
			return n, err
		}
		n += size
	}
	return n, nil
}

// CloseWrite ends what is sent.
func (r *relayStream) CloseWrite() error { return r.stream.CloseSend() }

// Close ends both directions.
func (r *relayStream) Close() error {
	r.cancel()
	return nil
}

var _ io.ReadWriteCloser = (*relayStream)(nil)
