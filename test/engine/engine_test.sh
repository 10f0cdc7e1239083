#!/bin/sh
# Shows that engine.sh keeps its promises: nothing is left behind, nothing of others is
# touched, an isolated engine can be killed and comes back.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
engine=$here/engine.sh
passed=0 failed=0

check() {
	what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: $what"
	fi
}

# traces prints what an engine could leave on the machine. Other engines' containers may
# come and go meanwhile, so of the interfaces only the bridges of engines count.
traces() {
	ip -br link | cut -d' ' -f1 | grep '^dos' || true
	cut -d' ' -f2 /proc/mounts | grep -F docker-openshell || true
	find /sys/fs/cgroup -maxdepth 2 -type d -name 'docker-openshell-*' 2>/dev/null
	find /run/docker-openshell -mindepth 1 -maxdepth 1 2>/dev/null
	if command -v iptables-save >/dev/null 2>&1; then iptables-save | grep -v '^[#:]'; fi
}
same() { [ "$1" = "$2" ]; }
on() { # on NAME ARGS…: the docker client on that engine
	name=$1
	shift
	docker -H "unix:///run/docker-openshell/$name/docker.sock" "$@"
}
status_of() { on "$1" container inspect -f '{{.State.Status}}' web 2>/dev/null; }
await() { # await WORD COMMAND…: until the command prints the word
	word=$1 i=0
	shift
	while [ "$("$@")" != "$word" ]; do
		i=$((i + 1))
		[ "$i" -lt 150 ] || return 1
		sleep 0.1
	done
}

"$engine" build
before=$(traces | sort)
bystander=''
cleanup() {
	[ -z "$bystander" ] || kill "$bystander" || true
	for name in t-shared t-alone t-debian; do "$engine" stop --purge "$name"; done
}
trap cleanup EXIT

"$engine" start t-shared
check "the engine answers" "$engine" status t-shared
eval "$("$engine" env t-shared)"
export DOCKER_HOST
check "it runs a privileged container" "$engine" usable
unset DOCKER_HOST
"$engine" stop --purge t-shared
check "a shared engine leaves nothing" same "$before" "$(traces | sort)"

"$engine" start --isolated t-alone
tmp=$(mktemp -d)
(cd "$here" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags='-s -w' -o "$tmp/probe" ./probe)
tar -C "$tmp" -c probe | on t-alone import - web:1 >/dev/null
rm -rf "$tmp"
on t-alone run -d --restart unless-stopped --name web -p 127.0.0.1:18099:80 web:1 /probe --serve >/dev/null
check "its published port answers in its namespace" "$engine" nsenter t-alone -- "$(command -v bash)" -c 'exec 3<>/dev/tcp/127.0.0.1/18099'
"$engine" restart t-alone
check "a container that is not stopped comes back with the engine" await running status_of t-alone
"$engine" kill t-alone
silent() { ! "$engine" status "$1"; }
check "a killed engine is silent" silent t-alone
"$engine" resume t-alone
check "a killed engine comes back" "$engine" status t-alone
on t-alone start web >/dev/null
tail -f /run/docker-openshell/t-alone/dockerd.log >/dev/null 2>&1 &
bystander=$!
"$engine" kill --hard t-alone
check "a reader of the log outlives a power cut" kill -0 "$bystander"
kill "$bystander"
bystander=''
"$engine" resume t-alone
check "a container comes back after a power cut" await running status_of t-alone
"$engine" stop --purge t-alone
check "an isolated engine leaves nothing" same "$before" "$(traces | sort)"

"$engine" start --isolated --engine debian t-debian
check "Debian's dockerd answers" same 20.10 "$(on t-debian version -f '{{.Server.Version}}' | cut -d. -f1-2)"
"$engine" restart t-debian
check "a restart keeps to Debian's dockerd" same 20.10 "$(on t-debian version -f '{{.Server.Version}}' | cut -d. -f1-2)"
"$engine" stop --purge t-debian
check "Debian's engine leaves nothing" same "$before" "$(traces | sort)"
# A record of long ago can name a process that is a stranger's by now.
sleep 300 &
bystander=$!
mkdir -p /run/docker-openshell/t-alone
echo "$bystander" >/run/docker-openshell/t-alone/holder.pid
echo "isolated=yes live=no" >/run/docker-openshell/t-alone/options
"$engine" stop --purge t-alone
check "a stale record ends no stranger's process" kill -0 "$bystander"
kill "$bystander"
trap - EXIT

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
