package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// gate is a gateway that is reached without TLS, and answers what a test wants.
func gate(t *testing.T, answer func(n int, conn *net.TCPConn)) *Session {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				answer(n, conn.(*net.TCPConn))
			}()
		}
	}()
	c := &Client{endpoint: "http://" + l.Addr().String(), scheme: "http", host: "127.0.0.1", port: l.Addr().(*net.TCPAddr).Port, api: &sessions{}}
	return &Session{client: c, sandbox: Sandbox{ID: id, Name: "box"}, token: secretToken, scheme: "http", host: "127.0.0.1", port: c.port, path: "/connect/ssh"}
}

// sessions hands out sessions of gate's gateway, and counts.
type sessions struct {
	pb.OpenShellClient
	created, revoked atomic.Int32
}

func (s *sessions) CreateSshSession(_ context.Context, r *pb.CreateSshSessionRequest, _ ...grpc.CallOption) (*pb.CreateSshSessionResponse, error) {
	s.created.Add(1)
	return &pb.CreateSshSessionResponse{SandboxId: r.GetSandboxId(), Token: secretToken, GatewayHost: "127.0.0.1", GatewayPort: 8080,
		GatewayScheme: "http", ConnectPath: "/connect/ssh"}, nil
}

func (s *sessions) RevokeSshSession(context.Context, *pb.RevokeSshSessionRequest, ...grpc.CallOption) (*pb.RevokeSshSessionResponse, error) {
	s.revoked.Add(1)
	return &pb.RevokeSshSessionResponse{Revoked: true}, nil
}

// header reads a request up to its empty line.
func header(conn io.Reader) (string, *bufio.Reader) {
	r := bufio.NewReader(conn)
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String(), r
		}
	}
}

func TestTunnel(t *testing.T) {
	got := make(chan string, 1)
	s := gate(t, func(_ int, conn *net.TCPConn) {
		request, rest := header(conn)
		// Byte by byte up to the end of the header, and the first words of SSH with it.
		answer := "HTTP/1.1 200 OK\r\nX: y\r\n\r\nSSH-2.0-first\r\n"
		for i := range strings.Index(answer, "SSH") - 1 {
			io.WriteString(conn, answer[i:i+1])
		}
		io.WriteString(conn, answer[strings.Index(answer, "SSH")-1:])
		sent, _ := io.ReadAll(rest) // until we are done writing
		io.WriteString(conn, "bye")
		got <- request + string(sent)
	})
	tunnel, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	if _, err := io.WriteString(tunnel, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := tunnel.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if _, err := tunnel.WriteTo(&out); err != nil || out.String() != "SSH-2.0-first\r\nbye" {
		t.Errorf("read %q, %v", out.String(), err)
	}
	if want := s.request() + "hello"; <-got != want {
		t.Errorf("the request was not %q", want)
	}
}

func TestTunnelRefused(t *testing.T) {
	for answer, want := range map[string]Cause{
		"HTTP/1.1 400 Bad\r\n\r\n":        CauseRefused,
		"HTTP/1.1 401 No\r\n\r\n":         CauseRefused,
		"HTTP/1.1 404 Gone\r\n\r\n":       CauseAbsent,
		"HTTP/1.1 405 No\r\n\r\n":         CauseRefused,
		"HTTP/1.1 429 Many\r\n\r\n":       CauseBusy,
		"HTTP/1.1 500 Oh\r\n\r\n":         CauseRefused,
		"HTTP/1.1 502 Away\r\n\r\n":       CauseNotReady,
		"HTTP/1.1 301 There\r\n\r\n":      CauseRefused,
		"SSH-2.0-OpenSSH\r\n":             CauseCut,
		"":                                CauseCut,
		"HTTP/1.1 200":                    CauseCut,
		"\x1b[31mHTTP/1.1 200 OK\r\n\r\n": CauseCut,
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: bbbbbbbbbbbbbbbb\r\n", 500): CauseCut,
		strings.Repeat("x", 10000): CauseCut,
	} {
		s := gate(t, func(_ int, conn *net.TCPConn) {
			header(conn)
			io.WriteString(conn, answer)
		})
		_, err := s.Dial(t.Context())
		if CauseOf(err) != want {
			t.Errorf("%.40q: %s: %v", answer, CauseOf(err), err)
			continue
		}
		if strings.Contains(err.Error(), secretToken) || strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%.40q: %q", answer, err)
		}
	}
}

// TestTunnelNotReady: a sandbox that is not ready yet is tried again.
func TestTunnelNotReady(t *testing.T) {
	s := gate(t, func(n int, conn *net.TCPConn) {
		header(conn)
		status := "200 OK"
		if n < 2 {
			status = "412 Precondition Failed"
		}
		fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", status)
	})
	began := time.Now()
	tunnel, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tunnel.Close()
	if took := time.Since(began); took < 2900*time.Millisecond {
		t.Errorf("there was no growing pause: %s", took)
	}
}

func TestTunnelCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := gate(t, func(_ int, conn *net.TCPConn) {
		header(conn)
		cancel()
		io.Copy(io.Discard, conn)
	})
	if _, err := s.Dial(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\n\r\nrest")
	f.Add("HTTP/1.0 412 \n\n")
	f.Fuzz(func(t *testing.T, answer string) {
		r := bufio.NewReaderSize(strings.NewReader(answer), maxHeader)
		status, err := readAnswer(r)
		if err == nil && (status < 100 || status > 999) {
			t.Errorf("status %d", status)
		}
	})
}
