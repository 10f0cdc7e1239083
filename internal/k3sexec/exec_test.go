package k3sexec

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
)

// daemon plays the Engine's part of an exec: it runs a function in the command's
// place, over a connection like the real one.
type daemon struct {
	command func(stdin io.Reader, stdout, stderr io.Writer) int
	argv    []string
	code    int
	done    chan struct{}
}

func (d *daemon) ExecCreate(_ context.Context, _ string, o client.ExecCreateOptions) (client.ExecCreateResult, error) {
	d.argv, d.done = o.Cmd, make(chan struct{})
	return client.ExecCreateResult{ID: "e1"}, nil
}

// halfCloser lets a client end its own direction, as the Engine's connections do.
type halfCloser struct {
	net.Conn
	in *io.PipeWriter
}

func (h halfCloser) Write(p []byte) (int, error) { return h.in.Write(p) }
func (h halfCloser) CloseWrite() error           { return h.in.Close() }
func (h halfCloser) Close() error                { return errors.Join(h.in.Close(), h.Conn.Close()) }

// frames writes one of the two streams in the Engine's framing: the stream's number,
// three zeros, the length in four bytes, the data.
type frames struct {
	w      io.Writer
	stream stdcopy.StdType
}

func (f frames) Write(p []byte) (int, error) {
	head := binary.BigEndian.AppendUint32([]byte{byte(f.stream), 0, 0, 0}, uint32(len(p)))
	_, err := f.w.Write(append(head, p...))
	return len(p), err
}

func (d *daemon) ExecAttach(context.Context, string, client.ExecAttachOptions) (client.ExecAttachResult, error) {
	near, far := net.Pipe()
	stdin, in := io.Pipe()
	go func() {
		defer close(d.done)
		d.code = d.command(stdin, frames{far, stdcopy.Stdout}, frames{far, stdcopy.Stderr})
		far.Close() //nolint:errcheck // the other side sees the end
	}()
	conn := halfCloser{near, in}
	res := client.HijackedResponse{Conn: conn, Reader: bufio.NewReader(near)}
	return client.ExecAttachResult{HijackedResponse: res}, nil
}

func (d *daemon) ExecInspect(context.Context, string, client.ExecInspectOptions) (client.ExecInspectResult, error) {
	<-d.done
	return client.ExecInspectResult{ExitCode: d.code}, nil
}

// prints is a command that prints and ends.
func prints(stdout, stderr string, code int) *daemon {
	return &daemon{command: func(_ io.Reader, o, e io.Writer) int {
		if _, err := io.WriteString(o, stdout); err != nil {
			return 99
		}
		if _, err := io.WriteString(e, stderr); err != nil {
			return 99
		}
		return code
	}}
}

func TestRun(t *testing.T) {
	d := prints("out", "noise", 0)
	out, err := New(d, "c").Run(t.Context(), Command{Argv: []string{"ls", "-l"}, Timeout: 1500 * time.Millisecond})
	if err != nil || string(out) != "out" {
		t.Errorf("%q, %v", out, err)
	}
	if tail := d.argv[len(d.argv)-3:]; !slices.Equal(tail, []string{"2", "ls", "-l"}) {
		t.Errorf("the deadline does not travel with the command, in whole seconds: %q", d.argv)
	}

	_, err = New(prints("", strings.Repeat("line\n", 50)+"last", 7), "c").Run(t.Context(), Command{Argv: []string{"false"}})
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 7 || !strings.HasSuffix(exit.Stderr, "last") || strings.Count(exit.Stderr, "\n") != 9 {
		t.Errorf("%+v", err)
	}
}

