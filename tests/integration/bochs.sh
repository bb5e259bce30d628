# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# bochs.sh: the control domain on two processors, and the guest tiny. To be sourced, with KEEL_RUN_OPTIONS set.

# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
{ printf 'CPUS=2 CYCLES=2\n'; cat "$ROOT/tests/integration/control-guest.sh"; } >"$TESTS/$name-control"
boot control 250 "$TESTS/$name-control" --smp 2 --file "$TESTS/perf:/keel-test/perf"
judge control
# shellcheck source=tests/integration/bochs-tiny.sh
. "$(dirname "$0")/bochs-tiny.sh"
