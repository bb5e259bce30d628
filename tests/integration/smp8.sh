#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The control domain on eight processors.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
script=$TESTS/control-8
{ printf 'CPUS=8 CYCLES=\n'; cat "$ROOT/tests/integration/control-guest.sh"; } >"$script"
boot eight 300 "$script" --smp 8 --accel tcg,thread=multi
judge eight
finish
