#!/bin/sh
# Builds the test node's image and loads it into an Engine.
#
#   node.sh build              build the root file system, unless it is cached
#   node.sh load [--supervisor PATH] [IMAGE_TAR…]
#                              make the image in the Engine at $DOCKER_HOST, with
#                              the images of the tars (docker save) and the
#                              sandboxes' supervisor inside, and print its name
#   node.sh image              print the name of the image without further tars
#   node.sh test               run the unit tests, compiled as the build does
#   node.sh go ARGUMENTS…      run go (vet, a linter) with the same flags
#   node.sh packages           print the Debian packages of the root file system
#
# Needs Go, apt-get, dpkg-deb, and for load the docker client. Results go to
# stdout, progress to stderr.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/docker-openshell/node
label=io.github.docker-openshell.test=node

kubernetes=1.35.4
packages='busybox-static runc libseccomp2 libc6 libgcc-s1 iptables libxtables12 libip4tc2 libip6tc2 libmnl0 libnftnl11 libnfnetlink0 libnetfilter-conntrack3 netbase containernetworking-plugins'

# The compiler's flags are part of the key of all that it caches: the same ones
# serve the build and the tests, and inlining is off because it costs a third of
# the cold build.
CGO_ENABLED=0
GOFLAGS='-trimpath -buildvcs=false -gcflags=all=-l'
export CGO_ENABLED GOFLAGS

say() { printf 'node: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

# now prints the time in seconds.
now() { date +%s; }

# sources lists what the image is made of, one path a line.
sources() {
	(cd "$here" && find . -type f ! -name '*_test.go' ! -name 'node_test.sh' ! -path './testdata/*' | LC_ALL=C sort)
}

# input_hash identifies the inputs: sources, their modes (the root file system
# has executables), the compiler, and the architecture.
input_hash() {
	(
		cd "$here"
		sources | while IFS= read -r file; do
			if [ -x "$file" ]; then mode=x; else mode=-; fi
			printf '%s %s %s\n' "$mode" "$file" "$(sha256sum <"$file")"
		done
		go env GOVERSION GOARCH
	) | sha256sum | cut -c 1-12
}

# heartbeat says every 20 seconds that a long step is still running; it ends
# with the process that it watches.
heartbeat() {
	watched=$1
	what=$2
	began=$(now)
	while kill -0 "$watched" 2>/dev/null; do
		sleep 1
		elapsed=$(($(now) - began))
		if [ "$elapsed" -gt 0 ] && [ $((elapsed % 20)) -eq 0 ]; then
			say "$what, ${elapsed} s so far"
		fi
	done
}

# watched runs a command with a heartbeat and returns its status.
watched() {
	what=$1
	shift
	"$@" &
	job=$!
	heartbeat "$job" "$what" &
	beat=$!
	status=0
	wait "$job" || status=$?
	kill "$beat" 2>/dev/null || :
	wait "$beat" 2>/dev/null || :
	return "$status"
}

# build_binaries compiles everything into $1, in one go: the parts share most
# of their packages.
build_binaries() {
	mkdir -p "$1"
	flags='-s -w'
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags="$flags -X $package.gitVersion=v$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=35"
	done
	(cd "$here" && nice -n 5 go build -ldflags="$flags" -o "$1/" . ./archive ./coredns ./pause tool)
}

# fetch_packages downloads the Debian packages into $1.
fetch_packages() {
	command -v apt-get >/dev/null || die 'apt-get is missing: the root file system is made of Debian packages'
	command -v dpkg-deb >/dev/null || die 'dpkg-deb is missing: the root file system is made of Debian packages'
	mkdir -p "$1"
	# _apt, who downloads where root asks, must be able to write there.
	chmod 777 "$1"
	# shellcheck disable=SC2086 # a list of names
	if ! (cd "$1" && apt-get -qq download $packages) >/dev/null 2>&1; then
		say 'updating the package lists'
		apt-get -qq update >&2 || die 'apt-get update does not work'
		# shellcheck disable=SC2086
		(cd "$1" && apt-get -qq download $packages) >&2 || die 'the Debian packages cannot be downloaded'
	fi
}

# assemble_rootfs makes the tree $1 of the packages in $2 and the binaries in $3.
assemble_rootfs() {
	root=$1
	mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib" "$root/usr/lib64" "$root/usr/libexec/k3s" "$root/usr/local/bin" \
		"$root/usr/share/k3s/images" "$root/etc/rancher/k3s" "$root/opt/openshell/bin" "$root/opt/openshell/manifests" \
		"$root/opt/openshell/charts" "$root/root" "$root/tmp" "$root/run" "$root/var/lib/kubelet" "$root/var/lib/cni" \
		"$root/var/lib/rancher/k3s/agent/images" "$root/var/lib/rancher/k3s/server/manifests" "$root/var/log" \
		"$root/dev" "$root/proc" "$root/sys"
	chmod 1777 "$root/tmp"
	ln -s ../run "$root/var/run"
	for directory in bin sbin lib lib64; do
		ln -s "usr/$directory" "$root/$directory"
	done
	for package in "$2"/*.deb; do
		dpkg-deb --fsys-tarfile "$package" |
			tar -x -C "$root" --keep-directory-symlink --no-same-owner \
				--exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale' --exclude='./usr/share/lintian'
	done
	# What the maintainers' scripts would have done.
	for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
		ln -sf xtables-nft-multi "$root/usr/sbin/$tool"
	done
	# Our own files before the applets, so that no applet takes their place.
	cp -a "$here/rootfs/." "$root/"
	cp "$3/node" "$root/usr/bin/k3s"
	ln -s k3s "$root/usr/bin/kubectl"
	cp "$3/containerd" "$3/containerd-shim-runc-v2" "$root/usr/bin/"
	cp "$3/ctr" "$root/usr/libexec/k3s/ctr"
	"$root/usr/bin/busybox" --list-full | while IFS= read -r applet; do
		name=${applet##*/}
		for directory in usr/bin usr/sbin usr/local/bin; do
			if [ -e "$root/$directory/$name" ] || [ -L "$root/$directory/$name" ]; then
				continue 2
			fi
		done
		ln -s busybox "$root/usr/bin/$name"
	done
	"$3/archive" "$root/usr/share/k3s/images/node.tar" \
		openshell/test-node-pause:1="$3/pause" openshell/test-node-coredns:1="$3/coredns"
}

