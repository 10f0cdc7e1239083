#!/bin/sh
# Prepares a gateway's node and becomes k3s. It runs at every start of the container,
# also at those that Docker makes by itself, so whatever a boot needs happens here.
# Being offline is a normal state: nothing here waits for a network that may not come,
# but for a default route, briefly.
#
# Environment:
#   OPENSHELL_NODE_NAME   the node's name; required
#   GPU_ENABLED=true      deploy the image's manifests for NVIDIA devices too
#   OPENSHELL_RECREATE    the set-aside of state for which the container was made
#   USE_IPTABLES_LEGACY   1: use the legacy iptables backend, 0: do not; found out
#                         where it is not set
#   OPENSHELL_ROOT        prefix of all paths; for tests
set -eu

root=${OPENSHELL_ROOT:-}
data=$root/var/lib/rancher/k3s
state=$data/openshell
manifests=$data/server/manifests
shipped=$root/opt/openshell/manifests

say() { printf 'openshell: %s\n' "$*"; }
warn() { say "warning: $*" >&2; }
die() { say "error: $*" >&2; exit 1; }

# put FILE writes standard input to FILE, and leaves FILE alone if it says that
# already: k3s deploys anew what changes.
put() {
	tmp=$1.openshell-tmp
	cat >"$tmp"
	if cmp -s "$tmp" "$1"; then
		rm -f "$tmp"
	else
		mv -f "$tmp" "$1"
	fi
}

# A volume that cannot be written makes k3s fail late and in many words.
check_volume() {
	# The probe is written by cat: the printf of some shells does not name the cause.
	if ! reason=$({ mkdir -p "$state" && printf 'x' | cat >"$state/.write-probe"; } 2>&1); then
		rm -f "$state/.write-probe" 2>/dev/null || true
		case $reason in
		*[Rr]ead-only*) die "the volume at $data is read-only: attempt to write a readonly database" ;;
		*"o space left"*) die "no space left on device: the disk that holds the volume is full" ;;
		*) die "the volume at $data cannot be written: $reason" ;;
		esac
	fi
	rm -f "$state/.write-probe"
}

# While state is being set aside or put back the volume is nobody's: only the container
# for which it was made as new may use it.
check_pending() {
	if [ ! -e "$data/.openshell/pending" ]; then return 0; fi
	read -r phase id _ <"$data/.openshell/pending" || true
	if [ "$phase $id" != "aside ${OPENSHELL_RECREATE:-}" ]; then
		die "a recreate or a restore was cut off: run 'docker openshell gateway start'"
	fi
}

# k3s admits a node only with the password of its first visit, and keeps that in
# /etc/rancher/node: in the container, which may be replaced. It belongs on the volume.
keep_node_password() {
	kept=$state/node
	link=$root/etc/rancher/node
	mkdir -p "$kept" "$root/etc/rancher"
	chmod 700 "$kept"
	if [ -d "$link" ] && [ ! -L "$link" ]; then
		for f in "$link"/*; do
			if [ -e "$f" ] && [ ! -e "$kept/${f##*/}" ]; then mv "$f" "$kept/"; fi
		done
		rm -rf "$link"
	fi
	ln -sfn "$kept" "$link"
	if [ ! -s "$kept/password" ] && [ -d "$data/server/db" ]; then
		# The volume knows this node, but its password went with an older container.
		# Once Kubernetes forgets the old one, the node is let in with a new one.
		say "the node's password is lost; asking Kubernetes to forget it"
		forget_node_password &
	fi
}

# forget_node_password ends when it has succeeded, or after five minutes.
forget_node_password() {
	i=0
	while [ "$i" -lt 300 ]; do
		if kubectl --kubeconfig "$root/etc/rancher/k3s/k3s.yaml" --request-timeout 5s -n kube-system delete secret \
			--ignore-not-found "$OPENSHELL_NODE_NAME.node-password.k3s" >/dev/null 2>&1; then
			return 0
		fi
		i=$((i + 1))
		sleep 1
	done
	warn "the old password of node $OPENSHELL_NODE_NAME could not be removed"
}

