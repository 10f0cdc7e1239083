#!/bin/sh
# Sets a gateway's state aside inside its volume, and brings it back. It runs in a
# short-lived container that has the volume at OPENSHELL_STATE, while no node uses it.
#
#	cluster-state.sh aside ID   set the state aside as snapshot ID, and put what the
#	                            image ships in its place, as for a new volume; only
#	                            the credentials for registries stay
#	cluster-state.sh back       undo a set-aside that was not settled
#	cluster-state.sh settle     end a set-aside; the snapshot is kept
#	cluster-state.sh drop       end a set-aside, and free the snapshot
#	cluster-state.sh swap NEW OLD  set the state aside as NEW, and snapshot OLD in its place
#	cluster-state.sh swap       go on with a swap that was cut off
#	cluster-state.sh rm ID      free a snapshot
#	cluster-state.sh ls         describe the present state and the snapshots
#
# Everything is done by renames in one file system. The file "pending" says how far a
# set-aside or a swap has come, so that one that was cut off is undone or goes on:
#
#	moving ID       entries of the state lie here and there; none of a new gateway's
#	aside ID        the old state lies in the snapshot; what is here is a new gateway's
#	clearing ID     the new gateway's state is being removed
#	leaving NEW OLD  entries move from here to NEW
#	entering NEW OLD entries move from OLD to here
#
# Environment:
#   OPENSHELL_STATE    where the volume is; /state if it is not set
#   OPENSHELL_SHIPPED  what the image has where the volume goes
set -eu

state=${OPENSHELL_STATE:-/state}
shipped=${OPENSHELL_SHIPPED:-/var/lib/rancher/k3s}
own=$state/.openshell
snapshots=$own/snapshots
trash=$own/trash
pending=$own/pending

die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# settle_disk waits until what was renamed is on the disk: a power cut must not bring
# back an order of events that did not happen.
settle_disk() { sync -f "$own" 2>/dev/null || sync; }

# note PHASE ID [ID] writes down how far this has come.
note() {
	settle_disk
	printf '%s\n' "$*" >"$pending.tmp"
	mv -f "$pending.tmp" "$pending"
	settle_disk
}

# each DIR FUNCTION [ARGUMENT…] calls the function with every entry of DIR but our own.
each() {
	dir=$1
	call=$2
	shift 2
	for entry in "$dir"/* "$dir"/.[!.]* "$dir"/..?*; do
		if [ ! -e "$entry" ] && [ ! -L "$entry" ]; then continue; fi
		case ${entry##*/} in .openshell | lost+found) continue ;; esac
		"$call" "$entry" "$@"
	done
}

move_to() { mv -f "$1" "$2/"; }
remove() { rm -rf "$1"; }

valid() {
	case $1 in
	'' | .* | *[!A-Za-z0-9.-]*) die "\"$1\" is no snapshot's ID" ;;
	esac
}

# exists ID fails unless the snapshot is there, whole.
exists() { [ -d "$snapshots/$1/state" ]; }

# free ID removes a snapshot: out of sight first, so that no half of one is ever seen.
free() {
	mkdir -p "$trash"
	if [ -e "$snapshots/$1" ]; then mv "$snapshots/$1" "$trash/$1.$$"; fi
}

