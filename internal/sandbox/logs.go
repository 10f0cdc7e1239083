package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// LogOptions choose lines of a sandbox's log.
type LogOptions struct {
	// Lines is how many of the last lines; 0 means 200.
	Lines int
	Since time.Time
	// Sources are "gateway" and "sandbox"; none means both.
	Sources []string
	// Level is the lowest level, such as "warn".
	Level string
}

// LogLine is one line of a sandbox's log.
type LogLine struct {
	Time    time.Time         `json:"time"`
	Source  string            `json:"source"`
	Level   string            `json:"level"`
	Target  string            `json:"target,omitempty"`
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// String is the line for people.
func (l LogLine) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %-7s %-5s %s", l.Time.Format("2006-01-02T15:04:05.000Z07:00"), l.Source, strings.ToUpper(l.Level), l.Message)
	for _, k := range slices.Sorted(maps.Keys(l.Fields)) {
		fmt.Fprintf(&b, " %s=%s", k, l.Fields[k])
	}
	return b.String()
}

func decodeLine(l *pb.SandboxLogLine) LogLine {
	out := LogLine{Time: moment(l.GetTimestampMs()), Source: clean(l.GetSource()), Level: clean(l.GetLevel()),
		Target: clean(l.GetTarget()), Message: clean(l.GetMessage())}
	if out.Source == "" {
		out.Source = "gateway"
	}
	for k, v := range l.GetFields() {
		if out.Fields == nil {
			out.Fields = map[string]string{}
		}
		out.Fields[clean(k)] = clean(v)
	}
	return out
}

const defaultLines = 200

// Logs returns what the gateway keeps of a sandbox's log.
func (c *Client) Logs(ctx context.Context, s Sandbox, opts LogOptions) ([]LogLine, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.api.GetSandboxLogs(ctx, &pb.GetSandboxLogsRequest{SandboxId: s.ID, Lines: opts.lines(), SinceMs: opts.since(),
		Sources: opts.Sources, MinLevel: opts.Level})
	if err != nil {
		return nil, c.callError(ctx, fmt.Sprintf("read the log of sandbox %q", s.Name), err)
	}
	var lines []LogLine
	for _, l := range r.GetLogs() {
		lines = append(lines, decodeLine(l))
	}
	return lines, nil
}

// FollowLogs calls line for the chosen lines and then for new ones, until ctx ends or
// the sandbox is gone.
func (c *Client) FollowLogs(ctx context.Context, s Sandbox, opts LogOptions, line func(LogLine) error) error {
	what := fmt.Sprintf("follow the log of sandbox %q", s.Name)
	stream, err := c.api.WatchSandbox(ctx, &pb.WatchSandboxRequest{Id: s.ID, FollowLogs: true, LogTailLines: opts.lines(),
		LogSinceMs: opts.since(), LogSources: opts.Sources, LogMinLevel: opts.Level})
	if err != nil {
		return c.callError(ctx, what, err)
	}
	for {
		e, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return c.callError(ctx, what, err)
		}
		if l := e.GetLog(); l != nil {
			if err := line(decodeLine(l)); err != nil {
				return err
			}
		}
	}
}

func (o LogOptions) lines() uint32 {
	if o.Lines <= 0 {
		return defaultLines
	}
	return uint32(min(o.Lines, math.MaxInt32))
}

func (o LogOptions) since() int64 {
	if o.Since.IsZero() {
		return 0
	}
	return o.Since.UnixMilli()
}
