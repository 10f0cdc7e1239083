package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
	"github.com/docker-openshell/docker-openshell/internal/pki"
)

func env(m map[string]string) func(string) string { return func(k string) string { return m[k] } }

// TestRefusals shows that the peer refuses to start without what the real server needs.
func TestRefusals(t *testing.T) {
	good := map[string]string{"OPENSHELL_SSH_HANDSHAKE_SECRET": "s", "OPENSHELL_DB_URL": "sqlite:/tmp/x",
		"OPENSHELL_TLS_CERT": "c", "OPENSHELL_TLS_KEY": "k", "OPENSHELL_TLS_CLIENT_CA": "ca"}
	with := func(key, value string) map[string]string {
		m := map[string]string{}
		for k, v := range good {
			m[k] = v
		}
		m[key] = value
		return m
	}
	for _, tt := range []struct {
		env  map[string]string
		args []string
		says string
	}{
		{good, nil, ""},
		{with("OPENSHELL_SSH_HANDSHAKE_SECRET", ""), nil, "handshake secret"},
		{with("OPENSHELL_TLS_KEY", ""), nil, "--tls-key"},
		{with("OPENSHELL_TLS_KEY", ""), []string{"--disable-tls"}, ""},
		{with("OPENSHELL_DB_URL", ""), nil, "--db-url"},
		{with("OPENSHELL_SERVER_PORT", "many"), nil, `"many"`},
		{good, []string{"--health-port", "8080"}, "both 8080"},
	} {
		o, err := parse(tt.args, env(tt.env))
		if err == nil {
			err = o.check()
		}
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.says)
		}
	}
}

func newTestStore(t *testing.T) *store {
	t.Helper()
	s, err := openStore(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "openshell.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func newTestService(t *testing.T, o options, s *store, kube *cluster) *service {
	t.Helper()
	return newService(t.Context(), o, s, kube, t.Output())
}

func TestBootsHoldNoSecret(t *testing.T) {
	s := newTestStore(t)
	const secret = "very-secret"
	for range 2 {
		if err := s.recordBoot(t.Context(), secret, nil); err != nil {
			t.Fatal(err)
		}
	}
	handler := newTestService(t, options{}, s, nil).healthHandler()
	get := func(method, path string) string {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		return w.Body.String()
	}
	var boots []boot
	if err := json.Unmarshal([]byte(get(http.MethodGet, "/boots")), &boots); err != nil || len(boots) != 2 || boots[0].Secret != boots[1].Secret || len(boots[0].Secret) != 64 {
		t.Errorf("%+v, %v", boots, err)
	}
	if strings.Contains(get(http.MethodGet, "/boots"), secret) {
		t.Error("the record holds the secret")
	}
	get(http.MethodPost, "/marks/a/b")
	if got := strings.TrimSpace(get(http.MethodGet, "/marks")); got != `{"a":"b"}` {
		t.Errorf("marks %s", got)
	}
	if !strings.Contains(get(http.MethodGet, "/readyz"), version) {
		t.Error("/readyz does not name the version")
	}
}

// TestMutualTLS serves the API and calls it with and without a certificate.
func TestMutualTLS(t *testing.T) {
	b, err := pki.New(nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, b.ServerCA, 0o600); err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(b.Server.Cert, b.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	o := options{clientCA: ca}
	api, err := newAPIServer(o, &cert, newTestService(t, o, newTestStore(t), nil))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(api.http.Handler)
	server.TLS, server.EnableHTTP2 = api.http.TLSConfig, true
	server.StartTLS()
	defer server.Close()

	call := func(config *tls.Config) (*pb.HealthResponse, error) {
		conn, err := grpc.NewClient(server.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() //nolint:errcheck // the answer is what matters
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return pb.NewOpenShellClient(conn).Health(ctx, &pb.HealthRequest{})
	}
	config, err := pki.ClientConfig(b.ClientCA, b.Client, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	if res, err := call(config); err != nil || res.GetStatus() != pb.ServiceStatus_SERVICE_STATUS_HEALTHY || res.GetVersion() != version {
		t.Errorf("%v, %v", res, err)
	}
	config.Certificates = nil
	if _, err := call(config); status.Code(err) != codes.Unavailable {
		t.Errorf("without a certificate: %v", err)
	}
}
