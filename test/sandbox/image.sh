#!/bin/sh
# Builds what sandboxes of the test ground are made of, without an Engine. Results are
# kept by what they are made from; what is asked for goes to standard output.
#
#	image.sh build        the path of the sandbox image's archive, for "docker load"
#	                      and for the node's air-gap directory
#	image.sh name         the name of that image
#	image.sh supervisor   the path of the program that each sandbox runs
#
# Needs Go, and for the image apt-get and dpkg-deb.
set -eu
cd "$(dirname "$0")/../.."

here=test/sandbox
cache=${XDG_CACHE_HOME:-$HOME/.cache}/docker-openshell/sandbox
# With all libraries that bash, tar, ip and sftp-server are linked with.
packages='busybox-static bash tar iproute2 openssh-sftp-server libc6 libtinfo6 libacl1 libselinux1 libpcre2-8-0 libbpf1 libelf1 libmnl0 libbsd0 libmd0 libcap2 zlib1g'

# hash identifies standard input, the compiler and the architecture.
hash() {
	{
		cat
		go env GOVERSION GOARCH
	} | sha256sum | cut -c1-12
}

image_hash() {
	{
		cat "$here/image.sh" "$here/pack/main.go"
		cat /etc/os-release
	} | hash
}
supervisor_hash() {
	find go.mod go.sum "$here"/*.go internal/openshellpb/*.go ! -name '*_test.go' -exec cat {} + | hash
}

# fetch_packages downloads the Debian packages into $1.
fetch_packages() {
	mkdir -p "$1"
	# _apt, who downloads where root asks, must be able to write there.
	chmod 777 "$1"
	# shellcheck disable=SC2086 # a list of names
	if ! (cd "$1" && apt-get -qq download $packages) >/dev/null 2>&1; then
		echo 'updating the package lists' >&2
		apt-get -qq update >&2
		# shellcheck disable=SC2086
		(cd "$1" && apt-get -qq download $packages) >&2
	fi
}

# assemble makes the tree $1 of the packages in $2.
assemble() {
	mkdir -p "$1/usr/bin" "$1/usr/sbin" "$1/usr/lib" "$1/usr/lib64" "$1/etc" "$1/root" "$1/tmp" "$1/run" "$1/var/log" \
		"$1/dev" "$1/proc" "$1/sys" "$1/sandbox"
	chmod 1777 "$1/tmp"
	for directory in bin sbin lib lib64; do
		ln -s "usr/$directory" "$1/$directory"
	done
	for package in "$2"/*.deb; do
		dpkg-deb --fsys-tarfile "$package" |
			tar -x -C "$1" --keep-directory-symlink --no-same-owner --exclude='./usr/share' --exclude='./usr/lib/*/gconv'
	done
	printf 'root:x:0:0:root:/root:/bin/bash\nsandbox:x:1000:1000:sandbox:/sandbox:/bin/bash\n' >"$1/etc/passwd"
	printf 'root:x:0:\ntty:x:5:\nsandbox:x:1000:\n' >"$1/etc/group"
	printf 'hosts: files dns\n' >"$1/etc/nsswitch.conf"
	# Something for a new workspace to be filled with.
	printf "PS1='\\\\u@\\\\h:\\\\w\\\\$ '\n" >"$1/sandbox/.profile"
	"$1/usr/bin/busybox" --list | while IFS= read -r name; do
		if [ ! -e "$1/usr/bin/$name" ] && [ ! -L "$1/usr/bin/$name" ]; then
			ln -s busybox "$1/usr/bin/$name"
		fi
	done
}

# work makes the directory of a build, which goes when the script ends.
work() {
	mkdir -p "$1"
	tmp=$(mktemp -d "$1/.build.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
}

case ${1:-} in
name) echo "openshell/test-sandbox:$(image_hash)" ;;
build)
	key=$(image_hash)
	if [ ! -e "$cache/$key/image.tar" ]; then
		echo 'building the sandbox image' >&2
		work "$cache/$key"
		fetch_packages "$tmp/packages"
		assemble "$tmp/root" "$tmp/packages"
		set -- --numeric-owner --sort=name --mtime=@0
		tar -C "$tmp/root" "$@" --owner=0 --group=0 --exclude=./sandbox -c -f "$tmp/layer.tar" .
		tar -C "$tmp/root" "$@" --owner=1000 --group=1000 -r -f "$tmp/layer.tar" ./sandbox
		go run ./test/sandbox/pack "$tmp/layer.tar" "openshell/test-sandbox:$key" "$tmp/image.tar"
		mv "$tmp/image.tar" "$cache/$key/image.tar"
	fi
	echo "$cache/$key/image.tar"
	;;
supervisor)
	key=$(supervisor_hash)
	if [ ! -e "$cache/$key/openshell-sandbox" ]; then
		echo "building the sandboxes' supervisor" >&2
		work "$cache/$key"
		CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w' -o "$tmp/openshell-sandbox" ./test/sandbox
		mv "$tmp/openshell-sandbox" "$cache/$key/openshell-sandbox"
	fi
	echo "$cache/$key/openshell-sandbox"
	;;
*)
	echo "usage: $0 build|name|supervisor" >&2
	exit 2
	;;
esac
