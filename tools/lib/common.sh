# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# common.sh: what the scripts of tools/ share: folders, progress messages, locks, options, rebuilding by inputs. To be sourced.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(realpath -ms -- "${KEEL_BUILD:-$ROOT/build}")
# shellcheck disable=SC2034
CACHE=$BUILD/cache
# Who waits for a lock is told this: what a person has started, and not the script of ours that happens to hold it.
export KEEL_INVOKED=${KEEL_INVOKED:-"pid $$ since $(date +%T), ${0##*/}${*:+ $*}"}

said=
say() {
	said=$*
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

# A folder for work that is thrown away, without a character in its path that a program of others' stumbles over.
temporary_folder() {
	[[ ${TMPDIR:-/tmp} != *[[:space:],:]* ]] || local -x TMPDIR=/tmp
	mktemp -d
}

# last_line LOG: that says something, without what a terminal would take for commands.
last_line() {
	{ tail -n 20 "$1" 2>/dev/null | tr -cd '[:print:]\n' | grep '[^ ]' || true; } | tail -n 1
}

# As much as a line has room for. The cursor stays at its start: what comes next is written over it.
show_in_place() {
	local columns
	columns=$(stty size <&2 2>/dev/null | cut -d' ' -f2)
	[ "${columns:-0}" -gt 1 ] || columns=80
	printf '\r%s\033[K\r' "${1:0:$((columns - 1))}" >&2
}

# tick SECONDS TEXT LOG: tells of a wait that has lasted so long and is not over: where its log is after ten seconds, and how long
# it has been, on a terminal with each call, in a line of its own, else each minute. To be called often.
tick_due=10
tick() {
	local last=
	if [ "$1" -ge "$tick_due" ]; then
		[ ! -t 2 ] || printf '\r\033[K' >&2
		printf '==> %s: %d s so far%s\n' "$2" "$1" "${3:+, log: $3}" >&2
		tick_due=$(($1 < 60 ? 60 : $1 + 60))
		[ ! -t 2 ] || tick_due=1000000
	fi
	if [ -t 2 ]; then
		[ -z "$3" ] || last=$(last_line "$3")
		show_in_place "$2: $1 s${last:+ (${last:0:50})}"
	fi
}

# Ends a line that tick has left on a terminal.
tick_over() {
	tick_due=10
	[ ! -t 2 ] || printf '\033[K' >&2
}

# start_ticker TEXT [LOG]: ticks in the background, until stop_ticker or the end of this script. Reading from a pipe into which
# nobody writes is a sleep without a process that would outlive it.
start_ticker() {
	(
		exec >/dev/null
		trap 'exit 0' TERM
		start=$SECONDS
		while read -rt 1 <> <(:) || kill -0 $$ 2>/dev/null; do
			tick $((SECONDS - start)) "$1" "${2:-}"
		done
	) &
	ticker=$!
}

stop_ticker() {
	kill "$ticker" 2>/dev/null || true
	wait "$ticker" 2>/dev/null || true
	tick_over
}

# Runs a command quietly; its output is shown when it fails. The first argument is the log's path.
logged() {
	local log=$1 status=0
	shift
	mkdir -p "$(dirname "$log")"
	start_ticker "${said:-$1}" "$log"
	"$@" >"$log" 2>&1 || status=$?
	stop_ticker
	if [ "$status" -ne 0 ]; then
		cat "$log" >&2
		die "failed with status $status: $* (log: $log)"
	fi
}

# supervised COMMAND...: waits for a command in such a way that a trap for signals has its turn at once, and may end it.
supervised() {
	local status=0
	# A fresh machine may lack what that is written in.
	[ -x /usr/bin/python3 ] || "$ROOT/tools/lib/packages.sh"
	"$ROOT/tools/lib/supervise.py" --owner $$ "$@" &
	step=$!
	wait "$step" || status=$?
	step=
	return "$status"
}

# Ends what runs "supervised", with all that came of it.
step=
stop_step() {
	[ -n "$step" ] || return 0
	kill "$step" 2>/dev/null || true
	wait "$step" 2>/dev/null || true
	step=
}

# claim FILE: takes the file's lock until the end of this script and of what it starts. False: somebody else has it, see holder.
claim() {
	local lock
	mkdir -p "$(dirname "$1")"
	exec {lock}>>"$1"
	if ! flock -n "$lock"; then
		exec {lock}>&-
		return 1
	fi
	printf '%s\n' "$KEEL_INVOKED" >"$1"
}

# holder FILE: who has its lock.
holder() {
	head -n 1 "$1" | tr -cd '[:print:]'
}

# hold FILE WHAT: claims it, and waits for it if need be.
hold() {
	claim "$1" && return
	say "Waiting for $2, which is in use by another run: $(holder "$1")"
	start_ticker "Waiting for $2"
	until claim "$1"; do
		sleep 0.3
	done
	stop_ticker
}

# is_configured FOLDER SOURCE: whether CMake has prepared the folder to build that source. In a copied or moved tree it would
# build the files of the other tree: what it knows is removed then, so that everything is built anew.
is_configured() {
	local folder=$1 home place
	[ -e "$folder/CMakeCache.txt" ] || return 1
	home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:[A-Z]*=//p' "$folder/CMakeCache.txt")
	place=$(sed -n 's/^CMAKE_CACHEFILE_DIR:[A-Z]*=//p' "$folder/CMakeCache.txt")
	if [ ! "$home" -ef "$2" ] || [ ! "$place" -ef "$folder" ]; then
		say "$folder comes from another tree, of the sources in $home: building it anew"
		rm -rf "$folder"/{CMakeCache.txt,CMakeFiles,build.ninja,.ninja_log,.ninja_deps,compile_commands.json}
		return 1
	fi
	[ -e "$folder/build.ninja" ]
}

# distance WORD WORD: how many letters to change, add, leave out or exchange with their neighbour make one of the other.
distance() {
	awk -v a="$1" -v b="$2" 'BEGIN {
		for (i = 0; i <= length(a); i++)
			for (j = 0; j <= length(b); j++) {
				x = substr(a, i, 1)
				y = substr(b, j, 1)
				best = !i ? j : !j ? i : d[i - 1, j - 1] + (x != y)
				if (i && d[i - 1, j] + 1 < best) best = d[i - 1, j] + 1
				if (j && d[i, j - 1] + 1 < best) best = d[i, j - 1] + 1
				if (i > 1 && j > 1 && x == substr(b, j - 1, 1) && y == substr(a, i - 1, 1) &&
				    d[i - 2, j - 2] + 1 < best)
					best = d[i - 2, j - 2] + 1
				d[i, j] = best
			}
		print d[length(a), length(b)]
	}'
}

