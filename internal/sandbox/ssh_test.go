package sandbox

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshGate is a gateway whose sandbox is an SSH server that calls handle for each command.
func sshGate(t *testing.T, handle func(command string, channel ssh.Channel, requests <-chan *ssh.Request)) *Session {
	t.Helper()
	return gate(t, sshServer(t, handle))
}

// sshServer grants a tunnel and serves SSH in it.
func sshServer(t *testing.T, handle func(command string, channel ssh.Channel, requests <-chan *ssh.Request)) func(int, *net.TCPConn) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &ssh.ServerConfig{NoClientAuth: true}
	cfg.AddHostKey(signer)
	return func(_ int, conn *net.TCPConn) {
		header(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		server, channels, global, err := ssh.NewServerConn(conn, cfg)
		if err != nil {
			return
		}
		defer server.Close()
		go ssh.DiscardRequests(global)
		for c := range channels {
			channel, requests, err := c.Accept()
			if err != nil {
				return
			}
			for r := range requests {
				r.Reply(true, nil)
				if r.Type == "exec" {
					var command struct{ Line string }
					ssh.Unmarshal(r.Payload, &command)
					go func() {
						handle(command.Line, channel, requests)
						channel.Close()
					}()
					break
				}
			}
		}
	}
}

func exitWith(channel ssh.Channel, code uint32) {
	channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{code}))
}

func open(t *testing.T, s *Session) *Shell {
	t.Helper()
	shell, err := s.shell(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shell.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if n := s.client.api.(*sessions).revoked.Load(); n != 1 {
			t.Errorf("the session was revoked %d times", n)
		}
	})
	return shell
}

func TestRun(t *testing.T) {
	s := sshGate(t, func(command string, channel ssh.Channel, _ <-chan *ssh.Request) {
		in, _ := io.ReadAll(channel) // needs the end of the input to be passed on
		io.WriteString(channel, command+"|"+string(in))
		io.WriteString(channel.Stderr(), "err")
		exitWith(channel, 7)
	})
	var stdout, stderr bytes.Buffer
	code, err := open(t, s).Run(t.Context(), RunOptions{Args: []string{"a b", "c"}, Dir: "/x y", Env: []string{"A=1 2"},
		Stdin: strings.NewReader("input"), Stdout: &stdout, Stderr: &stderr})
	if want := "cd '/x y' && env 'A=1 2' 'a b' c|input"; err != nil || code != 7 || stdout.String() != want || stderr.String() != "err" {
		t.Errorf("%d %v %q %q", code, err, stdout.String(), stderr.String())
	}
}

func TestRunSignals(t *testing.T) {
	s := sshGate(t, func(_ string, channel ssh.Channel, requests <-chan *ssh.Request) {
		for r := range requests {
			if r.Type == "signal" {
				var name struct{ Name string }
				ssh.Unmarshal(r.Payload, &name)
				io.WriteString(channel, name.Name)
				channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
					Name string
					Core bool
					Text string
					Lang string
				}{"TERM", false, "", ""}))
				return
			}
		}
	})
	signals := make(chan string, 1)
	signals <- "TERM"
	var stdout bytes.Buffer
	in, hold := io.Pipe()
	defer hold.Close()
	code, err := open(t, s).Run(t.Context(), RunOptions{Args: []string{"x"}, Stdin: in, Stdout: &stdout, Signals: signals})
	if err != nil || code != 143 || stdout.String() != "TERM" {
		t.Errorf("%d %v %q", code, err, stdout.String())
	}
}

func TestRunCut(t *testing.T) {
	s := sshGate(t, func(_ string, channel ssh.Channel, _ <-chan *ssh.Request) { /* no exit code */ })
	if _, err := open(t, s).Run(t.Context(), RunOptions{Args: []string{"x"}}); CauseOf(err) != CauseCut || !strings.Contains(err.Error(), "was cut") {
		t.Errorf("%s: %v", CauseOf(err), err)
	}
}

