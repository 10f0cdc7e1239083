#!/bin/sh
# Boots the test node on the Engine at $DOCKER_HOST and checks what others rely
# on: a chart's pod with a volume that answers on a NodePort, the same after a
# stop and after a kill, no needless revision of a release, failures that show,
# node passwords, deletion of volumes. Prints how long things took.
# shellcheck disable=SC2016 # some scripts are for the shell in the node
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
name=nodetest-$$
manifests=/var/lib/rancher/k3s/server/manifests
work=$(mktemp -d)

clean() {
	status=$?
	if [ "$status" -ne 0 ]; then
		printf 'FAILED; the last lines of the node:\n' >&2
		docker logs --tail 40 "$name" >&2 || :
	fi
	docker rm -f -v "$name" >/dev/null 2>&1 || :
	docker volume rm -f "$name" >/dev/null 2>&1 || :
	docker network rm "$name" >/dev/null 2>&1 || :
	rm -rf "$work"
	exit "$status"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
	printf 'node_test: %s\n' "$*" >&2
	exit 1
}

# The time in milliseconds.
now() { date +%s%3N; }

in_node() { docker exec "$name" "$@"; }
kubectl() { in_node kubectl "$@"; }

# await SECONDS WHAT COMMAND… repeats a command until it succeeds.
await() {
	end=$(($(date +%s) + $1))
	what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$end" ] || fail "$what did not come in time"
		sleep 0.05
	done
}

equal() { [ "$2" = "$3" ] || fail "$1 is '$2', want '$3'"; }

# answers asks the NodePort, on the node's own address, for the file of starts.
answers() {
	in_node sh -c 'printf "GET /starts HTTP/1.0\r\n\r\n" | timeout 2 nc "$(hostname -i)" 30051' >"$work/answer" 2>/dev/null &&
		grep -q '200 OK' "$work/answer"
}
starts() { sed '1,/^.\{0,1\}$/d' "$work/answer" | tr '\n' ' '; }

revision() { kubectl get secrets -n web -l owner=helm,name=web -o 'jsonpath={.items[*].metadata.labels.version}'; }
status_of() { kubectl get helmchart -n kube-system "$1" -o "jsonpath={.status.conditions[?(@.type=='$2')].status}"; }
kubelet_runs() { in_node sh -c 'for f in /proc/[0-9]*/cmdline; do tr "\0" "\n" <$f | head -n 1; done' 2>/dev/null | grep -qx kubelet; }

# boot starts the container and measures until the API and the pod answer.
boot() {
	began=$(now)
	docker start "$name" >/dev/null
	await 90 'the API' kubectl get --raw /readyz
	api=$(($(now) - began))
	await 90 'an answer on the NodePort' answers
	printf '%-28s API after %5d ms, NodePort after %5d ms\n' "$1" "$api" $(($(now) - began))
}

halt() {
	began=$(now)
	docker stop -t 60 "$name" >/dev/null
	took=$(($(now) - began))
	printf '%-28s %d ms\n' stop "$took"
	[ "$took" -lt 5000 ] || fail "the stop took $took ms"
	equal 'the exit code of a stopped node' "$(docker inspect -f '{{.State.ExitCode}}' "$name")" 0
}

# chart NAME VALUES prints a HelmChart of the chart under testdata.
chart() {
	content=$(tar -C "$here/testdata" -c --transform "s,^chart,web," chart | gzip -n | base64 -w 0)
	cat <<MANIFEST
apiVersion: helm.cattle.io/v1
kind: HelmChart
metadata: {name: $1, namespace: kube-system}
spec:
  targetNamespace: web
  createNamespace: true
  chartContent: $content
  valuesContent: '$2'
MANIFEST
}

# put writes standard input to a file of the manifests directory.
put() {
	cat >"$work/$1"
	docker cp -q "$work/$1" "$name:$manifests/$1"
}

image=$("$here/node.sh" load)
busybox=$(docker create "$image")
docker cp -q "$busybox:/usr/bin/busybox" "$work/busybox"
docker rm -v "$busybox" >/dev/null
(cd "$here" && CGO_ENABLED=0 go run -trimpath -buildvcs=false -gcflags=all=-l ./archive "$work/web.tar" test/web:1="$work/busybox")
image=$("$here/node.sh" load "$work/web.tar")
equal 'the image of the same tars' "$("$here/node.sh" load "$work/web.tar")" "$image"
equal 'the label' "$(docker image inspect -f '{{index .Config.Labels "io.github.docker-openshell.test"}}' "$image")" node

# An unknown flag is refused as k3s refuses it.
if docker run --rm "$image" server --no-such-flag >"$work/out" 2>&1; then
	fail 'an unknown flag was accepted'
fi
grep -q 'flag provided but not defined: -no-such-flag' "$work/out" || fail 'the message about an unknown flag is another one'

# make creates the container, with further flags of docker create.
make() {
	docker create "$@" --name "$name" --privileged --cgroupns=host --tmpfs /run --tmpfs /var/run --hostname nodetest \
		-v "$name:/var/lib/rancher/k3s" -p 127.0.0.1::30051 "$image" server --disable=traefik --tls-san=127.0.0.1 \
		--node-name=nodetest --kubelet-arg=fail-cgroupv1=false >/dev/null
}
make
chart web '{"image":"test/web:1"}' | put web.yaml

