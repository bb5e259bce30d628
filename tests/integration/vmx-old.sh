#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Guests on a processor with Intel VMX that does not deliver interrupts by itself, by Bochs: TPR shadow and windows.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator bochs --cpu corei7_sandy_bridge_2600k --patience 1200"
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
files=(--file "$TESTS/blob:/keel-test/blob")
{
	grep -v 'tests: end' "$(script_for tiny tiny)"
	for guest in apic tpr smp ioapic ipi nest; do
		files+=(--file "$TESTS/$guest.bin:/keel-test/$guest.bin")
		printf 'check "guest %s" /keel-test/blob --vcpus 4 --timeout 60 --expect "%s: ok" /keel-test/%s.bin\n' \
			"$guest" "$guest" "$guest"
	done
	printf 'echo "tests: end"\n'
} >"$TESTS/$name-guests"
boot guests 350 "$TESTS/$name-guests" "${files[@]}" "$ROOT/guests/tiny.json"
judge guests
finish
