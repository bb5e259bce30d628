#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A control domain that is interrupted all the time. One boot.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
files=()
for file in hostile-port.bin modes.bin blob timer; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done
boot storm 600 "$ROOT/tests/integration/storm-guest.sh" --smp 1 --memory 1G "${files[@]}"
judge storm
finish