# build makes the cached root file system, if it isn't there, and prints its path.
build() {
	hash=$(input_hash)
	tree=$cache/$hash/rootfs.tar
	if [ -f "$tree" ]; then
		touch "$cache/$hash"
		printf '%s\n' "$tree"
		return
	fi
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/.build.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	began=$(now)
	say 'building Kubernetes, containerd and CoreDNS from source (5 to 10 minutes if nothing is cached)'
	watched 'building' build_binaries "$work/bin" >&2 || die 'the build did not succeed'
	say "built after $(($(now) - began)) s; fetching Debian packages"
	watched 'fetching packages' fetch_packages "$work/packages" >&2 || die 'there is no root file system without the packages'
	assemble_rootfs "$work/root" "$work/packages" "$work/bin"
	mkdir "$work/entry"
	tar -C "$work/root" --numeric-owner --owner=0 --group=0 --sort=name -c -f "$work/entry/rootfs.tar" .
	# The rename is the last step: an entry that exists is whole.
	mv "$work/entry" "$cache/$hash" 2>/dev/null || [ -f "$tree" ] || die "$cache/$hash cannot be written"
	# Entries of other inputs pile up, at 300 MB each.
	find "$cache" -mindepth 1 -maxdepth 1 ! -name "$hash" -mtime +2 -exec rm -rf {} +
	say "the root file system is ready after $(($(now) - began)) s"
	printf '%s\n' "$tree"
}

# base_image prints the name of the image without further tars.
base_image() { printf 'openshell/test-node-base:%s\n' "$(input_hash)"; }

# exists tells whether the Engine has an image.
exists() { docker image inspect "$1" >/dev/null 2>&1; }

# import_base makes the base image from the root file system.
import_base() {
	tree=$(build)
	say "loading $1"
	docker import \
		--change 'ENTRYPOINT ["/bin/k3s"]' \
		--change 'CMD ["server"]' \
		--change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
		--change 'VOLUME /var/lib/kubelet' \
		--change 'VOLUME /var/lib/rancher/k3s' \
		--change 'VOLUME /var/lib/cni' \
		--change 'VOLUME /var/log' \
		--change "LABEL $label" \
		"$tree" "$1" >/dev/null
}

# load makes the image with the given tars inside, and prints its name.
load() {
	base=$(base_image)
	supervisor=
	if [ "${1-}" = --supervisor ]; then
		supervisor=$2
		[ -x "$supervisor" ] || die "there is no program $supervisor"
		shift 2
	fi
	for tar in "$@"; do
		[ -f "$tar" ] || die "there is no file $tar"
	done
	hash=$(
		{
			printf '%s\n' "$base"
			for tar in "$@" ${supervisor:+"$supervisor"}; do sha256sum <"$tar"; done
		} | sha256sum | cut -c 1-12
	)
	image=openshell/test-node:$hash
	if ! exists "$image"; then
		exists "$base" || import_base "$base"
		derive "$base" "$image" "$@"
	fi
	printf '%s\n' "$image"
}

# derive makes the image $2 of the image $1 and the tars that follow.
derive() {
	base=$1
	image=$2
	shift 2
	if [ $# -eq 0 ] && [ -z "$supervisor" ]; then
		docker tag "$base" "$image"
		return
	fi
	context=$(mktemp -d)
	trap 'rm -rf "$context"' EXIT
	mkdir "$context/images"
	number=0
	for tar in "$@"; do
		number=$((number + 1))
		cp "$tar" "$context/images/airgap-$number.tar"
	done
	printf 'FROM %s\nCOPY images/ /var/lib/rancher/k3s/agent/images/\n' "$base" >"$context/Dockerfile"
	if [ -n "$supervisor" ]; then
		cp "$supervisor" "$context/openshell-sandbox"
		printf 'COPY openshell-sandbox /opt/openshell/bin/openshell-sandbox\n' >>"$context/Dockerfile"
	fi
	# The classic builder, because the client may come without the other.
	DOCKER_BUILDKIT=0 docker build --quiet --tag "$image" "$context" >/dev/null 2>"$context/log" ||
		die "the image cannot be built: $(cat "$context/log")"
}

# unit_tests runs the Go tests. Those of the packages need root, like the node.
unit_tests() { (cd "$here" && go test "$@" ./...); }

command=${1-}
[ $# -eq 0 ] || shift
case $command in
build) build ;;
load) load "$@" ;;
image) base_image ;;
test) unit_tests "$@" ;;
go) (cd "$here" && go "$@") ;;
packages) printf '%s\n' "$packages" | tr ' ' '\n' ;;
*)
	printf 'usage: %s build | load [IMAGE_TAR...] | image | test | go ARGUMENTS... | packages\n' "$0" >&2
	exit 2
	;;
esac
