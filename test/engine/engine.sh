#!/bin/sh
# A private Docker Engine, built from source, for tests: it has a root, a socket and a
# bridge of its own and leaves any other Engine and the host's firewall untouched.
#
#	engine.sh build                        build it, unless that is cached
#	engine.sh start [--isolated] [--live-restore] [NAME]
#	                                       start it; --isolated gives it network and mount
#	                                       namespaces and a containerd of its own, for tests
#	                                       that kill or starve a daemon
#	engine.sh stop [--purge] NAME|--all    stop it; --purge deletes its data too
#	engine.sh restart NAME                 TERM, then start as it was
#	engine.sh kill [--hard] NAME           SIGKILL the daemon; --hard: and all that it runs
#	engine.sh resume NAME                  start as it was, after a kill
#	engine.sh env NAME                     print the line that selects it
#	engine.sh nsenter NAME -- COMMAND…     run a command where its published ports are
#	engine.sh status NAME                  exit 0 if it answers
#	engine.sh usable                       exit 0 if the Engine of the present Docker context
#	                                       can run a privileged container
#
# NAME is "main" by default. Needs root, Go and apt-get; everything else it brings.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/docker-openshell
version=28.5.2
packages='containerd runc iptables libxtables12 libip4tc2 libip6tc2 libmnl0 libnftnl11 libnfnetlink0 libnetfilter-conntrack3 libseccomp2'

say() { printf 'engine: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

# --- build ---

flags="-trimpath -buildvcs=false -gcflags=all=-l -tags=no_btrfs,no_devmapper,no_zfs,exclude_graphdriver_btrfs,exclude_graphdriver_zfs"
hash=$({
	cat "$here/go.mod" "$here/go.sum"
	go version
	echo "$flags $packages"
} | sha256sum | cut -c1-12)
built=$cache/engine/$hash

build() {
	[ ! -e "$built/ready" ] || return 0
	[ "$(id -u)" = 0 ] || die "a private Engine needs root"
	mkdir -p "$cache/engine"
	work=$(mktemp -d "$cache/engine/tmp.XXXXXX")
	say "building dockerd $version (about two minutes)"
	# shellcheck disable=SC2086 # a list
	(cd "$here" && CGO_ENABLED=0 go build $flags \
		-ldflags="-s -w -X github.com/docker/docker/dockerversion.Version=$version" -o "$work/bin/" tool)
	say "unpacking containerd, runc and iptables"
	mkdir -p "$work/debs" "$work/root"
	(
		cd "$work/debs"
		# shellcheck disable=SC2086 # a list
		apt-get -qq download $packages >/dev/null 2>&1 || {
			apt-get -qq update >&2
			apt-get -qq download $packages >/dev/null
		}
	)
	for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root"; done
	for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
		ln -s ../root/usr/sbin/xtables-nft-multi "$work/bin/$tool"
	done
	rm -rf "$work/debs"
	touch "$work/ready"
	rm -rf "$built"
	mv "$work" "$built"
}

# --- one engine ---

# select_engine NAME sets where things are.
select_engine() {
	name=$1
	case $name in
	'' | *[!a-z0-9-]*) die "engine name '$name': use a-z, 0-9 and '-'" ;;
	esac
	run=/run/docker-openshell/$name
	data=$cache/engine-data/$name
	id=$(printf '%s' "$name" | cksum | cut -d' ' -f1)
	bridge=dos$((id % 100000000))
	net=$((200 + id % 50))
	[ "$name" != main ] || net=199
	group=docker-openshell-$name
	isolated=no live=no
	# shellcheck source=/dev/null
	[ ! -e "$run/options" ] || . "$run/options"
}

# alive PIDFILE says whether its process runs and is one of ours: a number may have
# been given to another process since.
alive() {
	[ -s "$1" ] || return 1
	pid=$(cat "$1" 2>/dev/null) || return 1
	[ -r "/proc/$pid/stat" ] || return 1
	case $(cut -d')' -f2 "/proc/$pid/stat") in ' Z'*) return 1 ;; esac
	tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$run" || [ "$1" = "$run/holder.pid" ]
}

# inside runs a command in the engine's namespaces.
inside() {
	if [ "$isolated" = yes ]; then
		nsenter -t "$(cat "$run/holder.pid")" -n -m --wd=/ "$@"
	else
		"$@"
	fi
}

answers() { [ -S "$run/docker.sock" ] && docker -H "unix://$run/docker.sock" version >/dev/null 2>&1; }

