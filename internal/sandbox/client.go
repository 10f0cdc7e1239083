// Package sandbox is the client of a gateway: of its gRPC API, and of the SSH tunnel
// into its sandboxes.
//
// A gateway may be hostile or broken. What it answers is checked before it becomes an
// address, a header, a path or text on a terminal, and no answer reaches a shell.
//
// The package writes to no stream of the process, reads no environment variable and
// never exits. Session tokens stay in memory: they are in no argument vector, error
// or event.
package sandbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	// connectTimeout bounds one attempt to connect.
	connectTimeout = 10 * time.Second
	// callTimeout bounds a call that is answered at once.
	callTimeout = 30 * time.Second
	// keepAlive is how often a connection is tested, also an idle one: the servers
	// expect it from their clients.
	keepAlive = 10 * time.Second
)

// Config says where a gateway is, and with what it is entered.
type Config struct {
	// Endpoint is https://HOST[:PORT] or http://HOST[:PORT].
	Endpoint string
	// CA, Cert and Key are PEM; an http endpoint has none.
	CA, Cert, Key []byte
	// Tunnel says that a tunnel will be opened soon: Connect then begins the connection
	// for it, which is made beside the calls that come before it.
	Tunnel bool
}

// Client talks to one gateway. Its methods may be called at the same time.
type Client struct {
	endpoint string
	scheme   string
	host     string // without brackets
	port     int
	tls      *tls.Config // nil for http
	conn     *grpc.ClientConn
	api      pb.OpenShellClient
	tunnel   bool
	early    *earlyDial // nil without one
}

// retries has the library repeat what may be repeated: reads, but the one by which it is
// found out why a gateway cannot be reached, and a revocation, which is the same when it
// is done twice.
const retries = `{"methodConfig": [{
	"name": [
		{"service": "openshell.v1.OpenShell", "method": "GetSandbox"},
		{"service": "openshell.v1.OpenShell", "method": "ListSandboxes"},
		{"service": "openshell.v1.OpenShell", "method": "GetSandboxLogs"},
		{"service": "openshell.v1.OpenShell", "method": "RevokeSshSession"}
	],
	"retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.2s", "maxBackoff": "2s",
		"backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}
}]}`

// Open prepares a client. It connects with the first call.
func Open(cfg Config) (*Client, error) {
	c := &Client{endpoint: cfg.Endpoint}
	if err := c.parse(cfg.Endpoint); err != nil {
		return nil, fail(CauseInvalid, "use https://HOST:PORT or http://HOST:PORT", "gateway endpoint %q: %w", cfg.Endpoint, err)
	}
	creds := insecure.NewCredentials()
	if c.scheme == "https" {
		var err error
		if c.tls, err = clientTLS(cfg, c.host); err != nil {
			return nil, fail(CauseInvalid, "", "certificates for the gateway at %s: %w", cfg.Endpoint, err)
		}
		creds = credentials.NewTLS(c.tls)
	}
	conn, err := grpc.NewClient("passthrough:///"+c.address(),
		grpc.WithTransportCredentials(creds), grpc.WithDefaultServiceConfig(retries), grpc.WithNoProxy(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: connectTimeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepAlive, Timeout: 2 * keepAlive, PermitWithoutStream: true}))
	if err != nil {
		return nil, fail(CauseInvalid, "", "gateway endpoint %q: %w", cfg.Endpoint, err)
	}
	c.conn, c.api = conn, pb.NewOpenShellClient(conn)
	c.tunnel = cfg.Tunnel
	return c, nil
}

// Close ends the connection. Tunnels that were opened stay.
func (c *Client) Close() error {
	c.early.close()
	return c.conn.Close()
}

// Endpoint is where the client connects to.
func (c *Client) Endpoint() string { return c.endpoint }

func (c *Client) address() string { return net.JoinHostPort(c.host, strconv.Itoa(c.port)) }

// parse takes an endpoint apart. It has nothing but scheme, host and port.
func (c *Client) parse(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		// The error repeats the endpoint, which is in the caller's message.
		if e, ok := errors.AsType[*url.Error](err); ok {
			return e.Err
		}
		return err
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return errors.New("it begins with neither http:// nor https://")
	case u.User != nil || strings.ContainsAny(endpoint, "?#") || u.Path != "" && u.Path != "/":
		return errors.New("it has more than a host and a port")
	case !validHost(u.Host) || u.Hostname() == "" || strings.ContainsAny(u.Hostname(), "[]"):
		return errors.New("it names no host")
	}
	c.scheme, c.host, c.port = u.Scheme, u.Hostname(), map[string]int{"http": 80, "https": 443}[u.Scheme]
	if p := u.Port(); p != "" {
		if c.port, err = strconv.Atoi(p); err != nil || c.port < 1 || c.port > 65535 {
			return errors.New("its port is not a number from 1 to 65535")
		}
	}
	return nil
}

// clientTLS trusts the gateway's own authority alone.
func clientTLS(cfg Config, host string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(cfg.CA) {
		return nil, errors.New("the authority's certificate cannot be read")
	}
	cert, err := tls.X509KeyPair(cfg.Cert, cfg.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: host, MinVersion: tls.VersionTLS12}, nil
}

// Connect connects, so that a gateway that is not there is found out before anything is
// asked of it. An error is of CauseUnreachable, but for an interruption.
func (c *Client) Connect(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c.conn.Connect()
	for state := c.conn.GetState(); state != connectivity.Ready; state = c.conn.GetState() {
		if state == connectivity.TransientFailure {
			// Only a call tells why: the smallest that there is.
			_, err := c.api.Health(wait, &pb.HealthRequest{})
			return c.callError(wait, "connect", err)
		}
		if !c.conn.WaitForStateChange(wait, state) {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fail(CauseUnreachable, "", "the gateway at %s has not answered for %s", c.endpoint, connectTimeout)
		}
	}
	if c.tunnel && c.early == nil {
		c.early = dialEarly(c.dial)
	}
	return nil
}
