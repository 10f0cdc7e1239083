package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	defaultTail  = 200
	defaultLines = 2000
)

// lineFilter selects log lines, as WatchSandbox and GetSandboxLogs ask for them.
type lineFilter struct {
	sinceMS  int64
	sources  []string
	minLevel int
}

func (f lineFilter) takes(line *pb.SandboxLogLine) bool {
	if line.GetTimestampMs() < f.sinceMS {
		return false
	}
	if len(f.sources) > 0 && !slices.Contains(f.sources, line.GetSource()) {
		return false
	}
	w := weight(line.GetLevel())
	return w < 0 || w >= f.minLevel
}

// tail returns the last lines that the filter takes.
func (f lineFilter) tail(lines []*pb.SandboxLogLine, limit int) []*pb.SandboxLogLine {
	lines = slices.DeleteFunc(lines, func(line *pb.SandboxLogLine) bool { return !f.takes(line) })
	return lines[max(0, len(lines)-limit):]
}

// GetSandboxLogs reads what is kept; a sandbox that nothing is known of has no lines.
func (s *service) GetSandboxLogs(_ context.Context, req *pb.GetSandboxLogsRequest) (*pb.GetSandboxLogsResponse, error) {
	if req.GetSandboxId() == "" {
		return nil, status.Error(invalid, idMissingText)
	}
	limit := int(req.GetLines())
	if limit == 0 {
		limit = defaultLines
	}
	lines := s.journal.lines(req.GetSandboxId())
	f := lineFilter{sinceMS: req.GetSinceMs(), sources: req.GetSources(), minLevel: weight(req.GetMinLevel())}
	return &pb.GetSandboxLogsResponse{BufferTotal: uint32(len(lines)), Logs: f.tail(lines, limit)}, nil
}

// WatchSandbox sends the present state, then what was, then what happens.
func (s *service) WatchSandbox(req *pb.WatchSandboxRequest, out grpc.ServerStreamingServer[pb.SandboxStreamEvent]) error {
	if req.GetId() == "" {
		return status.Error(invalid, "id is required")
	}
	v := &view{store: s.store, req: req, out: out,
		filter: lineFilter{sinceMS: req.GetLogSinceMs(), sources: req.GetLogSources(), minLevel: weight(req.GetLogMinLevel())}}
	w, lines, events := s.journal.watch(req.GetId())
	defer s.journal.unwatch(req.GetId(), w)
	if over, err := v.sendRow(true); over || err != nil {
		return asStatus(err)
	}
	if err := v.replay(lines, events); err != nil {
		return err
	}
	for {
		select {
		case <-s.life.Done():
			return status.Error(codes.Unavailable, "the server is stopping")
		case <-out.Context().Done():
			return status.FromContextError(out.Context().Err()).Err()
		case <-w.changed:
			over, err := v.sendRow(req.GetFollowStatus())
			if over || errors.Is(err, errNoRow) {
				return nil
			}
			if err != nil {
				return asStatus(err)
			}
		case event := <-w.queue:
			if err := v.sendLive(event); err != nil {
				return err
			}
		}
		if n := s.journal.takeLost(w); n > 0 {
			warning := &pb.SandboxStreamWarning{Message: fmt.Sprintf("the watch was too slow and lost %d messages", n)}
			if err := out.Send(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Warning{Warning: warning}}); err != nil {
				return err
			}
		}
	}
}

// view is what one WatchSandbox call wants to see.
type view struct {
	store  *store
	req    *pb.WatchSandboxRequest
	out    grpc.ServerStreamingServer[pb.SandboxStreamEvent]
	filter lineFilter
}

// sendRow reads the row, and sends it if asked to. The stream is over when the caller
// wanted to wait for READY only; no other phase ends it.
func (v *view) sendRow(send bool) (over bool, err error) {
	row, err := v.store.sandboxByID(v.out.Context(), v.req.GetId())
	if err != nil {
		return false, err
	}
	if send {
		if err := v.out.Send(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Sandbox{Sandbox: row.Sandbox}}); err != nil {
			return false, err
		}
	}
	return v.req.GetStopOnTerminal() && row.GetPhase() == ready, nil
}

// replay sends what happened before the call: lines first, then events.
func (v *view) replay(lines []*pb.SandboxLogLine, events []*pb.PlatformEvent) error {
	if v.req.GetFollowLogs() {
		limit := int(v.req.GetLogTailLines())
		if limit == 0 {
			limit = defaultTail
		}
		for _, line := range v.filter.tail(lines, limit) {
			if err := v.out.Send(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Log{Log: line}}); err != nil {
				return err
			}
		}
	}
	if v.req.GetFollowEvents() {
		for _, event := range events {
			if err := v.out.Send(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Event{Event: event}}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendLive sends a message if the caller follows its kind.
func (v *view) sendLive(event *pb.SandboxStreamEvent) error {
	switch p := event.GetPayload().(type) {
	case *pb.SandboxStreamEvent_Log:
		if !v.req.GetFollowLogs() || !v.filter.takes(p.Log) {
			return nil
		}
	case *pb.SandboxStreamEvent_Event:
		if !v.req.GetFollowEvents() {
			return nil
		}
	}
	return v.out.Send(event)
}