# await SECONDS COMMAND… waits until the command succeeds.
await() {
	left=$(($1 * 10))
	shift
	until "$@"; do
		left=$((left - 1))
		[ "$left" -gt 0 ] || return 1
		sleep 0.1
	done
}

dead() { ! alive "$1"; }

start() {
	if alive "$run/dockerd.pid" && answers; then return 0; fi
	[ "$(id -u)" = 0 ] || die "a private Engine needs root"
	command -v ip >/dev/null 2>&1 || apt-get -qq install -y iproute2 >&2
	build
	mkdir -p "$run" "$data"
	printf 'isolated=%s live=%s\n' "$isolated" "$live" >"$run/options"
	echo '{}' >"$run/daemon.json"
	if [ "$isolated" = yes ] && ! alive "$run/holder.pid"; then
		setsid unshare --net --mount sleep infinity >/dev/null 2>&1 </dev/null &
		echo $! >"$run/holder.pid"
		await 5 in_namespace || die "the namespaces of engine $name did not come up"
		inside ip link set lo up
	fi
	lib=$(echo "$built"/root/usr/lib/*-linux-gnu)
	PATH=$built/bin:$built/root/usr/sbin:$built/root/usr/bin:$PATH
	LD_LIBRARY_PATH=$lib:$built/root/lib/$(basename "$lib")
	XTABLES_LIBDIR=$lib/xtables
	export PATH LD_LIBRARY_PATH XTABLES_LIBDIR
	rm -f "$run/dockerd.pid" "$run/docker.sock"
	set -- --config-file "$run/daemon.json" --data-root "$data" --exec-root "$run/exec" --pidfile "$run/dockerd.pid" \
		-H "unix://$run/docker.sock" --cgroup-parent="/$group" --default-address-pool "base=10.$net.16.0/20,size=24"
	if [ "$isolated" = yes ]; then
		start_containerd
		set -- "$@" --containerd "$run/containerd.sock" --bip "10.$net.0.1/24"
	else
		if ! ip link show "$bridge" >/dev/null 2>&1; then
			ip link add "$bridge" type bridge
			ip addr add "10.$net.0.1/24" dev "$bridge"
		fi
		ip link set "$bridge" up
		set -- "$@" --bridge="$bridge" --iptables=false --ip6tables=false
	fi
	[ "$live" = no ] || set -- "$@" --live-restore
	if [ "$isolated" = yes ]; then
		setsid nsenter -t "$(cat "$run/holder.pid")" -n -m --wd=/ dockerd "$@" >>"$run/dockerd.log" 2>&1 </dev/null &
	else
		setsid dockerd "$@" >>"$run/dockerd.log" 2>&1 </dev/null &
	fi
	await 60 answers || {
		tail -20 "$run/dockerd.log" >&2
		die "engine $name did not come up; its log is $run/dockerd.log"
	}
	say "engine $name answers at unix://$run/docker.sock"
}

in_namespace() {
	[ "$(readlink "/proc/$(cat "$run/holder.pid")/ns/net" 2>/dev/null)" != "$(readlink /proc/self/ns/net)" ]
}

# An isolated engine has a containerd of its own, so that dockerd can be killed alone.
start_containerd() {
	if alive "$run/containerd.pid"; then return 0; fi
	cat >"$run/containerd.toml" <<-END
		version = 2
		root = "$data/containerd"
		state = "$run/containerd"
		disabled_plugins = ["io.containerd.grpc.v1.cri"]
		[grpc]
		  address = "$run/containerd.sock"
		[ttrpc]
		  address = "$run/containerd.sock.ttrpc"
	END
	setsid nsenter -t "$(cat "$run/holder.pid")" -n -m --wd=/ containerd --config "$run/containerd.toml" \
		>>"$run/containerd.log" 2>&1 </dev/null &
	echo $! >"$run/containerd.pid"
	await 30 test -S "$run/containerd.sock" || die "containerd of engine $name did not come up; its log is $run/containerd.log"
}

# ours prints the processes whose command line names the engine's run directory: its
# shims and proxies among them.
ours() {
	for p in /proc/[0-9]*; do
		if tr '\0' ' ' 2>/dev/null <"$p/cmdline" | grep -qF "$run/"; then echo "${p##*/}"; fi
	done
}

# contained prints the processes of the engine's containers.
contained() {
	for tree in /sys/fs/cgroup/pids /sys/fs/cgroup; do
		[ ! -d "$tree/$group" ] || find "$tree/$group" -name cgroup.procs -exec cat {} +
	done | sort -u
}

