package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// listed is a gateway with that many sandboxes, which adds extra to each page.
func listed(t *testing.T, total, extra int) *Client {
	return serve(t, &fake{answer: func(_ context.Context, _ int, _ string, req proto.Message) (proto.Message, error) {
		r := req.(*pb.ListSandboxesRequest)
		if r.GetLimit() < 1 || r.GetLimit() > 1000 {
			return nil, status.Errorf(codes.InvalidArgument, "limit %d", r.GetLimit())
		}
		out := &pb.ListSandboxesResponse{}
		for i := int(r.GetOffset()); i < total && i < int(r.GetOffset()+r.GetLimit())+extra; i++ {
			out.Sandboxes = append(out.Sandboxes, &pb.Sandbox{Id: fmt.Append(nil, "id-", i), Name: fmt.Append(nil, "box-", i), Phase: ready})
		}
		return out, nil
	}})
}

func TestPages(t *testing.T) {
	noLeaks(t)
	c := listed(t, 1203, 0)
	for _, tt := range []struct{ limit, offset, first, count int }{
		{0, 0, 0, 1203}, {0, 1200, 1200, 3}, {1, 0, 0, 1}, {500, 0, 0, 500}, {501, 0, 0, 501}, {1000, 700, 700, 503}, {0, 1203, 0, 0}, {5, 5000, 0, 0},
	} {
		list, err := c.List(t.Context(), tt.limit, tt.offset)
		if err != nil || list == nil || len(list) != tt.count {
			t.Errorf("%+v: %d, %v", tt, len(list), err)
			continue
		}
		for i, s := range list {
			if want := fmt.Sprint("box-", tt.first+i); s.Name != want {
				t.Errorf("%+v: number %d is %s", tt, i, s.Name)
				break
			}
		}
	}
}

// TestTooMany: a gateway cannot make a list grow without an end.
func TestTooMany(t *testing.T) {
	noLeaks(t)
	if _, err := listed(t, 1000, 1).List(t.Context(), 0, 0); CauseOf(err) != CauseReply || !strings.Contains(err.Error(), "501 sandboxes where at most 500") {
		t.Errorf("longer than asked for: %v", err)
	}
	if _, err := listed(t, 20, 1).List(t.Context(), 3, 0); CauseOf(err) != CauseReply {
		t.Errorf("longer than asked for: %v", err)
	}
	if _, err := listed(t, math.MaxInt32, 0).List(t.Context(), 0, 0); CauseOf(err) != CauseReply {
		t.Errorf("without an end: %v", err)
	}
}

// logLines are what a gateway may send for a line: the second is of a hostile one.
func logLines() []*pb.SandboxLogLine {
	return []*pb.SandboxLogLine{
		{TimestampMs: 1767323045678, Level: "info", Target: "server", Message: "ready", Fields: map[string]string{"b": "2", "a": "1"}},
		{TimestampMs: math.MaxInt64, Source: "sandbox", Level: hostileText, Target: hostileText, Message: hostileText, Fields: map[string]string{hostileText: hostileText}},
		{TimestampMs: math.MinInt64},
	}
}

func checkLines(t *testing.T, lines []LogLine) {
	t.Helper()
	if len(lines) != 3 {
		t.Fatalf("%d lines", len(lines))
	}
	if want := "2026-01-02T03:04:05.678Z gateway INFO  ready a=1 b=2"; lines[0].String() != want {
		t.Errorf("%q", lines[0])
	}
	for _, l := range lines {
		fits(t, "a line", l.String())
		if _, err := json.Marshal(l); err != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestLogs(t *testing.T) {
	noLeaks(t)
	since := time.UnixMilli(1767323045678)
	c := serve(t, &fake{answer: func(_ context.Context, _ int, _ string, req proto.Message) (proto.Message, error) {
		want := &pb.GetSandboxLogsRequest{SandboxId: id, Lines: 7, SinceMs: 1767323045678, Sources: []string{"sandbox"}, MinLevel: "warn"}
		if diff := cmp.Diff(want, req, protocmp.Transform()); diff != "" {
			return nil, status.Error(codes.InvalidArgument, diff)
		}
		return &pb.GetSandboxLogsResponse{Logs: logLines(), BufferTotal: 9}, nil
	}, watch: func(_ int, req *pb.WatchSandboxRequest, s stream) error {
		want := &pb.WatchSandboxRequest{Id: id, FollowLogs: true, LogTailLines: 7, LogSinceMs: 1767323045678, LogSources: []string{"sandbox"}, LogMinLevel: "warn"}
		if diff := cmp.Diff(want, req, protocmp.Transform()); diff != "" {
			return status.Error(codes.InvalidArgument, diff)
		}
		events := []*pb.SandboxStreamEvent{state(ready)} // comes first, though nobody asked
		for _, l := range logLines() {
			events = append(events, &pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Log{Log: l}})
		}
		return send(s, events...)
	}})
	opts := LogOptions{Lines: 7, Since: since, Sources: []string{"sandbox"}, Level: "warn"}
	lines, err := c.Logs(t.Context(), box(PhaseReady), opts)
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, lines)
	var followed []LogLine
	err = c.FollowLogs(t.Context(), box(PhaseReady), opts, func(l LogLine) error {
		followed = append(followed, l)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checkLines(t, followed)
	if err := c.FollowLogs(t.Context(), box(PhaseReady), opts, func(LogLine) error { return context.Canceled }); err != context.Canceled {
		t.Errorf("the reader's own end: %v", err)
	}
}

func TestLogLines(t *testing.T) {
	for in, want := range map[int]uint32{0: 200, -1: 200, 1: 1, 5000: 5000, math.MaxInt: math.MaxInt32} {
		if got := (LogOptions{Lines: in}).lines(); got != want {
			t.Errorf("%d: %d", in, got)
		}
	}
}