# The host's kernel may know only one of the two backends well enough for
# kube-proxy, which matches comments.
choose_iptables() {
	case ${USE_IPTABLES_LEGACY:-} in
	0) return 0 ;;
	?*) ;;
	*)
		command -v iptables >/dev/null 2>&1 || return 0
		if iptables -t filter -N OPENSHELL-PROBE 2>/dev/null; then
			works=yes
			iptables -t filter -A OPENSHELL-PROBE -m comment --comment probe -j RETURN 2>/dev/null || works=no
			iptables -t filter -F OPENSHELL-PROBE 2>/dev/null || true
			iptables -t filter -X OPENSHELL-PROBE 2>/dev/null || true
			if [ "$works" = yes ]; then return 0; fi
		fi
		;;
	esac
	if ! command -v iptables-legacy >/dev/null 2>&1; then
		warn "iptables does not work, and there is no legacy backend: Services will not be reached"
		return 0
	fi
	mkdir -p "$root/usr/local/bin"
	for tool in iptables ip6tables iptables-save iptables-restore ip6tables-save ip6tables-restore; do
		legacy=$(command -v "${tool%%-*}-legacy${tool#"${tool%%-*}"}") || continue
		ln -sf "$legacy" "$root/usr/local/bin/$tool"
	done
	say "using the legacy iptables backend"
}

# own_address prints the container's IPv4 address: that of its interface eth0.
own_address() {
	ip -4 -o addr show dev eth0 2>/dev/null | while read -r _ _ _ cidr _; do
		printf '%s\n' "${cidr%%/*}"
		break
	done
}

# Pods have network namespaces of their own, in which Docker's resolver at 127.0.0.11
# does not exist. Packets to port 53 of the container's own address are sent to it.
share_resolver() {
	config=$root/etc/rancher/k3s/resolv.conf
	mkdir -p "$root/etc/rancher/k3s"
	servers='' docker=no
	while read -r key value _; do
		if [ "$key" = nameserver ]; then
			case $value in
			127.0.0.11) docker=yes ;;
			127.* | ::1) ;;
			*) servers="$servers $value" ;;
			esac
		fi
	done <"$root/etc/resolv.conf" || true
	if [ "$docker" = yes ]; then
		address=$(own_address)
		if [ -n "$address" ] && forward_dns "$address"; then
			servers=" $address$servers"
		else
			warn "Docker's resolver cannot be shared with pods"
		fi
	fi
	for s in ${servers:- 8.8.8.8 8.8.4.4}; do printf 'nameserver %s\n' "$s"; done | put "$config"
}

# forward_dns sends DNS packets for ADDRESS to where Docker's resolver listens: on
# ports that Docker chose, and wrote into rules of its own.
forward_dns() {
	for protocol in udp tcp; do
		port=$(iptables -t nat -S DOCKER_OUTPUT 2>/dev/null | while read -r rule; do
			case $rule in
			*"-p $protocol"*"--to-destination 127.0.0.11:"*) printf '%s\n' "${rule##*127.0.0.11:}" ;;
			esac
		done)
		[ -n "$port" ] || return 1
		for chain in PREROUTING OUTPUT; do
			iptables -t nat -C "$chain" -d "$1" -p "$protocol" --dport 53 -j DNAT --to-destination "127.0.0.11:$port" 2>/dev/null ||
				iptables -t nat -A "$chain" -d "$1" -p "$protocol" --dport 53 -j DNAT --to-destination "127.0.0.11:$port" || return 1
		done
	done
	# Without this the kernel drops packets from pods to a loopback address.
	echo 1 >"$root/proc/sys/net/ipv4/conf/all/route_localnet"
}

# Until kube-proxy has its rules, a packet for a Service's address leads nowhere, and
# who sent it waits for an answer: the cluster's DNS for the API, for half a minute, and
# all that depends on names with it. Refused at once, it tries again at once. Packets
# for which there is a rule have another address when they come here.
refuse_unserved() {
	command -v iptables >/dev/null 2>&1 || return 0
	iptables -C FORWARD -d 10.43.0.0/16 -j REJECT 2>/dev/null || iptables -A FORWARD -d 10.43.0.0/16 -j REJECT 2>/dev/null ||
		warn "packets for Services that are not served yet cannot be refused: DNS in the cluster may come up late"
}

# Registry credentials are on the volume, for root alone.
link_registries() {
	mkdir -p "$root/etc/rancher/k3s"
	if [ -e "$state/registries.yaml" ]; then
		ln -sfn "$state/registries.yaml" "$root/etc/rancher/k3s/registries.yaml"
	fi
}

