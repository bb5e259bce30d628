#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A guest is stopped and saved while it runs, loaded into a fresh VM, and goes on in both.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
boot saved 300 "$ROOT/tests/integration/saved-guest.sh" --memory 1G \
	--file "$TESTS/saved:/keel-test/saved" --file "$TESTS/saved.bin:/keel-test/saved.bin" \
	--file "$TESTS/saved-smp.bin:/keel-test/saved-smp.bin"
judge saved
finish
