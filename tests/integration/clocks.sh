#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What Linux guests make of their clocks: they are told the TSC's frequency and measure nothing, with ACPI and without.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/tiny.iso" "$KEEL_BUILD/guests/noacpi.iso"
printf '%s\n' "$(cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/clocks-guest.sh")" >"$TESTS/guests-clocks"
boot clocks 600 "$TESTS/guests-clocks" --file "$KEEL_BUILD/guests/tiny.iso:/keel-test/tiny.iso" \
	--file "$KEEL_BUILD/guests/noacpi.iso:/keel-test/noacpi.iso"
judge clocks
finish
