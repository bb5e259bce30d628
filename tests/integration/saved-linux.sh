#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Linux with its drivers is saved while it runs, loaded into a fresh VM, and goes on there; and so once more.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/media.iso" >"$logs/guests.log" 2>&1 ||
	die "no guest image, see $logs/guests.log"
boot saved 600 "$ROOT/tests/integration/saved-linux-guest.sh" --memory 2G \
	--file "$TESTS/saved-linux:/keel-test/saved-linux" --file "$KEEL_BUILD/guests/media.iso:/keel-test/media.iso"
judge saved
finish
