#!/bin/sh
# Generates internal/openshellpb from the .proto files. Needs protoc (Debian:
# protobuf-compiler); the Go plugins are pinned here.
set -eu
cd "$(dirname "$0")/.."
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN=$bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN=$bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
PATH=$bin:$PATH protoc -I proto \
	--go_out=. --go_opt=module=github.com/docker-openshell/docker-openshell \
	--go-grpc_out=. --go-grpc_opt=module=github.com/docker-openshell/docker-openshell \
	openshell/v1/openshell.proto
