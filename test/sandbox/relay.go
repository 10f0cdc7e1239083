package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	reconnectMin = time.Second
	reconnectMax = 30 * time.Second
	// heartbeatDefault stands in for a server that names no interval.
	heartbeatDefault = 15 * time.Second
)

// relay keeps a session with the server, over which the server asks for connections
// to the sandbox's SSH socket.
type relay struct {
	settings *settings
	target   string
	security credentials.TransportCredentials
	// wait is the first pause before a new attempt.
	wait time.Duration
}

func newRelay(s *settings) (*relay, error) {
	endpoint, err := url.Parse(s.endpoint)
	if err != nil {
		return nil, fmt.Errorf("read OPENSHELL_ENDPOINT: %w", err)
	}
	r := &relay{settings: s, target: endpoint.Host, wait: reconnectMin}
	switch {
	case endpoint.Host == "" || endpoint.Port() == "":
		return nil, fmt.Errorf("OPENSHELL_ENDPOINT %q has no host and port", s.endpoint)
	case endpoint.Scheme == "http":
		r.security = insecure.NewCredentials()
	case endpoint.Scheme == "https":
		if r.security, err = clientCredentials(s); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("OPENSHELL_ENDPOINT %q is neither http nor https", s.endpoint)
	}
	return r, nil
}

// clientCredentials trusts the gateway's authority alone.
func clientCredentials(s *settings) (credentials.TransportCredentials, error) {
	authority, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, fmt.Errorf("read OPENSHELL_TLS_CA: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s holds no certificate", s.ca)
	}
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("read OPENSHELL_TLS_CERT and OPENSHELL_TLS_KEY: %w", err)
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion:   tls.VersionTLS12,
		RootCAs:      roots,
		Certificates: []tls.Certificate{pair},
	}), nil
}

// run keeps the session until the context ends, with ever longer pauses between
// attempts that do not get one.
func (r *relay) run(ctx context.Context) {
	wait := r.wait
	for {
		accepted, err := r.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		if accepted {
			wait = r.wait
		}
		log.Printf("relay: %v; again in %s", err, wait)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, reconnectMax)
	}
}

// connect keeps one session and says whether the server accepted it.
func (r *relay) connect(ctx context.Context) (accepted bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+r.target,
		grpc.WithTransportCredentials(r.security),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			Time: 10 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true,
		}))
	if err != nil {
		return false, err
	}
	defer conn.Close()
	client := openshellpb.NewOpenShellClient(conn)
	stream, err := client.ConnectSupervisor(ctx)
	if err != nil {
		return false, fmt.Errorf("connect with the server: %w", err)
	}
	hello := &openshellpb.SupervisorHello{SandboxId: r.settings.sandboxID, InstanceId: newUUID()}
	if err := stream.Send(&openshellpb.SupervisorMessage{
		Payload: &openshellpb.SupervisorMessage_Hello{Hello: hello},
	}); err != nil {
		return false, fmt.Errorf("greet the server: %w", err)
	}
	first, err := stream.Recv()
	if err != nil {
		return false, fmt.Errorf("greet the server: %w", err)
	}
	if rejected := first.GetSessionRejected(); rejected != nil {
		return false, fmt.Errorf("the server rejects the session: %s", rejected.GetReason())
	}
	session := first.GetSessionAccepted()
	if session == nil {
		return false, errors.New("the server's first message is no answer to the greeting")
	}
	log.Printf("relay: session %s", session.GetSessionId())
	s := &relaySession{
		client:  client,
		socket:  r.settings.socket,
		stream:  stream,
		replies: make(chan *openshellpb.SupervisorMessage),
		cancels: map[string]context.CancelFunc{},
	}
	interval := time.Duration(session.GetHeartbeatIntervalSecs()) * time.Second
	if interval == 0 {
		interval = heartbeatDefault
	}
	return true, s.serve(ctx, interval)
}

// newUUID makes a random UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