boot 'first boot'
equal 'starts' "$(starts)" 'default '
equal 'the revision' "$(revision)" 1
equal 'condition Failed' "$(status_of web Failed)" False
docker logs "$name" 2>&1 | grep -q 'k3s is up and running' || fail 'the line "k3s is up and running" is missing'
docker logs "$name" 2>&1 | grep -qi 'cluster dns configmap' || fail 'the line about the DNS configmap is missing'
equal 'the phase of the claim' "$(kubectl get pvc -n web data-web-0 -o 'jsonpath={.status.phase}')" Bound
equal 'the mode of the kubeconfig' "$(in_node stat -c %a /etc/rancher/k3s/k3s.yaml)" 600
in_node ctr images ls | grep 'docker.io/test/web:1' | grep -q 'io.cri-containerd.pinned=pinned' || fail 'the imported image is not pinned'
in_node nslookup kubernetes.default.svc.cluster.local 10.43.0.10 >/dev/null || fail 'the cluster DNS does not answer'

halt
boot resume
equal 'starts after a resume' "$(starts)" 'default default '
equal 'the revision after a resume' "$(revision)" 1

docker kill "$name" >/dev/null
boot 'after a kill'
equal 'the revision after a kill' "$(revision)" 1

# Another container, with another address, around the same volume.
docker stop -t 60 "$name" >/dev/null
docker cp -q "$name:/etc/rancher/node/password" "$work/password"
docker rm -v "$name" >/dev/null
docker network create "$name" >/dev/null
make --network "$name"
mkdir -p "$work/node" && cp "$work/password" "$work/node/password"
docker cp -q "$work/node" "$name:/etc/rancher/"
boot 'another container'
equal 'the revision in another container' "$(revision)" 1
equal "the API server's address" "$(kubectl get endpointslices kubernetes -o 'jsonpath={.endpoints[*].addresses[*]}')" "$(in_node hostname -i)"

# A config changes the release; the same config again does not.
config() {
	printf 'apiVersion: helm.cattle.io/v1\nkind: HelmChartConfig\nmetadata: {name: web, namespace: kube-system}\nspec: {valuesContent: %s}\n' "'{\"text\":\"$1\"}'"
}
config changed | put webconfig.yaml
await 30 'the upgrade' in_node sh -c "test \"\$(kubectl get secrets -n web -l owner=helm,status=deployed -o 'jsonpath={.items[*].metadata.labels.version}')\" = 2"
changed_answers() { answers && starts | grep -q changed; }
await 30 'the pod of the upgrade' changed_answers
config changed | put webconfig.yaml

# What cannot work says so, and works once it can.
chart broken '{"nodePort":30052}' | put broken.yaml
failed() { [ "$(status_of broken Failed)" = True ]; }
await 30 'the failure of a broken chart' failed
kubectl get helmchart -n kube-system broken -o 'jsonpath={.status.conditions[*].message}' | grep -q 'the value image is missing' || fail 'the status does not say why the chart failed'
kubectl get events -n kube-system --field-selector reason=HelmReleaseFailed -o name | grep -q event || fail 'there is no event of the failure'
chart broken '{"image":"test/web:1","nodePort":30052}' | put broken.yaml
mended() { [ "$(status_of broken Failed)" = False ]; }
await 60 'the success of the mended chart' mended

# A deleted chart takes its release along; a deleted claim its directory.
kubectl rollout status -n web statefulset/broken --timeout 60s >/dev/null
kubectl delete helmchart -n kube-system broken --timeout 60s >/dev/null
equal 'what is left of the release' "$(kubectl get secrets -n web -l owner=helm,name=broken -o name)" ''
kubectl delete pvc -n web data-broken-0 --timeout 60s >/dev/null
gone() { in_node sh -c '! ls /var/lib/rancher/k3s/storage | grep -q data-broken-0'; }
await 30 'the deletion of a directory' gone
in_node sh -c 'ls /var/lib/rancher/k3s/storage | grep -q data-web-0' || fail 'the directory of the other claim is gone'

# A release that was left half done is taken up again.
secret=$(kubectl get secrets -n web -l owner=helm,name=web,status=deployed -o 'jsonpath={.items[0].metadata.name}')
halt
boot 'resume after an upgrade'
equal 'the newest revision' "$(kubectl get secret -n web "$secret" -o 'jsonpath={.metadata.labels.version}')" 2
equal 'the revisions after a resume' "$(revision)" '1 2'

# A node that returns with another password is refused until the first is forgotten.
docker stop -t 60 "$name" >/dev/null
docker cp -q "$name:/etc/rancher/node/password" "$work/password"
grep -qx '[0-9a-f]\{32\}' "$work/password" || fail 'the node password is not 32 hex characters'
printf '%032d\n' 0 >"$work/password"
docker cp -q "$work/password" "$name:/etc/rancher/node/password"
docker start "$name" >/dev/null
await 60 'the API' kubectl get --raw /readyz
refused() { docker logs --since 30s "$name" 2>&1 | grep -q 'Node password rejected, duplicate hostname or contents of'; }
await 30 'the refusal of another password' refused
if kubelet_runs; then fail 'kubelet runs in spite of a wrong password'; fi
kubectl delete secret -n kube-system nodetest.node-password.k3s >/dev/null
await 30 'kubelet' kubelet_runs
await 60 'an answer after the password was forgotten' answers

# A datastore that cannot be opened is tried again and again, and a stop is heard.
halt
docker run --rm -v "$name:/v" --entrypoint sh "$image" -c 'for f in /v/server/db/*.db*; do echo damaged >"$f"; done'
docker start "$name" >/dev/null
damaged() { docker logs --since 30s "$name" 2>&1 | grep -q 'file is not a database'; }
await 30 'the failure to open the datastore' damaged
halt
printf 'ok\n'