end() {
	for p in "$@"; do
		[ "$p" = $$ ] || kill -KILL "$p" 2>/dev/null || true
	done
}

# unmount takes the mounts below the engine's directories away, the deepest first; in
# its namespaces, if called with "inside".
unmount() {
	"$@" cat /proc/mounts | while read -r _ point _; do
		case $point/ in "$data/"* | "$run/"*) echo "$point" ;; esac
	done | sort -r | while read -r point; do "$@" umount -l "$point" || true; done
}

stop() {
	[ -d "$run" ] || return 0
	if alive "$run/dockerd.pid"; then
		kill -TERM "$(cat "$run/dockerd.pid")"
		await 120 dead "$run/dockerd.pid" || say "engine $name does not stop; killing it"
	fi
	if alive "$run/containerd.pid"; then
		kill -TERM "$(cat "$run/containerd.pid")"
		await 10 dead "$run/containerd.pid" || true
	fi
	# shellcheck disable=SC2046 # lists of numbers
	end $(contained) $(ours)
	if alive "$run/holder.pid"; then kill -KILL "$(cat "$run/holder.pid")"; fi
	unmount
	ip link del "$bridge" 2>/dev/null || true
	for tree in /sys/fs/cgroup/*/"$group" /sys/fs/cgroup/"$group"; do
		[ ! -d "$tree" ] || find "$tree" -depth -type d -exec rmdir {} + 2>/dev/null || true
	done
	rm -rf "$run"
	say "engine $name is stopped"
}

purge() { rm -rf "$data"; }

kill_engine() {
	alive "$run/dockerd.pid" || die "engine $name does not run"
	kill -KILL "$(cat "$run/dockerd.pid")"
	if [ "$hard" = yes ]; then
		# shellcheck disable=SC2046 # lists of numbers
		end $(ours) $(contained)
		rm -f "$run/containerd.pid" "$run/containerd.sock"
		unmount inside # a power cut takes the mounts along
	fi
	await 10 dead "$run/dockerd.pid" || die "engine $name does not die"
	rm -f "$run/dockerd.pid"
}

restart() {
	if alive "$run/dockerd.pid"; then
		kill -TERM "$(cat "$run/dockerd.pid")"
		await 120 dead "$run/dockerd.pid" || die "engine $name does not stop"
	fi
	start
}

# usable runs the smallest privileged container on the Engine of the present context.
usable() {
	timeout 5 docker version >/dev/null 2>&1 || return 1
	tmp=$(mktemp -d)
	image=docker-openshell-probe:$$
	(cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$tmp/root/probe" ./probe) &&
		tar -C "$tmp/root" -c . | timeout 10 docker import - "$image" >/dev/null 2>&1 &&
		timeout 10 docker run --rm --privileged --network none "$image" /probe >/dev/null 2>&1 && ok=0 || ok=1
	docker image rm -f "$image" >/dev/null 2>&1 || true
	rm -rf "$tmp"
	return "$ok"
}

# --- command line ---

command=${1:-}
[ $# -eq 0 ] || shift
want_isolated=no want_live=no hard=no purge=no all=no target=''
while [ $# -gt 0 ]; do
	case $1 in
	--isolated) want_isolated=yes ;;
	--live-restore) want_live=yes ;;
	--hard) hard=yes ;;
	--purge) purge=yes ;;
	--all) all=yes ;;
	--)
		shift
		break
		;;
	-*) die "unknown option $1" ;;
	*) target=$1 ;;
	esac
	shift
done
select_engine "${target:-main}"

case $command in
build) build ;;
start)
	if [ ! -e "$run/options" ]; then isolated=$want_isolated live=$want_live; fi
	start
	;;
stop)
	if [ "$all" = yes ]; then
		for d in /run/docker-openshell/*/; do
			[ -d "$d" ] || continue
			select_engine "$(basename "$d")"
			stop
			[ "$purge" = no ] || purge
		done
		[ "$purge" = no ] || rm -rf "$cache/engine-data"
	else
		stop
		[ "$purge" = no ] || purge
	fi
	;;
restart) restart ;;
kill) kill_engine ;;
resume) start ;;
env) echo "export DOCKER_HOST=unix://$run/docker.sock" ;;
nsenter) inside "$@" ;;
status) answers ;;
usable) usable ;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d' >&2
	exit 2
	;;
esac
