#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# suite.sh make FOLDER SUITE PACKAGE...: a tree of another suite of Debian with these packages, from the mirror that the machine
# uses. One that exists is kept; remove it to have a newer one.
# suite.sh exec FOLDER COMMAND...: runs a command with the tree's /usr and /etc instead of the machine's. All else, and so every
# path below this project, stays what it is. Mounts are in a namespace of the command's own: nothing is left of them.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

# The machine's sources with the suite in place of its own; none, for mmdebstrap to choose, where apt does not know its own.
sources() {
	local here
	here=$(machine_suite)
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
		awk -v here="${here:?}" -v suite="$1" '
			$3 == "main" && ($2 == here || suite != "sid" && index($2, here "-") == 1) {
				print "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]", $1,
					suite substr($2, length(here) + 1), "main"
			}'
}

make_tree() {
	local folder=$1 suite=$2 log valid=true lines=()
	shift 2
	[ ! -e "$folder" ] || return 0
	[ "$(id -u)" -eq 0 ] || die "not root, and $folder is to be made"
	say "Fetching packages of $suite: $*"
	log=$BUILD/logs/$suite-$(basename "$folder").log
	# A mirror that is a snapshot of one is out of date by its own word, which this machine may be told to overlook.
	eval "$(apt-config shell valid Acquire::Check-Valid-Until)"
	mapfile -t lines < <(sources "$suite")
	rm -rf --one-file-system "$folder.new"
	logged "$log" unshare --mount mmdebstrap --variant=apt --include="$*" --aptopt='Apt::Install-Recommends "false"' \
		--aptopt="Acquire::Check-Valid-Until \"$valid\"" \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/etc/kernel/postinst.d/*' \
		"$suite" "$folder.new" "${lines[@]}"
	mv "$folder.new" "$folder"
}

case ${1:-} in
make)
	mkdir -p "$(dirname "$2")"
	hold "$2.lock" "packages of $3"
	make_tree "${@:2}" ;;
exec)
	[ "$(id -u)" -eq 0 ] || die "not root: cannot run the programs of $2"
	# shellcheck disable=SC2016
	exec unshare --mount --propagation private sh -ec '
		mount --bind /usr/local "$1/usr/local"
		mount --bind "$1/etc" /etc
		mount --rbind "$1/usr" /usr
		shift
		exec "$@"' sh "${@:2}" ;;
*)
	die "usage: tools/lib/suite.sh make FOLDER SUITE PACKAGE... | exec FOLDER COMMAND..." ;;
esac
