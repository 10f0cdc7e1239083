#!/bin/sh
# Generates internal/openshellpb from the .proto files; with "check", only compares. Needs
# protoc (Debian: protobuf-compiler); the Go plugins are pinned here.
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
module=github.com/docker-openshell/docker-openshell
GOBIN=$tmp/bin go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN=$tmp/bin go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
mkdir "$tmp/out"
PATH=$tmp/bin:$PATH protoc -I proto --go_out="$tmp/out" --go_opt=module=$module \
	--go-grpc_out="$tmp/out" --go-grpc_opt=module=$module openshell/v1/openshell.proto
# Which protoc it was says nothing about what was generated.
sed -i '/^\/\/ .*protoc  *v/d' "$tmp"/out/internal/openshellpb/*.pb.go
if [ "${1:-}" != check ]; then
	cp "$tmp"/out/internal/openshellpb/*.pb.go internal/openshellpb/
elif ! diff -r -x '*_test.go' -x doc.go "$tmp/out/internal/openshellpb" internal/openshellpb; then
	echo 'internal/openshellpb is stale; run: make generate' >&2
	exit 1
fi
