// Gateway is a small, honest peer of OpenShell's server 0.0.34 for tests: it takes
// the same flags and environment, refuses to start without what the real one needs,
// serves gRPC over mutual TLS, keeps a database on its volume, runs sandboxes as
// objects of the same Kubernetes resource, and leads SSH clients to them. Beyond that
// it records each boot, with hashes of what it was given, so that a test can see
// whether a secret survived without ever seeing the secret.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

// version is what Health answers; the build may set another.
var version = "0.0.34"

// stopTimeout bounds the end of open calls after SIGTERM.
const stopTimeout = 500 * time.Millisecond

type options struct {
	port, healthPort                int
	logLevel, dbURL                 string
	tlsCert, tlsKey, clientCA       string
	handshakeSecret                 string
	disableTLS, disableGatewayAuth  bool
	sandboxNamespace, grpcEndpoint  string
	sandboxImage, sandboxPullPolicy string
	sshHost, clientTLSSecret        string
	hostGatewayIP                   string
	sshPort, skew                   int
	relay                           bool
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	o, err := parse(args, os.Getenv)
	if err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	store, err := openStore(ctx, o.dbURL)
	if err != nil {
		return err
	}
	defer store.close()
	cert, err := o.certificate()
	if err != nil {
		return err
	}
	if err := store.recordBoot(ctx, o.handshakeSecret, cert); err != nil {
		return err
	}
	kube, err := newCluster(o.sandboxNamespace, serviceAccountDir, os.Getenv)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	calls := newService(ctx, o, store, kube, os.Stdout)
	if err := calls.disconnectAll(ctx); err != nil {
		return err
	}
	api, err := newAPIServer(o, cert, calls)
	if err != nil {
		return err
	}
	health := &http.Server{Addr: fmt.Sprintf(":%d", o.healthPort), Handler: calls.healthHandler(), ReadHeaderTimeout: 5 * time.Second}

	for _, f := range []feed{calls.sandboxFeed(), calls.eventFeed()} {
		group.Go(func() error {
			kube.follow(ctx, calls.journal, f)
			return nil
		})
	}
	group.Go(func() error { return serve(api.listen) })
	if o.healthPort != 0 {
		group.Go(func() error { return serve(health.ListenAndServe) })
	}
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		return errors.Join(api.shutdown(end), health.Shutdown(end))
	})
	fmt.Printf("openshell-gateway %s listens on port %d\n", version, o.port)
	return group.Wait()
}

func serve(listen func() error) error {
	if err := listen(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// parse reads flags; the environment gives their defaults.
func parse(args []string, getenv func(string) string) (options, error) {
	var o options
	f := pflag.NewFlagSet("openshell-gateway", pflag.ContinueOnError)
	var bad error
	number := func(p *int, name, env string, def int) {
		if v := getenv(env); v != "" {
			n, err := strconv.Atoi(v)
			if err != nil {
				bad = errors.Join(bad, fmt.Errorf("%s=%q is not a number", env, v))
			}
			def = n
		}
		f.IntVar(p, name, def, "["+env+"]")
	}
	text := func(p *string, name, env, def string) {
		if v := getenv(env); v != "" {
			def = v
		}
		f.StringVar(p, name, def, "["+env+"]")
	}
	flag := func(p *bool, name, env string) {
		f.BoolVar(p, name, getenv(env) == "true", "["+env+"]")
	}
	number(&o.port, "port", "OPENSHELL_SERVER_PORT", 8080)
	number(&o.healthPort, "health-port", "OPENSHELL_HEALTH_PORT", 0)
	number(&o.sshPort, "ssh-gateway-port", "OPENSHELL_SSH_GATEWAY_PORT", 8080)
	number(&o.skew, "ssh-handshake-skew-secs", "OPENSHELL_SSH_HANDSHAKE_SKEW_SECS", 300)
	text(&o.logLevel, "log-level", "OPENSHELL_LOG_LEVEL", "info")
	text(&o.dbURL, "db-url", "OPENSHELL_DB_URL", "")
	text(&o.tlsCert, "tls-cert", "OPENSHELL_TLS_CERT", "")
	text(&o.tlsKey, "tls-key", "OPENSHELL_TLS_KEY", "")
	text(&o.clientCA, "tls-client-ca", "OPENSHELL_TLS_CLIENT_CA", "")
	text(&o.sandboxNamespace, "sandbox-namespace", "OPENSHELL_SANDBOX_NAMESPACE", "default")
	text(&o.sandboxImage, "sandbox-image", "OPENSHELL_SANDBOX_IMAGE", defaultSandboxImage)
	text(&o.sandboxPullPolicy, "sandbox-image-pull-policy", "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY", "")
	text(&o.grpcEndpoint, "grpc-endpoint", "OPENSHELL_GRPC_ENDPOINT", "")
	text(&o.sshHost, "ssh-gateway-host", "OPENSHELL_SSH_GATEWAY_HOST", "127.0.0.1")
	text(&o.clientTLSSecret, "client-tls-secret-name", "OPENSHELL_CLIENT_TLS_SECRET_NAME", "")
	text(&o.hostGatewayIP, "host-gateway-ip", "OPENSHELL_HOST_GATEWAY_IP", "")
	text(&o.handshakeSecret, "ssh-handshake-secret", "OPENSHELL_SSH_HANDSHAKE_SECRET", "")
	// The help must not print a secret that came from the environment.
	f.Lookup("ssh-handshake-secret").DefValue = ""
	flag(&o.disableTLS, "disable-tls", "OPENSHELL_DISABLE_TLS")
	flag(&o.disableGatewayAuth, "disable-gateway-auth", "OPENSHELL_DISABLE_GATEWAY_AUTH")
	// The real server has no such flag: it speaks the one or the other by its version.
	flag(&o.relay, "relay", "OPENSHELL_TEST_RELAY")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	return o, bad
}

// check refuses what the real server refuses.
func (o options) check() error {
	switch {
	case o.handshakeSecret == "":
		return errors.New("the SSH handshake secret is required: set --ssh-handshake-secret or OPENSHELL_SSH_HANDSHAKE_SECRET")
	case !o.disableTLS && (o.tlsCert == "" || o.tlsKey == "" || o.clientCA == ""):
		return errors.New("--tls-cert, --tls-key and --tls-client-ca are required unless --disable-tls is set")
	case o.port == o.healthPort:
		return fmt.Errorf("--port and --health-port are both %d", o.port)
	case !strings.HasPrefix(o.dbURL, "sqlite:"):
		return fmt.Errorf("--db-url %q is not a sqlite: URL", o.dbURL)
	}
	return nil
}
