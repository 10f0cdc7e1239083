#!/bin/sh
# Reports how a cluster comes up; see Kubectl.Follow. Arguments: the kubeconfig, the
# path to list, the path to watch. Runs in any POSIX shell, busybox's included.
#
# It must not outlive the one who listens: an exec cannot be killed from outside, but
# its standard input ends when the connection does.
exec 3<&0 </dev/null
{ cat <&3 >/dev/null; kill 0; } &

# A boot is short of CPU and every start of kubectl costs about 0.1 s of it, so the
# kernel's table is asked first, without any new process, whether something listens
# on port 6443 (0x192B; state 0A is LISTEN).
listening() {
	for table in /proc/net/tcp /proc/net/tcp6; do
		[ -r "$table" ] || continue
		while read -r _ local _ state _; do
			case "$local/$state" in *:192B/0A) return 0 ;; esac
		done <"$table"
	done
	return 1
}

nap() { sleep "$1" 2>/dev/null || sleep 1; }

raw() { kubectl --kubeconfig "$1" --request-timeout "$2" get --raw "$3" 2>&1; }

booting=false
until listening; do
	booting=true
	nap 0.1
done

until out=$(raw "$1" 10s "$2"); do
	printf '@problem\n%s\n' "$out"
	nap 0.5
done
printf '@list\n%s\n' "$out"

# Where there is nothing yet, it is made as soon as the API is ready. Where all is there,
# nobody waits for that, and a boot takes some seconds more.
pause=0.2
if "$booting"; then
	case $out in
	*'"items":[]'*) pause=0.4 ;;
	*) pause=1.5 ;;
	esac
	nap "$pause"
fi
until out=$(raw "$1" 10s /readyz); do
	printf '@problem\n%s\n' "$out"
	nap "$pause"
done
printf '@ready\n'

while :; do
	printf '@watch\n'
	raw "$1" 0 "$3"
	nap 1
done
