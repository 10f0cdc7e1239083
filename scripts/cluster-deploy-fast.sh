#!/bin/sh
# Brings a gateway image that was built on this machine into a running gateway, for
# people who develop the OpenShell server: no registry is involved, and an image that
# was built anew under the same tag is taken up too.
#
# What the plugin can do is left to it: it brings the image in, creates or reuses the
# Kubernetes Secrets and upgrades the release. No secret passes through here.
#
# Environment: OPENSHELL_GATEWAY_IMAGE is used where there is no --image.
set -eu

usage() {
	cat <<-END
		Usage: ${0##*/} [--image REF] [NAME]

		Load the gateway image REF into the running gateway NAME, and wait until its
		server runs it. NAME is "openshell" if it is not given, and REF is
		OPENSHELL_GATEWAY_IMAGE.
	END
}

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
# misuse is for what the caller can only mend on the command line.
misuse() { say "error: $*"; usage >&2; exit 2; }

image=${OPENSHELL_GATEWAY_IMAGE:-} name=''
while [ $# -gt 0 ]; do
	case $1 in
	-h | --help) usage; exit 0 ;;
	--image)
		[ $# -ge 2 ] || misuse "--image needs a value"
		image=$2
		shift
		;;
	--image=*) image=${1#--image=} ;;
	-*) misuse "unknown option: $1" ;;
	'') misuse "the gateway's name is empty" ;;
	*)
		[ -z "$name" ] || misuse "more than one gateway is named: $name, $1"
		name=$1
		;;
	esac
	shift
done
name=${name:-openshell}

# The rule is the plugin's, which says it in more words.
case $name in
[!A-Za-z0-9]* | *[!A-Za-z0-9] | *[!A-Za-z0-9_.-]*) misuse "invalid name of a gateway: $name" ;;
esac
[ "${#name}" -le 40 ] || misuse "the gateway's name is longer than 40 characters: $name"
case $image in
'') misuse "no image: give --image, or set OPENSHELL_GATEWAY_IMAGE" ;;
-* | *[!A-Za-z0-9_./:@-]*) misuse "invalid image: $image" ;;
# Docker saves an image that is named by its digest without any name.
*@*) misuse "the image must be named by a tag, not by a digest: $image" ;;
esac
# A colon before the last slash belongs to a registry's port.
case ${image##*/} in *:*) ;; *) image=$image:latest ;; esac

container=openshell-cluster-$name
command -v docker >/dev/null 2>&1 || die "docker is not installed"
docker openshell version >/dev/null 2>&1 || die "docker has no openshell plugin: install it with 'make install'"
running=$(docker container inspect --format '{{.State.Running}}' "$container" 2>/dev/null) ||
	die "there is no gateway $name: make one with 'docker openshell gateway start $name'"
[ "$running" = true ] || die "the gateway $name does not run: start it with 'docker openshell gateway start $name'"
docker image inspect "$image" >/dev/null 2>&1 || die "there is no image $image on this machine: build it first"

node() { docker exec "$container" env KUBECONFIG=/etc/rancher/k3s/k3s.yaml "$@"; }

# server prints a field of the server's StatefulSet, or nothing while there is none.
server() {
	node kubectl -n openshell get statefulset/openshell --ignore-not-found -o "jsonpath=$1" ||
		die "the Kubernetes API of the gateway $name does not answer"
}

say "loading $image into the gateway $name"
docker openshell --gateway "$name" image push "$image" >/dev/null || die "the image $image could not be loaded into the gateway $name"

# A server that runs this tag already is started anew before the plugin waits for it:
# where the old build is broken the wait would be in vain.
restart() {
	say "restarting the server"
	node kubectl -n openshell rollout restart statefulset/openshell >&2 || die "the server could not be restarted"
	# A StatefulSet does not replace a pod that never became ready.
	ready=$(server '{.status.readyReplicas}')
	if [ "$ready" != 1 ]; then
		node kubectl -n openshell delete pod/openshell-0 --ignore-not-found >&2 || die "the server's broken pod could not be removed"
	fi
}

generation=$(server '{.metadata.generation}')
current=$(server '{.spec.template.spec.containers[0].image}')
short() {
	short=${1#docker.io/}
	printf '%s\n' "${short#library/}"
}
restarted=no
if [ -n "$current" ] && [ "$(short "$current")" = "$(short "$image")" ]; then
	restart
	restarted=yes
fi
docker openshell gateway start "$name" --gateway-image "$image" || die "the gateway $name did not start with the image $image"
if [ "$restarted" = no ]; then
	now=$(server '{.metadata.generation}')
	if [ "$now" = "$generation" ]; then restart; fi
fi
node kubectl -n openshell rollout status statefulset/openshell --timeout=180s >&2 || die "the server does not become ready with the image $image"
say "the gateway $name runs $image"
