# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# bochs.sh: the control domain on two processors, and the guest tiny. To be sourced, with KEEL_RUN_OPTIONS set.

# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
{
	printf 'CPUS=2 CYCLES=2\n'
	grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
	cat "$ROOT/tests/integration/bochs-guest.sh"
} >"$TESTS/$name-control"
module=$(build_module "$ROOT/tests/integration/hostile") || exit 1
files=(--file "$module:/keel-test/hostile.ko")
for file in perf blob dirty pause.bin debug-int1.bin dirty-gib.bin; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done
boot control 450 "$TESTS/$name-control" --smp 2 --memory 2560M "${files[@]}"
judge control
# shellcheck source=tests/integration/bochs-tiny.sh
. "$(dirname "$0")/bochs-tiny.sh"
