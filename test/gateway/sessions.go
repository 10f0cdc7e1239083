package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/docker-openshell/docker-openshell/internal/openshellpb"
)

const (
	sessionLife = 24 * time.Hour
	connectPath = "/connect/ssh"
)

// CreateSshSession makes a token for the tunnel to a sandbox that is ready.
//
//nolint:revive,staticcheck // the name is generated
func (s *service) CreateSshSession(ctx context.Context, req *pb.CreateSshSessionRequest) (*pb.CreateSshSessionResponse, error) {
	row, err := s.byID(ctx, req.GetSandboxId())
	if err != nil {
		return nil, err
	}
	if row.GetPhase() != ready {
		return nil, status.Error(codes.FailedPrecondition, notReadyText)
	}
	token, expires := newUUID(), time.Now().Add(sessionLife).UnixMilli()
	id := string(row.GetId())
	if err := s.store.insertSession(ctx, session{TokenSHA256: tokenSum(token), SandboxID: id, Sandbox: string(row.GetName()), ExpiresAt: expires}); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	s.journal.log(id, "INFO", "ssh", "SSH session created")
	scheme := "https"
	if s.options.disableTLS {
		scheme = "http"
	}
	return &pb.CreateSshSessionResponse{
		SandboxId: id, Token: token, ExpiresAtMs: expires,
		GatewayHost: s.options.sshHost, GatewayPort: uint32(s.options.sshPort), GatewayScheme: scheme, ConnectPath: connectPath,
	}, nil
}

// RevokeSshSession ends a token's use; tunnels that are open stay open.
//
//nolint:revive,staticcheck // the name is generated
func (s *service) RevokeSshSession(ctx context.Context, req *pb.RevokeSshSessionRequest) (*pb.RevokeSshSessionResponse, error) {
	if req.GetToken() == "" {
		return nil, status.Error(invalid, "token is required")
	}
	n, err := s.store.revokeSession(ctx, req.GetToken())
	if errors.Is(err, errNoRow) {
		return &pb.RevokeSshSessionResponse{Revoked: false}, nil
	} else if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	s.journal.log(n.SandboxID, "INFO", "ssh", "SSH session revoked")
	return &pb.RevokeSshSessionResponse{Revoked: true}, nil
}
