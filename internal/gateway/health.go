package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/docker-openshell/docker-openshell/internal/clientdir"
	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
	"github.com/docker-openshell/docker-openshell/internal/pki"
)

// healthTimeout bounds one question to the server.
const healthTimeout = 5 * time.Second

// health asks the OpenShell server how it is, with a client's certificate, and
// returns its version. Its certificate must name serverName.
func (m *Manager) health(ctx context.Context, r Record, serverName string, bundle clientdir.Bundle) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	creds := insecure.NewCredentials()
	if !r.Plaintext {
		cfg, err := pki.ClientConfig(bundle.CA, pki.Pair{Cert: bundle.Cert, Key: bundle.Key}, serverName)
		if err != nil {
			return "", err
		}
		creds = credentials.NewTLS(cfg)
	}
	conn, err := grpc.NewClient("passthrough:///"+m.dialAddress(r), grpc.WithTransportCredentials(creds))
	if err != nil {
		return "", err
	}
	defer conn.Close() //nolint:errcheck // the answer is what matters
	res, err := pb.NewOpenShellClient(conn).Health(ctx, &pb.HealthRequest{})
	if err != nil {
		return "", err
	}
	if res.GetStatus() != pb.ServiceStatus_SERVICE_STATUS_HEALTHY {
		return res.GetVersion(), fmt.Errorf("the server calls itself %s", res.GetStatus())
	}
	return res.GetVersion(), nil
}
