#!/bin/sh
# Finds or makes the ground that a gateway runs on: an Engine that runs privileged
# containers, a node image and a server image. Progress goes to standard error.
#
#	ground.sh env     print the export lines that select it
#	ground.sh tools   install the Debian packages that make's targets need
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
published=ghcr.io/nvidia/openshell/cluster:0.0.34

say() { printf 'ground: %s\n' "$*" >&2; }

# tools installs what is missing, where it may.
tools() {
	missing=''
	for pair in shellcheck:shellcheck busybox:busybox dash:dash ip:iproute2 protoc:protobuf-compiler ssh:openssh-client nsenter:util-linux mkfs.ext4:e2fsprogs losetup:mount git:git; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
	done
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
		say "please install:$missing"
		exit 1
	fi
	say "installing$missing"
	# shellcheck disable=SC2086 # a list
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $missing >/dev/null 2>&1 || {
		apt-get -qq update >&2
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y $missing >/dev/null
	}
}

# engine keeps the Engine of the present Docker context if it serves, and else starts
# the private one.
engine() {
	if [ "${DOCKER_HOST:-}" = unix:///run/docker-openshell/main/docker.sock ] && "$here/engine/engine.sh" status main; then
		return 0
	fi
	if "$here/engine/engine.sh" usable; then
		say "using the Engine of the present Docker context"
		return 0
	fi
	say "the present Docker context runs no privileged containers: using a private Engine"
	"$here/engine/engine.sh" start main
	eval "$("$here/engine/engine.sh" env main)"
	export DOCKER_HOST
}

# images keeps images that are chosen or can be had, and else makes the test ones.
images() {
	[ -z "${OPENSHELL_CLUSTER_IMAGE:-}" ] || return 0
	if docker image inspect "$published" >/dev/null 2>&1 ||
		timeout 10 docker manifest inspect "$published" >/dev/null 2>&1; then
		say "using the published node image $published"
		return 0
	fi
	say "the published node image cannot be had: using the test node"
	# shellcheck disable=SC2034 # read by name below
	OPENSHELL_GATEWAY_IMAGE=$("$here/gateway/image.sh" name)
	# shellcheck disable=SC2034 # read by name below
	OPENSHELL_SANDBOX_IMAGE=$("$here/sandbox/image.sh" name)
	server=$("$here/gateway/image.sh" build)
	sandbox=$("$here/sandbox/image.sh" build)
	supervisor=$("$here/sandbox/image.sh" supervisor)
	"$here/node/node.sh" build >/dev/null
	OPENSHELL_CLUSTER_IMAGE=$("$here/node/node.sh" load --supervisor "$supervisor" "$server" "$sandbox")
}

case ${1:-} in
tools) tools ;;
env)
	engine
	images
	for name in DOCKER_HOST OPENSHELL_CLUSTER_IMAGE OPENSHELL_GATEWAY_IMAGE OPENSHELL_SANDBOX_IMAGE; do
		eval "value=\${$name:-}"
		[ -z "$value" ] || printf "export %s='%s'\n" "$name" "$value"
	done
	;;
*)
	echo "usage: $0 env|tools" >&2
	exit 2
	;;
esac
