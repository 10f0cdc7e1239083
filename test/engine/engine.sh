#!/bin/sh
# A private Docker Engine, built from source, for tests: it has a root, a socket and a
# bridge of its own and leaves any other Engine and the host's firewall untouched.
#
#	engine.sh build                        build it, unless that is cached
#	engine.sh start [--isolated] [--live-restore] [--engine debian] [NAME]
#	                                       start it; --isolated gives it network and mount
#	                                       namespaces and a containerd of its own, for tests
#	                                       that kill or starve a daemon; --engine debian runs
#	                                       the older dockerd that Debian ships (isolated only)
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
debian_packages='docker.io libdevmapper1.02.1'

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
debian=$cache/engine/debian-$(echo "$debian_packages" | sha256sum | cut -c1-12)

# need_root ends where there is nothing to be done without root.
need_root() {
	[ "$(id -u)" = 0 ] || die "a private Engine needs root; without it, select an Engine that runs privileged containers with DOCKER_HOST or 'docker context use'"
	command -v ip >/dev/null 2>&1 || with_lists "$PWD" install -y iproute2
}

# with_lists DIRECTORY ARGS… runs apt-get there, after an update of its package lists if
# it can't do without.
with_lists() {
	(
		cd "$1"
		shift
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq "$@" >/dev/null 2>&1 || {
			apt-get -qq update >&2
			apt-get -qq "$@" >/dev/null
		}
	)
}

# unpack DIRECTORY PACKAGES… unpacks Debian packages there without installing them.
unpack() {
	into=$1
	shift
	mkdir -p "$into.debs" "$into"
	with_lists "$into.debs" download "$@"
	for deb in "$into.debs"/*.deb; do dpkg-deb -x "$deb" "$into"; done
	rm -rf "$into.debs"
}

# keep puts a finished directory in its place, whoever else did so meanwhile.
keep() {
	touch "$1/ready"
	rm -rf "$2"
	mv "$1" "$2"
}

build_debian() {
	[ ! -e "$debian/ready" ] || return 0
	work=$(mktemp -d "$cache/engine/tmp.XXXXXX")
	say "unpacking Debian's dockerd"
	# shellcheck disable=SC2086 # a list
	unpack "$work/root" $debian_packages
	keep "$work" "$debian"
}

build() {
	[ ! -e "$built/ready" ] || return 0
	need_root
	mkdir -p "$cache/engine"
	work=$(mktemp -d "$cache/engine/tmp.XXXXXX")
	say "building dockerd $version (about two minutes)"
	# shellcheck disable=SC2086 # a list
	(cd "$here" && CGO_ENABLED=0 go build $flags \
		-ldflags="-s -w -X github.com/docker/docker/dockerversion.Version=$version" -o "$work/bin/" tool)
	say "unpacking containerd, runc and iptables"
	# shellcheck disable=SC2086 # a list
	unpack "$work/root" $packages
	for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
		ln -s ../root/usr/sbin/xtables-nft-multi "$work/bin/$tool"
	done
	keep "$work" "$built"
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
	isolated=no live=no flavour=built
	# shellcheck source=/dev/null
	[ ! -e "$run/options" ] || . "$run/options"
}

# free_net moves on to a second octet that no address or route of the host uses: names
# can share their first choice.
free_net() {
	ip link del "$bridge" 2>/dev/null || true # of an engine whose records are gone
	tried=0
	while ip -4 route show table all | grep -qE "(^| )10\.$net\."; do
		tried=$((tried + 1))
		[ "$tried" -lt 50 ] || die "no subnet 10.200 to 10.249 is free"
		net=$((200 + (net - 199) % 50))
	done
}

# alive PIDFILE says whether its process runs and is one of ours: a number may have
# been given to another process since.
alive() {
	[ -s "$1" ] || return 1
	pid=$(cat "$1" 2>/dev/null) || return 1
	[ -r "/proc/$pid/stat" ] || return 1
	case $(cut -d')' -f2 "/proc/$pid/stat") in ' Z'*) return 1 ;; esac
	if [ "$1" = "$run/holder.pid" ]; then
		[ "$(cat "/proc/$pid/comm")" = sleep ] && in_namespace
	else
		tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$run/"
	fi
}

# inside runs a command in the engine's namespaces.
inside() {
	if [ "$isolated" = yes ]; then
		nsenter -t "$(cat "$run/holder.pid")" -n -m --wd=/ "$@"
	else
		"$@"
	fi
}

answers() { [ -S "$run/docker.sock" ] && timeout 5 docker -H "unix://$run/docker.sock" version >/dev/null 2>&1; }

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
	need_root
	build
	[ "$flavour" = built ] || build_debian
	[ -e "$run/options" ] || free_net
	mkdir -p "$run" "$data"
	printf 'isolated=%s live=%s flavour=%s net=%s\n' "$isolated" "$live" "$flavour" "$net" >"$run/options"
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
	if [ "$flavour" = debian ]; then
		PATH=$debian/root/usr/sbin:$PATH
		LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$debian/root/lib/$(basename "$lib"):$debian/root/usr/lib/$(basename "$lib")
	fi
	export PATH LD_LIBRARY_PATH XTABLES_LIBDIR
	rm -f "$run/dockerd.pid" "$run/docker.sock"
	# The containerd of a dockerd that was killed dies with it; while it is a zombie, a new
	# dockerd takes it for running and waits ten seconds.
	managed=$run/exec/containerd/containerd.pid
	await 5 dead "$managed" && rm -f "$managed"
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
	there=$(readlink "/proc/$(cat "$run/holder.pid")/ns/net" 2>/dev/null) && [ "$there" != "$(readlink /proc/self/ns/net)" ]
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

# ours prints the engine's daemons and shims: processes of such a program whose command
# line names the engine's run directory. The program counts because clients and readers
# of its log name that directory too.
ours() {
	for p in /proc/[0-9]*; do
		program=$(readlink "$p/exe" 2>/dev/null) || continue
		case ${program##*/} in
		dockerd* | containerd* | docker-proxy* | runc*) ;;
		*) continue ;;
		esac
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

