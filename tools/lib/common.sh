# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# common.sh: what the scripts of tools/ share: folders, progress messages, rebuilding by inputs. To be sourced.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=${KEEL_BUILD:-$ROOT/build}
# shellcheck disable=SC2034
CACHE=$BUILD/cache

say() {
	printf '==> %s\n' "$*" >&2
}

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 2
}

# The suite of Debian that this machine runs.
machine_suite() {
	sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# Runs a command quietly; its output is shown when it fails. The first argument is the log's path.
logged() {
	local log=$1
	shift
	mkdir -p "$(dirname "$log")"
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		die "failed: $* (log: $log)"
	fi
}

# inputs_key WORD|FILE...: a digest over names, sizes and times of the files, and over the words.
inputs_key() {
	local word
	for word in "$@"; do
		if [ -e "$word" ]; then
			stat -L -c '%n %s %y' "$word"
		else
			printf '%s\n' "$word"
		fi
	done | sha256sum | cut -d' ' -f1
}

# is_current TARGET KEY: whether TARGET was last made from inputs with this key.
is_current() {
	[ -e "$1" ] && [ -e "$1.key" ] && [ "$(cat "$1.key")" = "$2" ]
}

mark_current() {
	printf '%s\n' "$2" >"$1.key"
}

# pack_cpio FOLDER ARCHIVE: the folder's contents as an initramfs, everything owned by root.
pack_cpio() {
	(cd "$1" && find . -mindepth 1 -print0 | LC_ALL=C sort -z |
		cpio --null -o -H newc --owner=0:0 --quiet --reproducible) >"$2.new"
	mv "$2.new" "$2"
}
