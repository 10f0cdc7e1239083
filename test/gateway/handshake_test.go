package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const testSecret = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// TestPreface compares with a signature that another implementation of HMAC made, with
// the text of the secret as the key.
func TestPreface(t *testing.T) {
	got := preface(testSecret, "token-1", "11111111-2222-4333-8444-555555555555", time.Unix(1700000000, 0))
	want := "NSSH1 token-1 1700000000 11111111-2222-4333-8444-555555555555 5c687e7b8a2624b36805738d9b0c0d344de0ad07d1d945c3ad271442e282bf36\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAddress(t *testing.T) {
	if got := address(&pb.Sandbox{Name: []byte("box"), Namespace: []byte("openshell")}); got != "box.openshell.svc.cluster.local.:2222" {
		t.Error(got)
	}
}

// sandboxPeer listens as a sandbox does: it reads the preface, answers, and hands the
// connection over.
func sandboxPeer(t *testing.T, answer string, handle func(*net.TCPConn, *bufio.Reader)) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close() //nolint:errcheck // the test looks at the other end
				r := bufio.NewReader(conn)
				if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "NSSH1 ") {
					return
				}
				if _, err := io.WriteString(conn, answer); err != nil {
					return
				}
				handle(conn.(*net.TCPConn), r)
			}()
		}
	}()
	return listener
}

// testHop leads every sandbox to one listener.
func testHop(l net.Listener) *nssh1 {
	return &nssh1{secret: testSecret, dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}}
}

func TestHandshake(t *testing.T) {
	sandbox := &pb.Sandbox{Name: []byte("box")}
	// What follows the answer in the same segment belongs to SSH.
	l := sandboxPeer(t, "OK\nSSH-2.0-test\r\n", func(*net.TCPConn, *bufio.Reader) {})
	conn, err := testHop(l).dial(t.Context(), sandbox, "token")
	if err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); string(rest) != "SSH-2.0-test\r\n" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	for _, answer := range []string{"ERR\n", "\n", strings.Repeat("x", 2*answerLimit)} {
		_, err := testHop(sandboxPeer(t, answer, func(*net.TCPConn, *bufio.Reader) {})).dial(t.Context(), sandbox, "token")
		if err == nil || !strings.Contains(err.Error(), "handshake rejected") {
			t.Errorf("answer %.10q: %v", answer, err)
		}
	}
}

// TestDialRetries has a sandbox that can be reached at the third attempt.
func TestDialRetries(t *testing.T) {
	l := sandboxPeer(t, "OK\n", func(*net.TCPConn, *bufio.Reader) {})
	h, attempts := testHop(l), 0
	reach := h.dialer
	h.dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
		if attempts++; attempts < 3 {
			return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
		}
		return reach(ctx, network, address)
	}
	conn, err := h.dial(t.Context(), &pb.Sandbox{Name: []byte("box")}, "token")
	if err != nil || attempts != 3 {
		t.Fatalf("%v after %d attempts", err, attempts)
	}
	conn.Close() //nolint:errcheck // it was made for this
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	attempts = 0
	if _, err := h.dial(ctx, &pb.Sandbox{}, "token"); err == nil {
		t.Error("it went on after the caller had gone")
	}
}
