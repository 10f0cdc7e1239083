package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"os/user"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// testServer serves SSH behind the handshake, as this user.
func testServer(t *testing.T) (address string) {
	t.Helper()
	if _, err := os.Stat(bash); err != nil {
		t.Skipf("needs bash: %v", err)
	}
	listener, err := listenTCP("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- serveTCP(ctx, listener, newVerifier([]byte(testSecret), time.Minute), testSSHServer(t))
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func testSSHServer(t *testing.T) *sshServer {
	t.Helper()
	name := "nobody"
	if current, err := user.Current(); err == nil {
		name = current.Username
	}
	server, err := newSSHServer(&account{name: name, home: "/", directory: t.TempDir()})
	if err != nil {
		t.Error(err)
	}
	return server
}

// dial connects as the gateway does.
func dial(t *testing.T, address string) *ssh.Client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(conn, preface(testSecret, time.Now(), newUUID()))
	answer := make([]byte, 3)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "OK\n" {
		t.Fatalf("the handshake got %q, %v", answer, err)
	}
	return sshClient(t, conn)
}

func sshClient(t *testing.T, conn net.Conn) *ssh.Client {
	t.Helper()
	client, channels, requests, err := ssh.NewClientConn(conn, "sandbox",
		&ssh.ClientConfig{User: "sandbox", HostKeyCallback: ssh.InsecureIgnoreHostKey()})
	if err != nil {
		t.Fatal(err)
	}
	c := ssh.NewClient(client, channels, requests)
	t.Cleanup(func() { c.Close() })
	return c
}

func newSession(t *testing.T, client *ssh.Client) *ssh.Session {
	t.Helper()
	session, err := client.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func TestExec(t *testing.T) {
	client := dial(t, testServer(t))
	for name, test := range map[string]struct {
		command, stdin string
		out, errOut    string
		status         int
		signal         string
	}{
		"output and status": {command: "echo out; echo err >&2; exit 7", out: "out\n", errOut: "err\n", status: 7},
		"end of input":      {command: "cat; echo end", stdin: "in\n", out: "in\nend\n"},
		"input unread":      {command: "true", stdin: strings.Repeat("x", 1<<20)},
		"bash":              {command: "[[ a == a ]] && echo -n yes", out: "yes"},
		"environment":       {command: "echo ${OPENSHELL_SANDBOX_ID-none} $HOME $TEST_VARIABLE", out: "none / given\n"},
		"ended by a signal": {command: "kill -TERM $$", status: 143, signal: "TERM"},
		"no such command":   {command: "no-such-command 2>/dev/null", status: 127},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OPENSHELL_SANDBOX_ID", "not for sessions")
			session := newSession(t, client)
			var out, errOut bytes.Buffer
			session.Stdout, session.Stderr = &out, &errOut
			// A pipe: the end of the command must not wait for input that nobody reads.
			stdin, err := session.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				io.WriteString(stdin, test.stdin) //nolint:errcheck // the command may have ended
				stdin.Close()                     //nolint:errcheck // the same
			}()
			if err := session.Setenv("TEST_VARIABLE", "given"); err != nil {
				t.Fatal(err)
			}
			err = session.Run(test.command)
			var exit *ssh.ExitError
			switch {
			case errors.As(err, &exit) && (exit.ExitStatus() != test.status || exit.Signal() != test.signal):
				t.Errorf("ended with %d %s, want %d %s", exit.ExitStatus(), exit.Signal(), test.status, test.signal)
			case err == nil && test.status != 0:
				t.Errorf("ended well, want %d", test.status)
			case err != nil && exit == nil:
				t.Error(err)
			}
			if out.String() != test.out || errOut.String() != test.errOut {
				t.Errorf("output is %q and %q, want %q and %q", out.String(), errOut.String(), test.out, test.errOut)
			}
		})
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	session := newSession(t, dial(t, testServer(t)))
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The output ends only when the child of the shell has ended too.
	if err := session.Start("sleep 1000 & echo ready; wait"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := session.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.Signal() == "" {
		t.Errorf("the session ended with %v", err)
	}
}

func TestTerminal(t *testing.T) {
	session := newSession(t, dial(t, testServer(t)))
	in, err := session.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm-test", 33, 99, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Start(`trap 'stty size' WINCH; stty -echo; stty size; echo $TERM; tty -s && while ! read -r line; do :; done; echo "got $line"; exit 3`); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if n, err := io.ReadFull(out, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got[:n], err, want)
		}
	}
	expect("33 99\r\nxterm-test\r\n")
	if err := session.WindowChange(44, 111); err != nil {
		t.Fatal(err)
	}
	expect("44 111\r\n")
	if _, err := io.WriteString(in, "line\r"); err != nil {
		t.Fatal(err)
	}
	expect("got line\r\n")
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 3 {
		t.Errorf("the session ended with %v", err)
	}
}

