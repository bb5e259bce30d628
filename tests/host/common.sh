# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# common.sh: the built keel and keel-dm over a stand-in for /dev/keel (standin.c says what it understands), in a folder of this
# test. Any machine does; no root is needed, no guest runs. To be sourced.

ROOT=${ROOT:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
KEEL_BUILD=${KEEL_BUILD:-$ROOT/build}
name=host-$(basename "$0" .sh)
passed=0 failed=0
WORK=$(mktemp -d "${TMPDIR:-/tmp}/keel-$name.XXXXXX") || exit
export KEEL_RUN_DIR=$WORK/run KEEL_LOG_DIR=$WORK/log KEEL_DM=$WORK/bin/keel-dm PATH=$WORK/bin:$PATH

die() {
	printf '%s: %s\n' "$name" "$*" >&2
	exit 1
}

# check NAME COMMAND...
check() {
	local what=$1
	shift
	if "$@" >"$WORK/check.log" 2>&1; then
		printf 'ok - %s\n' "$what"
		passed=$((passed + 1))
	else
		printf 'not ok - %s: %s\n' "$what" "$*"
		sed 's/^/    /' "$WORK/check.log"
		failed=$((failed + 1))
	fi
}

finish() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

# exits STATUS COMMAND...: whether the command ends with this status.
exits() {
	local expected=$1 status=0
	shift
	"$@" || status=$?
	[ "$status" -eq "$expected" ] || { printf 'status %d\n' "$status"; return 1; }
}

# says PATTERN COMMAND...: whether its output, of both kinds, has the extended regular expression; however it ends.
says() {
	local pattern=$1
	shift
	"$@" >"$WORK/says.log" 2>&1 || true
	grep -aEq -- "$pattern" "$WORK/says.log" || { cat "$WORK/says.log"; return 1; }
}

# soon COMMAND...: whether it succeeds within half a minute, which is soon on a machine that does other things, too.
soon() {
	local _
	for _ in $(seq 600); do
		"$@" >/dev/null 2>&1 && return 0
		sleep 0.05
	done
	"$@"
}

# never COMMAND...: whether it fails.
never() {
	! "$@"
}

# manifest NAME [MEMBER...]: $WORK/NAME.json of a small guest with these members more, such as '"vcpus": 2'.
manifest() {
	local guest=$1 member
	shift
	{
		printf '{ "version": 1, "name": "%s", "memory": "16M"' "$guest"
		for member in "$@"; do
			printf ', %s' "$member"
		done
		printf ' }\n'
	} >"$WORK/$guest.json"
	mkdir -p "$WORK/guests/$guest"
}

# fake_passt: networks in user mode have passt.py behind them, which tells of its files: $WORK/passt-*. A guest's process has an
# environment of its own.
fake_passt() {
	mkdir -p "$WORK/fake"
	cp "$ROOT/tests/host/passt.py" "$WORK/fake/passt"
	sed -i "2i export PATH=$WORK/fake:\$PATH PASST_FOLDER=$WORK" "$WORK/bin/keel-dm"
}

# order NAME ORDER: what the guest does next.
order() {
	printf '%s\n' "$2" >>"$WORK/guests/$1/orders"
}

# forget NAME: a guest that starts anew does nothing that was ordered before.
forget() {
	rm -f "$WORK/guests/$1/orders" "$WORK/guests/$1/notes"
}

# noted NAME PATTERN [COUNT]: whether so many lines (at least one) of what reached the guest are this, soon.
noted() {
	soon has_lines "$WORK/guests/$1/notes" "$2" "${3:-1}"
}

has_lines() {
	[ "$(grep -acE -- "^($2)\$" "$1")" -ge "$3" ]
}

# preload FILE PROGRAM FOLDER: a script that runs the program with the stand-in. FOLDER is a shell word.
preload() {
	cat >"$1" <<END
#!/bin/sh
for last; do :; done
mkdir -p $3
export LD_PRELOAD=$(printf %q "$standin") STANDIN=$3
exec $(printf %q "$2") "\$@"
END
	chmod +x "$1"
}

# shellcheck disable=SC2317
clean_up() {
	local pid
	for pid in "$KEEL_RUN_DIR"/*/pid; do
		[ ! -s "$pid" ] || kill -KILL "$(cat "$pid")" 2>/dev/null || true
	done
	rm -rf "$WORK"
}

trap clean_up EXIT
standin=$KEEL_BUILD/tests/host/standin.so
for file in "$standin" "$KEEL_BUILD/tools/keel/keel" "$KEEL_BUILD/devmodel/host/keel-dm"; do
	[ -e "$file" ] || die "$file is missing: build it first (tools/lib/build.sh)"
done
chmod 755 "$WORK"
mkdir -p "$WORK/bin" "$WORK/host" "$WORK/guests" "$KEEL_RUN_DIR" "$KEEL_LOG_DIR"
preload "$WORK/bin/keel" "$KEEL_BUILD/tools/keel/keel" "$WORK/host"
# A guest's folder is called as its manifest is.
preload "$WORK/bin/keel-dm" "$KEEL_BUILD/devmodel/host/keel-dm" "$WORK/guests/\$(basename \"\$last\" .json)"
