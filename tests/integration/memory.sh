#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A big guest on a host with memory above 4 GiB.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
boot memory 700 "$(script_for memory tiny)" "$ROOT/guests/tiny.json" --memory 6G \
	--file "$TESTS/dirty:/keel-test/dirty" --file "$TESTS/dirty-gib.bin:/keel-test/dirty-gib.bin"
judge memory
finish
