#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The driver and the hypervisor below it: ABI, bare guests, hostile guests, a hostile kernel module. One boot.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
module=$(build_module "$ROOT/tests/integration/hostile") || exit 1
peek=$(build_module "$ROOT/tests/integration/peek") || exit 1
files=(--file "$module:/keel-test/hostile.ko" --file "$peek:/keel-test/peek.ko")
for file in "$TESTS"/*.bin "$TESTS/blob" "$TESTS/abi" "$TESTS/dirty" "$TESTS/timer"; do
	files+=(--file "$file:/keel-test/$(basename "$file")")
done
cat "$ROOT/tests/integration/peek-guest.sh" "$ROOT/tests/integration/driver-guest.sh" >"$TESTS/$name-script"
boot driver 480 "$TESTS/$name-script" --smp 2 --memory 1G --append "iomem=relaxed" "${files[@]}"
judge driver
finish
