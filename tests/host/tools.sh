# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016,SC2034
# tools.sh: a stand-in for the emulator in front of it in PATH, and a build that has what tools/run wants to see. To be sourced,
# behind common.sh.
: "${WORK:?a test sources this behind common.sh}"

# ends_with STATUS PATTERN COMMAND...: the command's status, and what its last line matches.
ends_with() {
	local status=0 wanted=$1 pattern=$2
	shift 2
	timeout -k 5 60 "$@" >"$WORK/output" 2>&1 </dev/null || status=$?
	tail -n 5 "$WORK/output"
	echo "status $status"
	[ "$status" -eq "$wanted" ] && tail -n 1 "$WORK/output" | grep -E -- "$pattern"
}

# The stand-in: MACHINE is a shell command, which has the logs in $host and $guest.
make_machine() {
	cat >"$WORK/bin/qemu-system-x86_64" <<'MACHINE'
#!/bin/bash
files=()
for word in "$@"; do
	case $word in
	--version)	echo "QEMU's stand-in"; exit ;;
	file:*)		files+=("${word#file:}") ;;
	*logfile=*)	guest=${word##*logfile=} ;;
	*,path=*)	host=${word##*,path=} ;;
	esac
done
host=${host:-${files[0]}} guest=${guest:-${files[1]}}
echo $$ >>"$MACHINE_PIDS"
eval "$MACHINE"
MACHINE
	chmod +x "$WORK/bin/qemu-system-x86_64"
}

# A tree's build that has all that --no-build wants.
make_build() {
	mkdir -p "$1/image" "$1/guests"
	touch "$1/image/host.iso"
	printf '{ "version": 1, "name": "none" }\n' >"$WORK/a manifest.json"
}

# Without a build, by the stand-in.
run=("$ROOT/tools/run" --no-build "$WORK/a manifest.json")

# The machine may be busy with other tests.
machine_starts() {
	local _
	for _ in $(seq 600); do
		[ ! -s "$MACHINE_PIDS" ] || return 0
		sleep 0.1
	done
	return 1
}

no_machine_left() {
	local pid
	while read -r pid; do
		! kill -0 "$pid" 2>/dev/null || { echo "the emulator $pid is still there"; return 1; }
	done <"$MACHINE_PIDS"
	[ -s "$MACHINE_PIDS" ]
}

make_machine
make_build "$WORK/a build"
export KEEL_BUILD="$WORK/a build" MACHINE MACHINE_PIDS="$WORK/pids"
: >"$MACHINE_PIDS"