# deploy copies what is shipped to where k3s deploys from, and removes what an older
# version shipped. Other people's files there are not touched.
deploy() {
	mkdir -p "$manifests"
	for chart in "$root"/opt/openshell/charts/*.tgz; do
		[ -e "$chart" ] || continue
		mkdir -p "$data/server/static/charts"
		put "$data/server/static/charts/${chart##*/}" <"$chart"
	done
	for f in "$manifests"/openshell-* "$manifests"/envoy-gateway-* "$manifests"/agent-*; do
		[ -e "$f" ] || continue
		name=${f##*/}
		[ "$name" = openshell-helmchartconfig.yaml ] || [ -e "$shipped/$name" ] || rm -f "$f"
	done
	for f in "$shipped"/*.yaml; do
		if [ -e "$f" ]; then put "$manifests/${f##*/}" <"$f"; fi
	done
	for f in "$root"/opt/openshell/gpu-manifests/*.yaml; do
		[ -e "$f" ] || continue
		if [ "${GPU_ENABLED:-}" = true ]; then
			put "$manifests/${f##*/}" <"$f"
		else
			rm -f "$manifests/${f##*/}"
		fi
	done
}

# host_address prints the Docker host's address as pods can use it.
host_address() {
	while read -r address names; do
		case " $names " in *" host.docker.internal "*)
			printf '%s\n' "$address"
			return 0
			;;
		esac
	done <"$root/etc/hosts"
	ip -4 route show default 2>/dev/null | while read -r _ via address _; do
		if [ "$via" = via ]; then
			printf '%s\n' "$address"
			break
		fi
	done
}

# is_address says whether $1 is an IP address. It goes into pods as it is, and one that
# Kubernetes refuses would keep the server from starting.
is_address() {
	case $1 in
	*:*)
		case $1 in
		*[!0-9a-fA-F.:]* | *:::* | *::*::*) return 1 ;;
		*::* | *:*:*:*:*:*:*:*) return 0 ;;
		esac
		return 1
		;;
	*[!0-9.]* | .* | *. | *..* | *.*.*.*.*) return 1 ;;
	*.*.*.*) ;;
	*) return 1 ;;
	esac
	rest=$1.
	while [ -n "$rest" ]; do
		part=${rest%%.*}
		case $part in 0?* | ????*) return 1 ;; esac
		[ "$part" -le 255 ] || return 1
		rest=${rest#*.}
	done
}

# The host's address is known only here and may change from boot to boot, so it goes
# into an object of its own, which overrides values of the chart.
configure_chart() {
	address=$(host_address)
	if ! is_address "$address"; then
		warn "the Docker host's address is not known: host.openshell.internal will not resolve in sandboxes"
		address=
	fi
	put "$manifests/openshell-helmchartconfig.yaml" <<-END
		{
		  "apiVersion": "helm.cattle.io/v1",
		  "kind": "HelmChartConfig",
		  "metadata": {"name": "openshell", "namespace": "kube-system"},
		  "spec": {"valuesContent": "{\"server\":{\"hostGatewayIP\":\"$address\"}}"}
		}
	END
}

# k3s takes the node's address from the default route. Docker may connect the network
# a moment after the start; without any network the node boots all the same.
await_route() {
	i=0
	while [ "$i" -lt 300 ]; do
		if [ -n "$(ip route show default 2>/dev/null)" ] || [ -n "$(ip -6 route show default 2>/dev/null)" ]; then
			return 0
		fi
		if [ "$i" = 0 ]; then say "waiting for a default route"; fi
		i=$((i + 1))
		sleep 0.1 || sleep 1
	done
	warn "there is no default route; going on without"
}

# The first process of a container hears only signals for which it has a handler: without
# one, a stop during all this would wait for its whole grace period. k3s brings its own.
trap 'exit 0' TERM INT

[ -n "${OPENSHELL_NODE_NAME:-}" ] || die "OPENSHELL_NODE_NAME is not set"
if [ ! -x "$root/bin/k3s" ]; then
	say "/bin/k3s: not found: this image holds no k3s" >&2
	exit 127
fi

check_volume
check_pending
keep_node_password
choose_iptables
share_resolver
refuse_unserved
link_registries
deploy
configure_chart
mkdir -p "$root/run/flannel"
if [ ! -e "$root/proc/sys/net/bridge/bridge-nf-call-iptables" ]; then
	warn "the kernel module br_netfilter is not loaded on the host: Services may not be reached from pods of the same node"
fi
await_route

set -- "$@" --node-name="$OPENSHELL_NODE_NAME" --kubelet-arg=resolv-conf="$root/etc/rancher/k3s/resolv.conf"
if [ ! -e "$root/sys/fs/cgroup/cgroup.controllers" ]; then
	# The host has only version 1 of control groups, which the kubelet refuses unless
	# it is told that this is known.
	set -- "$@" --kubelet-arg=fail-cgroupv1=false
fi
exec "$root/bin/k3s" "$@"
