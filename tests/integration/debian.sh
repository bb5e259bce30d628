#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian by hand: log in, power off.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
{ printf 'REBOOTS=\n'; cat "$(script_for debian debian)"; } >"$TESTS/$name-once"
boot debian 2000 "$TESTS/$name-once" "$ROOT/guests/debian.json" --smp 2
judge debian
finish
