#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The process of a guest in the control domain: what it has, and what a fault in it could do, as root's and as a user's.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
script=$TESTS/$name-script
cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/escapes-guest.sh" >"$script"
boot escapes 250 "$script" --smp 2 --memory 1G --file "$TESTS/escapes:/keel-test/escapes"
judge escapes
finish
