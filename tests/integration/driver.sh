#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver and the hypervisor below it: ABI, bare guests, hostile guests, a hostile kernel module. One boot.
# timeout: 300
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
module=$(build_module "$ROOT/tests/integration/hostile") || exit 1
files=(--file "$module:/keel-test/hostile.ko")
for file in "$TESTS"/*.bin "$TESTS/blob" "$TESTS/abi" "$TESTS/dirty" "$TESTS/timer"; do
	files+=(--file "$file:/keel-test/$(basename "$file")")
done
boot driver 240 "$ROOT/tests/integration/driver-guest.sh" --smp 2 --memory 1G --append "iomem=relaxed" "${files[@]}"
judge driver
finish
