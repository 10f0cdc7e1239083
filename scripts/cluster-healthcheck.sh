#!/bin/sh
# Says whether a gateway works, as far as that can be seen in its container: the API
# server answers, the OpenShell server's pod is ready, the Secrets are there and hold
# values, and the published node port accepts connections. It prints one line for the
# first thing that is missing, and depends on nothing outside.
#
# It runs every few seconds for as long as the gateway lives, so it starts kubectl
# once. Environment: DISABLE_TLS=true for a gateway without certificates.
set -u

KUBECONFIG=${OPENSHELL_ROOT:-}/etc/rancher/k3s/k3s.yaml
export KUBECONFIG

fail() {
	printf '%s\n' "$*"
	exit 1
}

# While the node boots it is short of CPU, and kubectl would cost some to learn that
# nothing listens on port 6443 (0x192B; state 0A is LISTEN): the kernel's table tells.
listening() {
	for table in "${OPENSHELL_ROOT:-}/proc/net/tcp" "${OPENSHELL_ROOT:-}/proc/net/tcp6"; do
		[ -r "$table" ] || continue
		while read -r _ local _ state _; do
			case $local/$state in *:192B/0A) return 0 ;; esac
		done <"$table"
	done
	return 1
}
listening || fail "Kubernetes API does not answer: nothing listens on port 6443"

# For each object a line: what it is, and what there is to judge. The length of the
# handshake secret and its validity are judged from the value, which goes through a
# pipe into shell variables and nowhere else.
# shellcheck disable=SC2016 # the dollars are the template's
template='{{range .items}}{{if eq .kind "StatefulSet"}}server {{.status.readyReplicas}}
{{else if eq .metadata.name "openshell-ssh-handshake"}}handshake {{with .data}}{{with .secret}}{{base64decode .}}{{end}}{{end}}
{{else}}{{.metadata.name}} {{range $k, $v := .data}}{{if $v}}{{$k}} {{end}}{{end}}
{{end}}{{end}}'

if ! found=$(kubectl --request-timeout=5s -n openshell get --ignore-not-found -o go-template="$template" \
	statefulset/openshell secret/openshell-ssh-handshake secret/openshell-server-tls \
	secret/openshell-server-client-ca secret/openshell-client-tls 2>/dev/null); then
	if reason=$(kubectl --request-timeout=5s get --raw /readyz 2>&1); then
		fail "Kubernetes API: the gateway's objects cannot be read"
	fi
	while IFS= read -r line; do
		case $line in
		'[-]'*) fail "Kubernetes API is not ready: $line" ;;
		esac
	done <<-END
		$reason
	END
	fail "Kubernetes API does not answer: ${reason%%
*}"
fi

server='' handshake='' server_tls='' client_ca='' client_tls=''
while read -r what value; do
	case $what in
	server) server=$value ;;
	handshake) handshake=present secret=$value ;;
	openshell-server-tls) server_tls=$value ;;
	openshell-server-client-ca) client_ca=$value ;;
	openshell-client-tls) client_tls=$value ;;
	esac
done <<END
$found
END

[ -n "$handshake" ] || fail "Secret openshell/openshell-ssh-handshake is missing"
[ -n "$secret" ] || fail "Secret openshell/openshell-ssh-handshake holds no value"
case $secret in
*[!0-9a-fA-F]*) fail "Secret openshell/openshell-ssh-handshake holds a value that is not hexadecimal" ;;
esac
[ "${#secret}" -ge 64 ] || fail "Secret openshell/openshell-ssh-handshake holds a value that is too short"

if [ "${DISABLE_TLS:-}" != true ]; then
	case $server_tls in *tls.crt*tls.key*) ;; *) fail "Secret openshell/openshell-server-tls is missing or incomplete" ;; esac
	case $client_ca in *ca.crt*) ;; *) fail "Secret openshell/openshell-server-client-ca is missing or incomplete" ;; esac
	case $client_tls in *tls.crt*tls.key*) ;; *) fail "Secret openshell/openshell-client-tls is missing or incomplete" ;; esac
fi

case $server in
'') fail "StatefulSet openshell/openshell is missing" ;;
*[!0-9]* | 0) fail "StatefulSet openshell/openshell is not ready" ;;
esac

# connects ADDRESS says whether the node port accepts a connection.
connects() {
	if command -v nc >/dev/null 2>&1; then
		nc -w 2 "$1" 30051 </dev/null >/dev/null 2>&1
	elif command -v bash >/dev/null 2>&1; then
		bash -c 'exec 3<>"/dev/tcp/$1/30051"' bash "$1" 2>/dev/null
	else
		# Without a tool to try it, the pod's readiness has to do.
		return 0
	fi
}

connects 127.0.0.1 && exit 0
while read -r address names; do
	# The host's own addresses are there too, and the same port may serve others.
	case $address/$names in
	/* | '#'* | 127.* | *:*/* | */*host.docker.internal* | */*host.openshell.internal*) continue ;;
	esac
	connects "$address" && exit 0
done <"${OPENSHELL_ROOT:-}/etc/hosts"
fail "node port 30051 accepts no connection"