func TestTerminalHangsUp(t *testing.T) {
	// A shell cannot trap what it was started to ignore, as under nohup.
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	t.Cleanup(func() { signal.Stop(heard) })
	client := dial(t, testServer(t))
	marker := t.TempDir() + "/hup"
	session := newSession(t, client)
	out, err := session.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	if err := session.Start("trap 'echo hup >" + marker + "; exit' HUP; echo ready; while :; do sleep 0.05; done"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
		t.Fatal(err)
	}
	client.Close()
	await(t, "the hang-up", func() bool {
		content, err := os.ReadFile(marker)
		return err == nil && string(content) == "hup\n"
	})
}

// await waits for a condition that nothing announces.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestShell(t *testing.T) {
	session := newSession(t, dial(t, testServer(t)))
	session.Stdin = strings.NewReader("echo one\nexit 5\n")
	var out bytes.Buffer
	session.Stdout = &out
	if err := session.Shell(); err != nil {
		t.Fatal(err)
	}
	var exit *ssh.ExitError
	if err := session.Wait(); !errors.As(err, &exit) || exit.ExitStatus() != 5 || out.String() != "one\n" {
		t.Errorf("the shell ended with %v and wrote %q", err, out.String())
	}
}

func TestManyChannelsAndMuchData(t *testing.T) {
	client := dial(t, testServer(t))
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			session, err := client.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer session.Close()
			sent := sha256.New()
			session.Stdin = io.TeeReader(io.LimitReader(rand.Reader, 4<<20), sent)
			got := sha256.New()
			session.Stdout = got
			if err := session.Run("cat"); err != nil || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("session %d ended with %v, or returned other data", i, err)
			}
		})
	}
	group.Wait()
}

func TestTerminalOutputIsWhole(t *testing.T) {
	session := newSession(t, dial(t, testServer(t)))
	if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		t.Fatal(err)
	}
	out, err := session.Output("seq 100000; echo end")
	if err != nil || !strings.HasSuffix(string(out), "\r\n100000\r\nend\r\n") || strings.Count(string(out), "\n") != 100001 {
		t.Errorf("got %d lines, %v", strings.Count(string(out), "\n"), err)
	}
}

func TestForward(t *testing.T) {
	client := dial(t, testServer(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	conn, err := client.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "echo"); err != nil {
		t.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); err != nil || string(got) != "echo" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, address := range []string{"192.0.2.1:80", "example.com:80", "0.0.0.0:80"} {
		var refused *ssh.OpenChannelError
		if _, err := client.Dial("tcp", address); !errors.As(err, &refused) || refused.Reason != ssh.Prohibited {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

func TestRefused(t *testing.T) {
	client := dial(t, testServer(t))
	if _, _, err := client.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("a keep-alive is not answered: %v", err)
	}
	if _, _, err := client.OpenChannel("x11", nil); err == nil {
		t.Error("a channel of an unknown type was opened")
	}
	session := newSession(t, client)
	if err := session.RequestSubsystem("no-such"); err == nil {
		t.Error("an unknown subsystem was started")
	}
	if err := session.Setenv("BAD-NAME", "x"); err == nil {
		t.Error("a variable with a bad name was set")
	}
	if err := session.Signal(ssh.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out, err := session.Output("echo still here"); err != nil || string(out) != "still here\n" {
		t.Errorf("after refusals got %q, %v", out, err)
	}
}

func TestHostKeyIsFresh(t *testing.T) {
	keys := map[string]bool{}
	for range 2 {
		address := testServer(t)
		keys[string(dialKey(t, address))] = true
	}
	if len(keys) != 2 {
		t.Error("two servers have one host key")
	}
}

// dialKey connects and returns the host key.
func dialKey(t *testing.T, address string) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, preface(testSecret, time.Now(), newUUID()))
	if _, err := io.ReadFull(conn, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	var host []byte
	_, _, _, err = ssh.NewClientConn(conn, "sandbox", &ssh.ClientConfig{
		User: "sandbox",
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if key.Type() != ssh.KeyAlgoED25519 {
				t.Errorf("the host key is of type %s", key.Type())
			}
			host = key.Marshal()
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return host
}
