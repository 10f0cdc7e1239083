package main

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/docker-openshell/docker-openshell/internal/gateway"
)

// run of events as a start emits them.
var someEvents = []gateway.Event{
	{Kind: gateway.Notice, Text: "there is no gateway \"a\" yet, but there is \"b\""},
	{Kind: gateway.StepStarted, Step: "ensure-image", Text: "Checking image x"},
	{Kind: gateway.Progress, Step: "ensure-image", Text: "Pulling x", Current: 1_000_000, Total: 4_000_000},
	{Kind: gateway.Progress, Step: "ensure-image", Text: "Pulling x", Current: 2_000_000, Total: 4_000_000},
	{Kind: gateway.StepDone, Step: "ensure-image", Text: "Checking image x"},
	{Kind: gateway.StepStarted, Step: "wait-ready", Text: "Waiting for the gateway"},
	{Kind: gateway.Progress, Step: "wait-ready", Text: "Waiting for the API"},
	{Kind: gateway.Progress, Step: "wait-ready", Text: "Waiting for the API"},
	{Kind: gateway.Warning, Text: "the clock is wrong"},
	{Kind: gateway.StepFailed, Step: "wait-ready", Text: "Waiting for the gateway"},
}

// clock advances by half a second at each look.
func clock() func() time.Time {
	now := time.Unix(1_000_000, 0)
	return func() time.Time {
		now = now.Add(500 * time.Millisecond)
		return now
	}
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	p := newPlainProgress(&b)
	p.now = clock()
	for _, e := range someEvents {
		p.event(e)
	}
	p.close()
	want := `there is no gateway "a" yet, but there is "b"
#1 Checking image x
#1 Pulling x: 1MB / 4MB
#1 done 1.5s
#2 Waiting for the gateway
#2 Waiting for the API
warning: the clock is wrong
#2 failed 0.5s
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONProgress(t *testing.T) {
	var b bytes.Buffer
	p := jsonProgress{&b}
	for _, e := range someEvents[1:4] {
		p.event(e)
	}
	p.close()
	want := `{"kind":"started","step":"ensure-image","text":"Checking image x"}
{"kind":"progress","step":"ensure-image","text":"Pulling x","current":1000000,"total":4000000}
{"kind":"progress","step":"ensure-image","text":"Pulling x","current":2000000,"total":4000000}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

// screen is what a terminal shows after the renderer's output: it knows the three
// sequences that the renderer uses.
func screen(t *testing.T, out string) string {
	t.Helper()
	lines := []string{""}
	row := 0
	for out != "" {
		switch {
		case strings.HasPrefix(out, "\x1b[1A"):
			row--
			out = out[4:]
		case strings.HasPrefix(out, "\x1b[0G"):
			lines[row] = ""
			out = out[4:]
		case strings.HasPrefix(out, "\x1b[0J"):
			lines = lines[:row+1]
			out = out[4:]
		case out[0] == '\n':
			row++
			lines = append(lines, "")
			out = out[1:]
		case out[0] == '\x1b':
			t.Fatalf("unknown sequence in %q", out[:min(len(out), 10)])
		default:
			lines[row] += out[:1]
			out = out[1:]
		}
	}
	return strings.Join(lines, "\n")
}

// lockedBuffer can be read while the renderer's own goroutine writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// still returns a renderer whose clock stands still, so that what it draws does not
// depend on how often it does.
func still(w *lockedBuffer, s style, width int) *ttyProgress {
	p := newTTYProgress(w, s, func() int { return width })
	now := time.Unix(1_000_000, 0)
	p.mu.Lock()
	p.now = func() time.Time { return now }
	p.mu.Unlock()
	return p
}

func TestTTYProgress(t *testing.T) {
	var b lockedBuffer
	p := still(&b, style{}, 40)
	for _, e := range someEvents {
		p.event(e)
	}
	p.event(gateway.Event{Kind: gateway.StepStarted, Step: "x", Text: "Doing what takes long and has a long name, too"})
	if got := lastLine(screen(t, b.String())); len(got) != 39 || !strings.HasSuffix(got, "  0.0s") {
		t.Errorf("the live line has %d characters, want 39 of 40: %q", len(got), got)
	}
	p.close()
	want := `  there is no gateway "a" yet, but there is "b"
+ Checking image x  0.0s
! the clock is wrong
x Waiting for the gateway  0.0s
- Doing what takes long and has a long name, too  0.0s
`
	if diff := cmp.Diff(want, screen(t, b.String())); diff != "" {
		t.Error(diff)
	}
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return lines[len(lines)-1]
}

func TestTTYProgressStyle(t *testing.T) {
	for _, tt := range []struct {
		style style
		want  string
	}{
		{style{unicode: true}, "✓ Stopping  0.0s\n"},
		{style{color: true}, "\x1b[32m+\x1b[0m Stopping  \x1b[2m0.0s\x1b[0m\n"},
	} {
		var b lockedBuffer
		p := still(&b, tt.style, 80)
		p.event(gateway.Event{Kind: gateway.StepStarted, Step: "s", Text: "Stopping"})
		p.event(gateway.Event{Kind: gateway.StepDone, Step: "s", Text: "Stopping"})
		p.close()
		if got := b.String(); !strings.HasSuffix(got, tt.want) {
			t.Errorf("%+v: got %q, want it to end with %q", tt.style, got, tt.want)
		}
	}
}

// A renderer that is closed while events come, as after Ctrl-C, blocks nobody, and
// writes nothing more.
func TestTTYProgressClose(t *testing.T) {
	var b lockedBuffer
	p := still(&b, style{}, 80)
	var events sync.WaitGroup
	for range 4 {
		events.Go(func() {
			for range 200 {
				p.event(gateway.Event{Kind: gateway.StepStarted, Step: "s", Text: "Starting"})
				p.event(gateway.Event{Kind: gateway.Progress, Step: "s", Text: "Waiting"})
			}
		})
	}
	p.close()
	p.close()
	before := b.String()
	events.Wait()
	p.event(gateway.Event{Kind: gateway.StepDone, Step: "s", Text: "Starting"})
	if after := b.String(); after != before {
		t.Errorf("written after close: %q", after[len(before):])
	}
}

func TestCanUnicode(t *testing.T) {
	for _, tt := range []struct {
		goos string
		env  map[string]string
		want bool
	}{
		{"linux", map[string]string{"LANG": "de_DE.UTF-8"}, true},
		{"linux", map[string]string{"LANG": "C.utf8"}, true},
		{"linux", map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, false},
		{"linux", nil, false},
		{"windows", map[string]string{"LANG": "de_DE.UTF-8"}, false},
		{"windows", map[string]string{"WT_SESSION": "1"}, true},
	} {
		if got := canUnicode(func(name string) string { return tt.env[name] }, tt.goos); got != tt.want {
			t.Errorf("%s with %v: got %v", tt.goos, tt.env, got)
		}
	}
}
