package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// kind names a message of a watch in one word.
func kind(e *pb.SandboxStreamEvent) string {
	switch p := e.GetPayload().(type) {
	case *pb.SandboxStreamEvent_Sandbox:
		return strings.ToLower(strings.TrimPrefix(p.Sandbox.GetPhase().String(), "SANDBOX_PHASE_"))
	case *pb.SandboxStreamEvent_Log:
		return "log:" + p.Log.GetMessage()
	case *pb.SandboxStreamEvent_Event:
		return "event:" + p.Event.GetReason()
	default:
		return "warning"
	}
}

// until receives up to a message of a kind.
func until(t *testing.T, recv func() (*pb.SandboxStreamEvent, error), last string) []string {
	t.Helper()
	var kinds []string
	for {
		e, err := recv()
		if err != nil {
			t.Fatalf("%v after %v", err, kinds)
		}
		kinds = append(kinds, kind(e))
		if kind(e) == last {
			return kinds
		}
	}
}

func TestWatch(t *testing.T) {
	w := newWorld(t, false)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	id := string(w.create("box").GetId())
	w.wait(id, unknown)
	now := time.Now()
	w.fake.event("Pod", "box", "u0", "Scheduled", "an earlier sandbox of this name", now.Add(-time.Hour))
	w.fake.event("Pod", "box", "u1", "Scheduled", "assigned", now)
	w.fake.event("Pod", "stranger", "u2", "Failed", "not ours", now)
	w.fake.event("PersistentVolumeClaim", "workspace-box", "u3", "Provisioning", "volume", now)
	w.fake.event("Pod", "box", "u4", "Pulling", "image", now)

	watch := func(req *pb.WatchSandboxRequest) func() (*pb.SandboxStreamEvent, error) {
		stream, err := w.client.WatchSandbox(ctx, req)
		w.check(err)
		return stream.Recv
	}
	all := watch(&pb.WatchSandboxRequest{Id: id, FollowStatus: true, FollowLogs: true, FollowEvents: true, LogSources: []string{"gateway"}})
	first := until(t, all, "event:Pulling")
	if got, want := fmt.Sprint(first), "[unknown log:sandbox created event:Scheduled event:Provisioning event:Pulling]"; got != want {
		t.Errorf("first %v, want %v", got, want)
	}
	// What is followed after that comes from what is kept, with the log before events.
	again := until(t, watch(&pb.WatchSandboxRequest{Id: id, FollowLogs: true, FollowEvents: true}), "event:Pulling")
	if got := fmt.Sprint(again); got != fmt.Sprint(first) {
		t.Errorf("again %v", got)
	}
	silent := watch(&pb.WatchSandboxRequest{Id: id, FollowLogs: true, LogSources: []string{"sandbox"}, FollowEvents: true, FollowStatus: true})
	if got := fmt.Sprint(until(t, silent, "event:Pulling")); strings.Contains(got, "log:") {
		t.Errorf("lines of another source: %v", got)
	}
	// READY ends a stream that waits for it, and only that.
	toReady := watch(&pb.WatchSandboxRequest{Id: id, FollowStatus: true, StopOnTerminal: true})
	until(t, toReady, "unknown")
	w.fake.setReady("box", "False", "Broken")
	until(t, toReady, "error")
	w.fake.event("Pod", "box", "u5", "Pulled", "image", now)
	until(t, all, "event:Pulled")
	w.fake.setReady("box", "True", "DependenciesReady")
	until(t, toReady, "ready")
	if _, err := toReady(); !errors.Is(err, io.EOF) {
		t.Errorf("after READY: %v", err)
	}
	until(t, all, "ready")
	// The end of the row ends all.
	_, err := w.client.DeleteSandbox(ctx, &pb.DeleteSandboxRequest{Name: "box"})
	w.check(err)
	until(t, all, "deleting")
	w.fake.gone("box")
	for err = nil; err == nil; {
		_, err = all()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("after the row: %v", err)
	}
	if _, err := watch(&pb.WatchSandboxRequest{Id: id})(); status.Code(err) != codes.NotFound {
		t.Errorf("a sandbox that is gone: %v", err)
	}
}

func TestLogs(t *testing.T) {
	s := newTestService(t, options{logLevel: "debug"}, newTestStore(t), nil)
	for i, level := range []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"} {
		s.journal.log("1", level, "test", fmt.Sprint("line ", i))
	}
	s.journal.log("2", "INFO", "test", "of another sandbox")
	get := func(req *pb.GetSandboxLogsRequest) string {
		req.SandboxId = "1"
		res, err := s.GetSandboxLogs(t.Context(), req)
		if err != nil || res.GetBufferTotal() != 4 {
			t.Fatal(res, err)
		}
		var b strings.Builder
		for _, line := range res.GetLogs() {
			b.WriteString(line.GetMessage()[len("line "):])
		}
		return b.String()
	}
	for want, req := range map[string]*pb.GetSandboxLogsRequest{
		"1234": {},
		"34":   {Lines: 2},
		"234":  {MinLevel: "info", Sources: []string{"gateway", "sandbox"}},
		"4":    {MinLevel: "WARN", Lines: 1},
		"":     {Sources: []string{"sandbox"}},
	} {
		if got := get(req); got != want {
			t.Errorf("%v: %q, want %q", req, got, want)
		}
	}
	if got := get(&pb.GetSandboxLogsRequest{SinceMs: time.Now().Add(time.Minute).UnixMilli()}); got != "" {
		t.Error(got)
	}
}

// TestSlowWatcher shows that one who does not read is told, and holds nobody up.
func TestSlowWatcher(t *testing.T) {
	j := newJournal(io.Discard, "info")
	w, _, _ := j.watch("1")
	for range queued + 5 {
		j.log("1", "INFO", "test", "line")
	}
	if n := j.takeLost(w); n != 5 || j.takeLost(w) != 0 {
		t.Error(n)
	}
	if n := len(j.lines("1")); n != queued+5 {
		t.Error(n)
	}
	j.forget("1")
	j.unwatch("1", w)
	if len(j.topics) != 0 {
		t.Error("the topic is still there")
	}
}