func TestRunPassesStandardInput(t *testing.T) {
	d := &daemon{command: func(stdin io.Reader, stdout, _ io.Writer) int {
		if _, err := io.Copy(stdout, stdin); err != nil {
			return 1
		}
		return 0
	}}
	big := strings.Repeat("secret ", 1<<17)
	out, err := New(d, "c").Run(t.Context(), Command{Argv: []string{"cat"}, Stdin: strings.NewReader(big)})
	if err != nil || string(out) != big {
		t.Errorf("%d bytes of %d, %v", len(out), len(big), err)
	}
	if strings.Contains(strings.Join(d.argv, " "), "secret") {
		t.Error("standard input stands in the arguments")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	d := &daemon{command: func(stdin io.Reader, stdout, _ io.Writer) int {
		for {
			if _, err := stdout.Write([]byte("x")); err != nil {
				return 1
			}
		}
	}}
	why := errors.New("the user went home")
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(why)
	if _, err := New(d, "c").Run(ctx, Command{Argv: []string{"yes"}}); !errors.Is(err, why) {
		t.Errorf("got %v, want the reason for which the context ended", err)
	}
	<-d.done
}

// paused is a daemon that does not get to the start of an exec.
type paused struct {
	*daemon
	resume chan struct{}
}

func (p paused) ExecAttach(ctx context.Context, id string, o client.ExecAttachOptions) (client.ExecAttachResult, error) {
	<-p.resume
	return p.daemon.ExecAttach(ctx, id, o)
}

// TestRunEndsWhileItStarts: a container that is paused does not hold up who waits for it,
// and a connection that comes too late is closed.
func TestRunEndsWhileItStarts(t *testing.T) {
	ended := make(chan struct{})
	d := paused{&daemon{command: func(stdin io.Reader, _, _ io.Writer) int {
		io.Copy(io.Discard, stdin) //nolint:errcheck // its end is what counts
		close(ended)
		return 0
	}}, make(chan struct{})}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := New(d, "c1").Run(ctx, Command{Argv: []string{"true"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(d.resume)
	<-ended
}

func TestKubectlGet(t *testing.T) {
	for _, tt := range []struct {
		stdout, stderr string
		code           int
		want           Presence
	}{
		{"{}", "", 0, Present},
		{"", `Error from server (NotFound): secrets "x" not found`, 1, Absent},
		{"", "Warning: old\nError from server (NotFound): secrets \"x\" not found", 1, Absent},
		{"", `Error from server (Forbidden): secrets "x" is forbidden`, 1, Unknown},
		{"", "Error from server (InternalError): NotFound", 1, Unknown},
		{"", "Error from server (NotFound): x\nThe connection was refused", 1, Unknown},
		{"", "", 1, Unknown},
		{"", "", 137, Unknown},
		{"", "sh: kubectl: not found", 127, Unknown},
	} {
		_, got, err := NewKubectl(New(prints(tt.stdout, tt.stderr, tt.code), "c")).Get(t.Context(), "/x")
		if got != tt.want || (err != nil) != (tt.want == Unknown) {
			t.Errorf("code %d, %q: %s, %v; want %s", tt.code, tt.stderr, got, err, tt.want)
		}
	}
}

func TestKubectlCreate(t *testing.T) {
	for stderr, want := range map[string]error{
		`Error from server (AlreadyExists): error when creating "STDIN": secrets "x" already exists`: ErrExists,
		"Error from server (AlreadyExists): x\nError from server (Forbidden): y":                     nil,
	} {
		err := NewKubectl(New(prints("", stderr, 1), "c")).Create(t.Context(), []byte("{}"))
		if err == nil || errors.Is(err, ErrExists) != (want != nil) {
			t.Errorf("%q: %v", stderr, err)
		}
	}
}

func TestParseReports(t *testing.T) {
	in := "@problem\nThe connection was refused\n@list\nWarning: old\n{\"kind\":\"SecretList\"}\n@ready\n@watch\n{\"type\":\"ADDED\"}\nerror: gone\n@watch\n{\"type\":\"ADDED\"}\n"
	var got []Report
	if err := parseReports(strings.NewReader(in), func(r Report) error {
		got = append(got, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want := []Report{
		{ReportProblem, []byte("The connection was refused")},
		{ReportList, []byte(`{"kind":"SecretList"}`)},
		{ReportReady, nil},
		{ReportEvent, []byte(`{"type":"ADDED"}`)},
		{ReportProblem, []byte("error: gone")},
		{ReportEvent, []byte(`{"type":"ADDED"}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	stop := errors.New("enough")
	if err := parseReports(strings.NewReader(in), func(Report) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if err := parseReports(io.MultiReader(strings.NewReader("@list\n{"), bytes.NewReader(make([]byte, maxReportLine))), func(Report) error { return nil }); err == nil {
		t.Error("an endless line is accepted")
	}
}

func TestFollowEndsWithTheStream(t *testing.T) {
	d := prints("@list\n{}\n", "boom", 3)
	reports := 0
	err := NewKubectl(New(d, "c")).Follow(t.Context(), "/a", "/b", func(Report) error {
		reports++
		return nil
	})
	var exit *ExitError
	if reports != 1 || !errors.As(err, &exit) || exit.Stderr != "boom" {
		t.Errorf("%d reports, %v", reports, err)
	}
	enough := errors.New("enough")
	d = &daemon{command: func(_ io.Reader, stdout, _ io.Writer) int {
		for {
			if _, err := io.WriteString(stdout, "@ready\n"); err != nil {
				return 0
			}
		}
	}}
	if err := NewKubectl(New(d, "c")).Follow(t.Context(), "/a", "/b", func(Report) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}