# ended kills what the engine runs and says whether nothing is left: what forks between
# a look and a kill is seen by the next one.
ended() {
	left_over=$(ours && contained)
	# shellcheck disable=SC2086 # a list of numbers
	end $left_over
	[ -z "$left_over" ]
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
	await 10 ended || say "processes of engine $name do not end: $left_over"
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
		await 10 ended || die "processes of engine $name do not end: $left_over"
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

# usable runs the smallest privileged container on the Engine of the present context,
# within 10 seconds beside the build of the probe.
usable() {
	timeout 3 docker version >/dev/null 2>&1 || return 1
	tmp=$(mktemp -d)
	probe=docker-openshell-probe-$$
	ok=1
	if (cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$tmp/probe" ./probe); then
		# shellcheck disable=SC2016 # expanded by the inner shell
		timeout 5 sh -c 'tar -C "$1" -c probe | docker import - "$2" &&
			docker run --rm --name "$2" --privileged --network none "$2" /probe' sh "$tmp" "$probe" >/dev/null 2>&1 && ok=0
	fi
	# shellcheck disable=SC2016 # expanded by the inner shell
	timeout 2 sh -c 'docker rm -f "$1"; docker image rm -f "$1"' sh "$probe" >/dev/null 2>&1 || true
	rm -rf "$tmp"
	return "$ok"
}

# --- command line ---

command=${1:-}
[ $# -eq 0 ] || shift
want_isolated=no want_live=no want_flavour=built hard=no purge=no all=no target=''
while [ $# -gt 0 ]; do
	case $1 in
	--isolated) want_isolated=yes ;;
	--live-restore) want_live=yes ;;
	--engine)
		[ "${2:-}" = debian ] || die "--engine takes 'debian' only"
		want_flavour=debian
		shift
		;;
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
	if [ ! -e "$run/options" ]; then isolated=$want_isolated live=$want_live flavour=$want_flavour; fi
	[ "$flavour" = built ] || [ "$isolated" = yes ] || die "--engine debian needs --isolated: it would meddle with the host's firewall"
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
