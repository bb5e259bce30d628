# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# common.sh: builds what the tests take along, boots the host with a script, and turns its output into a verdict. To be sourced.
#
# A test is a script that runs in the control domain and prints "ok - NAME" or "not ok - NAME: WHY" for each check. Its end is
# known by a line "tests: end". The host side prints these lines and a count.
#
# Patience is counted in the emulator's processor time (tools/lib/common.sh), for others may use the machine, too. A guest's clock
# goes on meanwhile: what waits in there multiplies its time by KEEL_PATIENCE.

# shellcheck source=tools/lib/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tools/lib/common.sh"
KEEL_BUILD=$BUILD
export ROOT KEEL_BUILD
TESTS=$KEEL_BUILD/integration
name=$(basename "$0" .sh)
logs=$KEEL_BUILD/logs/$name
passed=0 failed=0
# More options for tools/run, which win over a test's own: KEEL_RUN_OPTIONS="--emulator bochs --patience 400"
read -ra run_options <<<"${KEEL_RUN_OPTIONS:-}"
# Of them "--suite SUITE" says which kernel the control domain has; none: that of the installed headers.
suite=$(sed -nE 's/^(.* )?--suite ([a-z]+).*/\2/p' <<<"${KEEL_RUN_OPTIONS:-}")

die() {
	printf '%s: %s\n' "$name" "$*" >&2
	exit 1
}

# check NAME COMMAND...: on the host's side.
check() {
	local what=$1
	shift
	if "$@" >/dev/null 2>&1; then
		printf 'ok - %s\n' "$what"
		passed=$((passed + 1))
	else
		printf 'not ok - %s: %s\n' "$what" "$*"
		failed=$((failed + 1))
	fi
}

