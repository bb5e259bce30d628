#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Network cards: two guests with Debian's own drivers, which reach the control domain and each other over its bridge, and one that
# reaches others, and is reached, in user mode.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/network.iso"
script=$TESTS/$name-script
cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/network-guest.sh" >"$script"
boot network 600 "$script" --memory 1G --file "$KEEL_BUILD/guests/network.iso:/keel-test/network.iso" \
	--file "$ROOT/tests/integration/console.sh:/keel-test/console.sh" \
	--file "$ROOT/tests/integration/network-user-guest.sh:/keel-test/user" --file "$(command -v passt):/usr/bin/passt"
judge network
finish
