#!/bin/sh
# Builds the image of the test server as an archive for "docker load" and for the
# node's air-gap directory, without an Engine. The archive is kept by what it is made
# from; its path, or with "name" the image's name, goes to standard output.
#
#	image.sh build|name [VERSION]
set -eu
cd "$(dirname "$0")/../.."

version=${2:-0.0.34}
hash=$({
	cat go.mod go.sum test/gateway/*.go test/gateway/pack/*.go test/gateway/image.sh internal/openshellpb/*.go
	go env GOVERSION GOARCH
	echo "$version"
} | sha256sum | cut -c1-12)
image=openshell/test-gateway:$hash
dir=${XDG_CACHE_HOME:-$HOME/.cache}/docker-openshell/gateway/$hash

case ${1:-} in
name) echo "$image" ;;
build)
	if [ ! -e "$dir/image.tar" ]; then
		echo "building the test server $version" >&2
		mkdir -p "$dir"
		tmp=$(mktemp -d "$dir/tmp.XXXXXX")
		trap 'rm -rf "$tmp"' EXIT
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o "$tmp/openshell-gateway" ./test/gateway
		go run ./test/gateway/pack "$tmp/openshell-gateway" "$image" "$tmp/image.tar"
		mv "$tmp/image.tar" "$dir/image.tar"
	fi
	echo "$dir/image.tar"
	;;
*)
	echo "usage: $0 build|name [VERSION]" >&2
	exit 2
	;;
esac
