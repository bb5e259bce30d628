#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Debian by hand: log in, reboot from inside, find what was written, power off.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
{ printf 'REBOOTS=yes\n'; cat "$(script_for debian debian)"; } >"$TESTS/$name-twice"
boot debian 2500 "$TESTS/$name-twice" "$ROOT/guests/debian.json" --smp 2
judge debian
finish
