package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

// certificate loads the serving certificate; in plaintext there is none.
func (o options) certificate() (*tls.Certificate, error) {
	if o.disableTLS {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.tlsCert, o.tlsKey)
	if err != nil {
		return nil, fmt.Errorf("load the server certificate: %w", err)
	}
	return &cert, nil
}

// apiServer serves gRPC and HTTP on one port, as the real server does.
type apiServer struct {
	http    *http.Server
	grpc    *grpc.Server
	service *service
}

func newAPIServer(o options, cert *tls.Certificate, calls *service) (*apiServer, error) {
	s := &apiServer{service: calls, grpc: grpc.NewServer(grpc.MaxRecvMsgSize(1<<20),
		// The openshell CLI pings every 10 s, also without a call.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}))}
	pb.RegisterOpenShellServer(s.grpc, calls)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s.http = &http.Server{Addr: fmt.Sprintf(":%d", o.port), Handler: s.split(), Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
	if cert == nil {
		protocols.SetUnencryptedHTTP2(true)
		return s, nil
	}
	protocols.SetHTTP2(true)
	pem, err := os.ReadFile(o.clientCA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("the client CA holds no certificate")
	}
	auth := tls.RequireAndVerifyClientCert
	if o.disableGatewayAuth {
		auth = tls.VerifyClientCertIfGiven
	}
	s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, ClientCAs: pool, ClientAuth: auth, MinVersion: tls.VersionTLS12,
		// Small first records would only slow tunnels down.
		DynamicRecordSizingDisabled: true}
	return s, nil
}

// split tells gRPC from HTTP by the header, as the real server does.
func (s *apiServer) split() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			s.grpc.ServeHTTP(w, r)
			return
		}
		if r.URL.Path == connectPath {
			s.service.connect(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

func (s *apiServer) listen() error {
	if s.http.TLSConfig == nil {
		return s.http.ListenAndServe()
	}
	return s.http.ListenAndServeTLS("", "")
}

func (s *apiServer) shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// healthHandler serves the health port: what the real server has there, and for tests
// /boots, /marks, /sessions and /tunnels.
func (s *service) healthHandler() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]string{"status": "healthy", "version": version}, nil)
	}
	mux.HandleFunc("GET /health", ok)
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /boots", func(w http.ResponseWriter, r *http.Request) {
		boots, err := s.store.boots(r.Context())
		reply(w, boots, err)
	})
	mux.HandleFunc("GET /marks", func(w http.ResponseWriter, r *http.Request) {
		marks, err := s.store.marks(r.Context())
		reply(w, marks, err)
	})
	mux.HandleFunc("POST /marks/{name}/{value}", func(w http.ResponseWriter, r *http.Request) {
		reply(w, "ok", s.store.mark(r.Context(), r.PathValue("name"), r.PathValue("value")))
	})
	mux.HandleFunc("GET /sessions", func(w http.ResponseWriter, r *http.Request) {
		sessions, err := s.store.sessions(r.Context())
		reply(w, sessions, err)
	})
	mux.HandleFunc("GET /tunnels", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, s.tunnels.open(), nil)
	})
	return mux
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		fmt.Fprintln(os.Stderr, "reply:", err)
	}
}
