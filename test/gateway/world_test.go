package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
	"github.com/docker-openshell/docker-openshell/internal/pki"
)

// world is a server with its cluster and a client of it, over mutual TLS.
type world struct {
	*testing.T
	fake    *fakeCluster
	service *service
	client  pb.OpenShellClient
	// address and tls are for clients that open connections themselves.
	address string
	tls     *tls.Config
	db      string
	log     logBuffer
	// tokens are those that were handed out.
	tokens []string
	// stop ends the server, so that another can be started on the same database.
	stop func()
}

func newWorld(t *testing.T, relay bool) *world {
	fake, kube := newFakeCluster(t)
	w := &world{T: t, fake: fake, db: filepath.Join(t.TempDir(), "openshell.db")}
	w.start(kube, relay)
	w.Cleanup(func() {
		w.stop()
		w.log.mu.Lock()
		defer w.log.mu.Unlock()
		for _, secret := range append(w.tokens, testSecret) {
			if bytes.Contains(w.log.text.Bytes(), []byte(secret)) {
				t.Errorf("the log holds a secret:\n%s", w.log.text.Bytes())
			}
		}
	})
	return w
}

func (w *world) start(kube *cluster, relay bool) {
	w.Helper()
	bundle, err := pki.New(nil, time.Now())
	w.check(err)
	ca := filepath.Join(w.TempDir(), "ca.crt")
	w.check(os.WriteFile(ca, bundle.ServerCA, 0o600))
	cert, err := tls.X509KeyPair(bundle.Server.Cert, bundle.Server.Key)
	w.check(err)
	o := options{clientCA: ca, sandboxNamespace: "test", sandboxImage: "default:1", handshakeSecret: testSecret,
		skew: 300, sshHost: "127.0.0.1", sshPort: 8080, relay: relay, logLevel: "info", grpcEndpoint: "https://server:8080"}
	life, end := context.WithCancel(context.Background())
	store, err := openStore(life, "sqlite:"+w.db)
	w.check(err)
	w.service = newService(life, o, store, kube, &w.log)
	w.check(w.service.disconnectAll(life))
	api, err := newAPIServer(o, &cert, w.service)
	w.check(err)
	server := httptest.NewUnstartedServer(api.http.Handler)
	server.TLS, server.EnableHTTP2 = api.http.TLSConfig, true
	server.StartTLS()
	w.address = server.Listener.Addr().String()
	w.tls, err = pki.ClientConfig(bundle.ClientCA, bundle.Client, "127.0.0.1")
	w.check(err)
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(credentials.NewTLS(w.tls)))
	w.check(err)
	w.client = pb.NewOpenShellClient(conn)
	var feeds sync.WaitGroup
	for _, f := range []feed{w.service.sandboxFeed(), w.service.eventFeed()} {
		feeds.Go(func() { kube.follow(life, w.service.journal, f) })
	}
	w.stop = sync.OnceFunc(func() {
		end()
		conn.Close() //nolint:errcheck // the test is over
		server.CloseClientConnections()
		server.Close()
		feeds.Wait()
		store.close()
	})
	w.Cleanup(w.stop)
}

// restart stops the server and starts another one on the same database.
func (w *world) restart(relay bool) {
	w.Helper()
	w.stop()
	w.start(w.service.cluster, relay)
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) create(name string) *pb.Sandbox {
	w.Helper()
	res, err := w.client.CreateSandbox(w.Context(), &pb.CreateSandboxRequest{Name: name, Spec: &pb.SandboxSpec{}})
	w.check(err)
	return res.GetSandbox()
}

// ready creates a sandbox and waits until it is ready.
func (w *world) ready(name string) *pb.Sandbox {
	w.Helper()
	sandbox := w.create(name)
	w.fake.setReady(name, "True", "DependenciesReady")
	w.wait(string(sandbox.GetId()), ready)
	return sandbox
}

// wait follows a sandbox until it has a phase.
func (w *world) wait(id string, phase pb.SandboxPhase) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	stream, err := w.client.WatchSandbox(ctx, &pb.WatchSandboxRequest{Id: id, FollowStatus: true})
	w.check(err)
	for {
		event, err := stream.Recv()
		w.check(err)
		if event.GetSandbox().GetPhase() == phase {
			return
		}
	}
}

// waitGone follows a sandbox until its row is gone.
func (w *world) waitGone(id string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
	defer cancel()
	stream, err := w.client.WatchSandbox(ctx, &pb.WatchSandboxRequest{Id: id, FollowStatus: true})
	w.check(err)
	for err == nil {
		_, err = stream.Recv()
	}
	if ctx.Err() != nil {
		w.Fatal("the sandbox is still there")
	}
}

func (w *world) session(id string) string {
	w.Helper()
	res, err := w.client.CreateSshSession(w.Context(), &pb.CreateSshSessionRequest{SandboxId: id})
	w.check(err)
	w.tokens = append(w.tokens, res.GetToken())
	return res.GetToken()
}

// logBuffer takes a server's log, also of what ends after the test.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}