# empty_trash also removes what is left of a snapshot that never came to be.
empty_trash() {
	rm -rf "$trash"
	for s in "$snapshots"/*; do
		if [ -e "$s" ] && [ ! -d "$s/state" ]; then rm -rf "$s"; fi
	done
}

# end forgets the pending step.
end() {
	settle_disk
	rm -f "$pending"
	empty_trash
	settle_disk
}

read_pending() {
	phase='' id='' other=''
	if [ -e "$pending" ]; then read -r phase id other <"$pending" || true; fi
}

aside() {
	valid "$1"
	[ -z "$phase" ] || die "an earlier step is pending: $phase $id"
	if exists "$1"; then die "there is a snapshot $1 already"; fi
	mkdir -p "$snapshots"
	chmod 700 "$own"
	note moving "$1"
	mkdir -p "$snapshots/$1/state"
	each "$state" move_to "$snapshots/$1/state"
	note aside "$1"
	if [ -d "$shipped" ]; then cp -a "$shipped/." "$state/"; fi
	# The credentials for registries are the user's, and the new gateway pulls with them.
	credentials=$snapshots/$1/state/openshell/registries.yaml
	if [ -e "$credentials" ]; then
		mkdir -p "$state/openshell"
		cp -p "$credentials" "$state/openshell/"
	fi
	settle_disk
}

back() {
	case $phase in
	'') return 0 ;;
	moving | aside | clearing) ;;
	*) die "this is no set-aside: $phase" ;;
	esac
	if ! exists "$id"; then
		# It was settled, and cut off before that was written down.
		end
		return 0
	fi
	if [ "$phase" != moving ]; then
		note clearing "$id"
		each "$state" remove
		note moving "$id"
	fi
	each "$snapshots/$id/state" move_to "$state"
	free "$id"
	end
}

drop() {
	case $phase in
	'') return 0 ;;
	aside) ;;
	*) die "only a whole set-aside can be settled: $phase" ;;
	esac
	if [ "$1" = free ]; then free "$id"; fi
	end
}

swap() {
	if [ -z "$phase" ]; then
		[ $# -eq 2 ] || return 0
		valid "$1"
		valid "$2"
		exists "$2" || die "there is no snapshot $2"
		if exists "$1"; then die "there is a snapshot $1 already"; fi
		phase=leaving id=$1 other=$2
		note leaving "$id" "$other"
	fi
	case $phase in
	leaving)
		mkdir -p "$snapshots/$id/state"
		each "$state" move_to "$snapshots/$id/state"
		note entering "$id" "$other"
		;;
	entering) ;;
	*) die "this is no swap: $phase" ;;
	esac
	if exists "$other"; then each "$snapshots/$other/state" move_to "$state"; fi
	free "$other"
	end
}

# kilobytes PATH prints how much a directory takes.
kilobytes() {
	du -sk "$1" 2>/dev/null | while read -r size _; do
		printf '%s\n' "$size"
		break
	done
}

# sandboxes DIR prints the names of the sandboxes whose workspaces are there.
sandboxes() {
	list=''
	for d in "$1"/storage/*_workspace-*; do
		if [ -d "$d" ]; then list="$list,${d##*_workspace-}"; fi
	done
	printf '%s\n' "${list#,}"
}

# list prints a line for the present state, and one for each snapshot: ID, kilobytes,
# sandboxes, and the description that was left with it.
list() {
	aside_size=0
	if [ -d "$own" ]; then aside_size=$(kilobytes "$own"); fi
	all=$(kilobytes "$state")
	printf '.\t%s\t%s\t\n' "$((all - aside_size))" "$(sandboxes "$state")"
	for s in "$snapshots"/*; do
		if [ ! -d "$s/state" ]; then continue; fi
		info=''
		if [ -e "$s/info.json" ]; then info=$(cat "$s/info.json"); fi
		printf '%s\t%s\t%s\t%s\n' "${s##*/}" "$(kilobytes "$s/state")" "$(sandboxes "$s/state")" "$info"
	done
}

[ -d "$state" ] || die "there is no volume at $state"
read_pending
verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
aside) aside "${1:-}" ;;
back) back ;;
settle) drop keep ;;
drop) drop free ;;
swap) swap "$@" ;;
rm)
	valid "${1:-}"
	exists "$1" || die "there is no snapshot $1"
	[ -z "$phase" ] || die "an earlier step is pending: $phase $id"
	free "$1"
	empty_trash
	;;
ls) list ;;
*) die "usage: cluster-state.sh aside ID | back | settle | drop | swap [NEW OLD] | rm ID | ls" ;;
esac