// TestShellRefused: a sandbox that refuses the gateway closes the connection before a
// word of SSH.
func TestShellRefused(t *testing.T) {
	s := gate(t, func(_ int, conn *net.TCPConn) {
		header(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	})
	_, err := s.shell(t.Context(), time.Minute)
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Cause != CauseRefused || !strings.Contains(e.Hint, "older SSH handshake secret") {
		t.Errorf("%v", err)
	}
}

// TestShellAgain: a sandbox that does not speak gets another attempt, in another session.
func TestShellAgain(t *testing.T) {
	usual := handshakeTimeouts
	handshakeTimeouts = []time.Duration{50 * time.Millisecond, time.Minute}
	t.Cleanup(func() { handshakeTimeouts = usual })
	attempts := make(chan int, 3)
	serve := sshServer(t, func(_ string, channel ssh.Channel, _ <-chan *ssh.Request) { exitWith(channel, 0) })
	s := gate(t, func(n int, conn *net.TCPConn) {
		attempts <- n
		if n == 0 {
			header(conn)
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
			io.Copy(io.Discard, conn)
			return
		}
		serve(n, conn)
	})
	shell, err := s.client.Shell(t.Context(), s.sandbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shell.Run(t.Context(), RunOptions{Args: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if err := shell.Close(); err != nil {
		t.Error(err)
	}
	made := s.client.api.(*sessions)
	if len(attempts) != 2 || made.created.Load() != 2 || made.revoked.Load() != 2 {
		t.Errorf("%d attempts, %d sessions, %d revoked", len(attempts), made.created.Load(), made.revoked.Load())
	}
}

func TestShellCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := gate(t, func(_ int, conn *net.TCPConn) {
		header(conn)
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		cancel()
		io.Copy(io.Discard, conn)
	})
	if _, err := s.shell(ctx, time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestRunRefuses(t *testing.T) {
	shell := &Shell{}
	for _, o := range []RunOptions{{Args: []string{""}}, {Args: []string{"a\x00b"}}, {Args: []string{"a"}, Env: []string{"A"}},
		{Args: []string{"a"}, Env: []string{"1A=b"}}, {Args: []string{"a"}, Env: []string{"A B=c"}}, {Args: []string{"a"}, Dir: "\x00"}} {
		if _, err := shell.Run(t.Context(), o); CauseOf(err) != CauseInvalid {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// FuzzQuote: a shell takes the words apart again as they were.
func FuzzQuote(f *testing.F) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		f.Skip("there is no shell")
	}
	for _, word := range []string{"", "plain", "a b", "it's", `"$HOME"`, "`id`", "a\nb", "-n", "~", "*", "#", "\\", "ä", "{a,b}", "!x"} {
		f.Add(word)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsRune(word, 0) {
			return
		}
		out, err := exec.Command(sh, "-c", "printf '%s|' "+quoteAll([]string{word, "next"})).Output()
		if err != nil || string(out) != word+"|next|" {
			t.Errorf("%q became %q: %v", word, out, err)
		}
	})
}

// TestOutputLost: a command whose output nobody takes any more is ended, where it would
// wait for ever for room to write.
func TestOutputLost(t *testing.T) {
	s := sshGate(t, func(_ string, channel ssh.Channel, _ <-chan *ssh.Request) {
		for {
			if _, err := channel.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	full := errors.New("no space left")
	read, write := io.Pipe()
	read.CloseWithError(full)
	if _, err := open(t, s).Run(t.Context(), RunOptions{Args: []string{"x"}, Stdout: write}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

// TestDownloadRefused: what cannot be written ends a download, with its own words.
func TestDownloadRefused(t *testing.T) {
	s := sshGate(t, func(_ string, channel ssh.Channel, _ <-chan *ssh.Request) {
		w := tar.NewWriter(channel)
		w.WriteHeader(&tar.Header{Name: "../\x1b[2J", Typeflag: tar.TypeReg, Mode: 0o644, Size: 64 << 20})
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	})
	err := open(t, s).Download(t.Context(), "/x", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "lies outside") {
		t.Fatalf("%v", err)
	}
	fits(t, "the error", err.Error())
}