finish() {
	printf '%d passed, %d failed\n' "$passed" "$failed"
	[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
	exit
}

# One that is started by hand beside another would write its logs.
claim "$logs.lock" ||
	die "another run of this test has $logs: $(holder "$logs.lock"). Wait for its end, or name another KEEL_BUILD"

# By Bochs' clock time passes with the instructions that it carries out.
guest_patience=$patience_factor
[[ " ${KEEL_RUN_OPTIONS:-} " != *" --emulator bochs "* ]] || guest_patience=1

# One test at a time: they run side by side.
build_tests() {
	local log=$KEEL_BUILD/logs/integration-build.log
	mkdir -p "$KEEL_BUILD/logs" "$logs" "$TESTS"
	(
		hold "$TESTS/lock" "the build of the tests"
		{
			{ is_configured "$TESTS" "$ROOT/tests/integration" ||
				cmake -S "$ROOT/tests/integration" -B "$TESTS" -G Ninja; } &&
				cmake --build "$TESTS" &&
				{ [ -z "$suite" ] || "$ROOT/tools/lib/image.sh" --suite "$suite"; }
		} >"$log" 2>&1 || { tail -n 30 "$log"; die "the build failed, see $log"; }
	) || exit 1
	[ -e "$KEEL_BUILD/image/host.iso" ] || die "no host image: run tools/lib/build.sh"
}

# build_module FOLDER: a kernel module for the control domain's kernel; prints its path.
build_module() {
	local source=$1 work
	work=$TESTS/$(basename "$source")${suite:+-$suite}
	(
		hold "$TESTS/lock" "the build of the tests"
		mkdir -p "$work/include/keel"
		cp -u "$source"/* "$work/"
		cp -u "$ROOT"/include/keel/*.h "$work/include/keel/"
		"$ROOT/tools/lib/kernel-make.sh" "${suite:-amd64}" "$work" >"$KEEL_BUILD/logs/$name-module.log" 2>&1 ||
			die "the module does not build, see $KEEL_BUILD/logs/$name-module.log"
	) || exit 1
	printf '%s\n' "$work/$(basename "$source").ko"
}

# address_of IMAGE SYMBOL
address_of() {
	nm "$1" | awk -v name="$2" '$3 == name { print "0x" $1 }'
}

# file_offset IMAGE ADDRESS: where the image has the byte of this virtual address.
file_offset() {
	local type offset virtual physical size rest
	while read -r type offset virtual physical size rest; do
		if (($2 - virtual >= 0 && $2 - virtual < size)); then
			printf '%d\n' $(($2 - virtual + offset))
			return
		fi
	done < <(readelf -lW "$1" | grep '^ *LOAD')
	die "$2 is not in $1"
}

# overwrite IMAGE SYMBOL BYTES: puts these bytes, in printf's notation, where a copy of keel.elf has the symbol.
overwrite() {
	# shellcheck disable=SC2059
	printf "$3" | dd of="$1" bs=1 seek="$(file_offset "$1" "$(address_of "$1" "$2")")" conv=notrunc status=none
}

# machine_shows LABEL PATTERN QEMU-OPTION...: boots a machine of its own until its serial port, in $logs/LABEL.log, shows the
# pattern.
machine_shows() {
	local log=$logs/$1.log pattern=$2 pid found=1
	shift 2
	mkdir -p "$logs"
	: >"$log"
	qemu-system-x86_64 -machine pc -accel tcg -m 1G -display none -net none -no-reboot -monitor none -boot d \
		-serial "file:$log" "$@" </dev/null >/dev/null 2>&1 &
	pid=$!
	start_patience "$pid"
	until out_of_patience 100 || ! kill -0 "$pid" 2>/dev/null; do
		grep -aEq -- "$pattern" < <(tr -d '\r' <"$log") && found=0 && break
		sleep 0.3
		spend_patience
	done
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	return $found
}

# script_for TEST GUEST: TEST-guest.sh as a script for the control domain, with a guest's manifest in $manifest.
script_for() {
	local script=$TESTS/$name-$1
	printf 'manifest=%q\n' "$ROOT/guests/$2.json" >"$script"
	cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/$1-guest.sh" >>"$script"
	printf '%s\n' "$script"
}

# Most tests take a kernel that starts sooner than Debian's own; "packing=()" takes that.
packing=(--lz4)

# boot LABEL SECONDS SCRIPT [tools/run option...]: runs the script in the control domain. Its lines are in $logs/LABEL/host.log.
# Clearing memory is left out where a test does not ask for it (--keel clear): an emulator takes a second for each gibibyte.
boot() {
	local label=$1 seconds=$2 script=$3
	shift 3
	mkdir -p "$logs/$label"
	rm -f "$logs/$label/host.log"
	"$ROOT/tools/run" --no-build --keel noclear --command "export KEEL_PATIENCE=$guest_patience; . /keel-test/script" \
		--file "$script:/keel-test/script" --expect 'tests: end$' --patience "$seconds" --logs "$logs/$label" \
		"${packing[@]}" "$@" "${run_options[@]}" >"$logs/$label/run.log" 2>&1
}

# monitor LABEL TEXT SECONDS COMMAND: gives a boot's emulator this command so long after its script has said that. How long that
# may take is the boot's to know.
monitor() {
	until grep -aq "$2" "$logs/$1/host.log" 2>/dev/null; do
		kill -0 $$ 2>/dev/null || return
		sleep 0.5
	done
	sleep "$3"
	echo "$4" | socat - "UNIX-CONNECT:$(readlink -f "$logs/$1/monitor")" >"$logs/$1-monitor.log"
}

# Counts and prints the checks of a boot. One that does not come to its end is a failure.
judge() {
	local label=$1 log=$logs/$1/host.log line
	while IFS= read -r line; do
		printf '%s\n' "$line"
		case $line in
		"ok - "*)	passed=$((passed + 1)) ;;
		*)		failed=$((failed + 1)) ;;
		esac
	done < <(tr -d '\r' <"$log" | grep -aoE '(not )?ok - .*')
	check "$label: came to its end" grep -aq 'tests: end' "$log"
	if ! grep -aq 'tests: end' "$log"; then
		tail -n 1 "$logs/$label/run.log"
		printf 'the last of what it said:\n'
		tail -n 20 "$log" | tr -cd '[:print:]\t\n' | sed 's/^/| /'
	fi
	[ "$failed" -eq 0 ] || printf 'see %s\n' "$log"
}
