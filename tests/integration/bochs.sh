# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# bochs.sh: the control domain on two processors, and guests on one, for two cost an interpreter more than twice the time. To be
# sourced, with KEEL_RUN_OPTIONS set.

# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
module=$(build_module "$ROOT/tests/integration/hostile") || exit 1
# files_of FILE...: as options of tools/run.
files_of() {
	local file
	files=()
	for file in "$@"; do
		files+=(--file "$file:/keel-test/$(basename "$file")")
	done
}

{
	printf 'CPUS=2 CYCLES=2\n'
	grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
	cat "$ROOT/tests/integration/smp-guest.sh"
} >"$TESTS/$name-control"
files_of "$TESTS"/{perf,blob,smp.bin,ipi.bin,share.bin,secret.bin}
boot control 450 "$TESTS/$name-control" --smp 2 "${files[@]}"
judge control

{
	grep -v 'tests: end' "$(script_for tiny tiny)"
	cat "$ROOT/tests/integration/bochs-guest.sh"
} >"$TESTS/$name-guests"
files_of "$module" "$TESTS"/{blob,dirty,pause.bin,debug-int1.bin,dirty-gib.bin}
boot guests 450 "$TESTS/$name-guests" --memory 2560M --expect 'reboot: Power down' "${files[@]}" "$ROOT/guests/tiny.json"
judge guests
check "power-off" grep -aq 'reboot: Power down' "$logs/guests/host.log"
finish
