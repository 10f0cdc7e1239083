package sandbox

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"path"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// authority signs certificates, as the one of a gateway does.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{cert: &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true}}
	a.pem, a.key = sign(t, a.cert, nil)
	block, _ := pem.Decode(a.pem)
	var err error
	if a.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign makes a key and a certificate for it; without an authority it signs itself.
func sign(t *testing.T, template *x509.Certificate, by *authority) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if by == nil {
		by = &authority{cert: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

// issue returns certificate and key for names and addresses, or for a client.
func (a *authority) issue(t *testing.T, names ...string) (cert, key []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2)}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	cert, private := sign(t, template, a)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// server is the TLS configuration of a server that demands certificates of its
// clients, as the gateways do.
func (a *authority) server(t *testing.T, names ...string) *tls.Config {
	t.Helper()
	cert, err := tls.X509KeyPair(a.issue(t, names...))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	return &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
}

// client is one with certificates of the authority.
func (a *authority) client(t *testing.T, endpoint string) *Client {
	t.Helper()
	cert, key := a.issue(t)
	return connected(t, Config{Endpoint: endpoint, CA: a.pem, Cert: cert, Key: key})
}

func connected(t *testing.T, cfg Config) *Client {
	t.Helper()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// fake answers the calls of the API as a test wants. n is how often a call was made
// before.
type fake struct {
	pb.UnimplementedOpenShellServer
	answer func(ctx context.Context, n int, call string, req proto.Message) (proto.Message, error)
	watch  func(n int, req *pb.WatchSandboxRequest, stream grpc.ServerStreamingServer[pb.SandboxStreamEvent]) error

	mu    sync.Mutex
	calls map[string]int
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls == nil {
		f.calls = map[string]int{}
	}
	f.calls[call]++
	return f.calls[call] - 1
}

func (f *fake) made(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

func (f *fake) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	call := path.Base(info.FullMethod)
	if f.answer == nil {
		return nil, status.Error(codes.Unimplemented, call)
	}
	return f.answer(ctx, f.count(call), call, req.(proto.Message))
}

func (f *fake) WatchSandbox(req *pb.WatchSandboxRequest, stream grpc.ServerStreamingServer[pb.SandboxStreamEvent]) error {
	if f.watch == nil {
		return f.UnimplementedOpenShellServer.WatchSandbox(req, stream)
	}
	return f.watch(f.count("WatchSandbox"), req, stream)
}

// serve runs a gateway's API over TLS and returns a client of it.
func serve(t *testing.T, f *fake) *Client {
	t.Helper()
	a := newAuthority(t)
	return a.client(t, "https://"+listen(t, f, grpc.Creds(credentials.NewTLS(a.server(t, "127.0.0.1")))))
}

func listen(t *testing.T, f *fake, opts ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(append(opts, grpc.UnaryInterceptor(f.intercept))...)
	pb.RegisterOpenShellServer(server, f)
	go server.Serve(l) //nolint:errcheck // ends with the test
	t.Cleanup(server.Stop)
	return l.Addr().String()
}

// noLeaks fails a test that leaves goroutines behind. It is called first, so that it
// looks last.
func noLeaks(t *testing.T) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		end := time.Now().Add(5 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Errorf("%d goroutines have become %d:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// hostileText is what a peer may send to play with a terminal, or to forge a line.
const hostileText = "\x1b[2J\x1b]0;title\x07\u009b31m\r\x7f" + secretToken

// fits checks that a text can be shown: it holds nothing that a terminal obeys.
func fits(t *testing.T, what, s string) {
	t.Helper()
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 }) {
		t.Errorf("%s reaches the terminal as %q", what, s)
	}
}
