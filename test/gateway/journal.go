package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	keptLines  = 2000
	keptEvents = 50
	// queued bounds what a watcher may lag behind before it is told that it lost some.
	queued = 512
)

// levels are the log levels by weight, as clients and --log-level name them.
var levels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"}

// weight orders levels; one that is unknown passes every filter, and filters nothing.
func weight(level string) int { return slices.Index(levels, strings.ToUpper(level)) }

// journal keeps what happened to each sandbox, in memory, and tells who watches.
type journal struct {
	out      io.Writer
	minLevel int

	mu     sync.Mutex
	topics map[string]*topic
}

// topic is the journal of one sandbox.
type topic struct {
	lines  []*pb.SandboxLogLine
	events []*pb.PlatformEvent
	// seen has the version of each Kubernetes event that was taken, by its UID.
	seen     map[string]string
	watchers map[*watcher]struct{}
}

// watcher is one WatchSandbox call.
type watcher struct {
	// changed holds at most one token: the sandbox's row is not what it was.
	changed chan struct{}
	queue   chan *pb.SandboxStreamEvent
	// lost counts what did not fit in the queue; the journal's lock guards it.
	lost int
}

func newJournal(out io.Writer, logLevel string) *journal {
	return &journal{out: out, minLevel: weight(logLevel), topics: map[string]*topic{}}
}

// topic is called with the lock held.
func (j *journal) topic(id string) *topic {
	t := j.topics[id]
	if t == nil {
		t = &topic{seen: map[string]string{}, watchers: map[*watcher]struct{}{}}
		j.topics[id] = t
	}
	return t
}

// log writes a line of the server's log; with a sandbox's ID it is also kept for that
// sandbox. Fields are pairs. Tokens and the handshake secret must never come here.
func (j *journal) log(id, level, target, message string, fields ...string) {
	if w := weight(level); w >= 0 && w < j.minLevel {
		return
	}
	line := &pb.SandboxLogLine{SandboxId: id, TimestampMs: time.Now().UnixMilli(), Level: level,
		Target: "openshell_server::" + target, Message: message, Source: "gateway", Fields: map[string]string{}}
	for i := 0; i+1 < len(fields); i += 2 {
		line.Fields[fields[i]] = fields[i+1]
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.print(line)
	if id == "" {
		return
	}
	t := j.topic(id)
	t.lines = keep(t.lines, line, keptLines)
	t.publish(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Log{Log: line}})
}

// print writes a line for whoever reads the pod's log.
func (j *journal) print(line *pb.SandboxLogLine) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %5s %s: %s", time.UnixMilli(line.TimestampMs).UTC().Format("2006-01-02T15:04:05.000Z"), line.Level, line.Target, line.Message)
	if line.SandboxId != "" {
		fmt.Fprintf(&b, " sandbox_id=%s", line.SandboxId)
	}
	for _, key := range slices.Sorted(maps.Keys(line.Fields)) {
		fmt.Fprintf(&b, " %s=%q", key, line.Fields[key])
	}
	fmt.Fprintln(j.out, b.String()) //nolint:errcheck // there is nowhere else to say it
}

// platformEvent takes a Kubernetes event once per version of it.
func (j *journal) platformEvent(id, uid, version string, event *pb.PlatformEvent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.topic(id)
	if t.seen[uid] == version {
		return
	}
	t.seen[uid] = version
	t.events = keep(t.events, event, keptEvents)
	t.publish(&pb.SandboxStreamEvent{Payload: &pb.SandboxStreamEvent_Event{Event: event}})
}

// rowChanged tells the watchers of a sandbox to look at its row again.
func (j *journal) rowChanged(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.topics[id]; t != nil {
		t.wake()
	}
}

// forget drops what is kept of a sandbox that is gone; its watchers look, and end.
func (j *journal) forget(id string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.topics[id]
	if t == nil {
		return
	}
	t.wake()
	t.lines, t.events, t.seen = nil, nil, map[string]string{}
	if len(t.watchers) == 0 {
		delete(j.topics, id)
	}
}

// lines returns what is kept, oldest first.
func (j *journal) lines(id string) []*pb.SandboxLogLine {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.topics[id]; t != nil {
		return slices.Clone(t.lines)
	}
	return nil
}

// watch returns a watcher with what is kept so far: nothing is lost between the two.
func (j *journal) watch(id string) (*watcher, []*pb.SandboxLogLine, []*pb.PlatformEvent) {
	j.mu.Lock()
	defer j.mu.Unlock()
	w := &watcher{changed: make(chan struct{}, 1), queue: make(chan *pb.SandboxStreamEvent, queued)}
	t := j.topic(id)
	t.watchers[w] = struct{}{}
	return w, slices.Clone(t.lines), slices.Clone(t.events)
}

func (j *journal) unwatch(id string, w *watcher) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.topics[id]
	if t == nil {
		return
	}
	delete(t.watchers, w)
	if len(t.watchers) == 0 && len(t.lines) == 0 && len(t.events) == 0 {
		delete(j.topics, id)
	}
}

// takeLost returns how much a watcher lost since it was last asked.
func (j *journal) takeLost(w *watcher) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := w.lost
	w.lost = 0
	return n
}

func (t *topic) publish(event *pb.SandboxStreamEvent) {
	for w := range t.watchers {
		select {
		case w.queue <- event:
		default:
			w.lost++
		}
	}
}

func (t *topic) wake() {
	for w := range t.watchers {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// keep appends, and drops the oldest beyond a limit.
func keep[T any](list []T, v T, limit int) []T {
	if len(list) == limit {
		list = slices.Delete(list, 0, 1)
	}
	return append(list, v)
}