# meant WORD KNOWN...: ", did you mean ...?" if one of those that are known is like the word.
meant() {
	local word=$1 known closest='' best=3 between
	shift
	for known in "$@"; do
		between=$(distance "$word" "$known")
		if [ "$between" -lt "$best" ] && [ "$between" -lt "${#word}" ]; then
			best=$between closest=$known
		elif [ -z "$closest" ] && [ "${#word}" -gt 4 ] && [[ $known = "$word"* ]]; then
			closest=$known
		fi
	done
	[ -z "$closest" ] || printf ', did you mean %s?' "$closest"
}

# take_option WITH WITHOUT WORD [NEXT]: takes an option apart, one of those (with an argument, without) in two lists. Sets option,
# value, and taken: whether the argument was in the next word.
take_option() {
	# shellcheck disable=SC2034
	option=${3%%=*} value='' taken=no
	if [[ " $1 " = *" $option "* ]]; then
		# shellcheck disable=SC2034
		value=${3#*=}
		if [[ $3 != *=* ]]; then
			[ $# -ge 4 ] || die "$option needs an argument (--help shows the options)"
			# shellcheck disable=SC2034
			value=$4 taken=yes
		fi
	elif [[ " $2 " = *" $option "* ]]; then
		[[ $3 != *=* ]] || die "$option takes no argument"
	else
		# shellcheck disable=SC2086
		die "unknown option $option$(meant "$option" $1 $2) (--help shows the options)"
	fi
}

# cpu_time PID: sets "ticks" to the processor time of a process and of those below it, in hundredths of a second.
cpu_time() {
	local stat file child children
	ticks=0
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	read -ra stat <<<"${stat##*) }"
	local sum=$((stat[11] + stat[12] + stat[13] + stat[14]))
	for file in "/proc/$1/task/"*/children; do
		children=()
		# There is no new line at the end.
		read -ra children 2>/dev/null <"$file" || true
		for child in "${children[@]}"; do
			cpu_time "$child"
			sum=$((sum + ticks))
		done
	done
	ticks=$sum
}

# Patience with a program on a machine that others use, too: what counts is the processor time that it gets, but not more than
# passes meanwhile. For one that waits for ever there is an end by the clock, at this multiple.
patience_factor=6

# start_patience PID; then spend_patience, often, which sets "patience_spent" and "patience_passed", in hundredths of a second.
start_patience() {
	patience_process=$1 patience_spent=0 patience_passed=0
	cpu_time "$patience_process"
	patience_ticks=$ticks patience_start=$((${EPOCHREALTIME/[.,]/} / 10000))
}

spend_patience() {
	local before=$patience_passed used
	cpu_time "$patience_process"
	patience_passed=$((${EPOCHREALTIME/[.,]/} / 10000 - patience_start))
	used=$((ticks - patience_ticks))
	[ "$used" -le $((patience_passed - before)) ] || used=$((patience_passed - before))
	[ "$used" -le 0 ] || patience_spent=$((patience_spent + used))
	patience_ticks=$ticks
}

# out_of_patience SECONDS
out_of_patience() {
	[ "$patience_spent" -ge $(($1 * 100)) ] || [ "$patience_passed" -ge $(($1 * 100 * patience_factor)) ]
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
