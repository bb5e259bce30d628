#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# How often a Linux guest comes out to the control domain, for the end of a halt and for a request of its IDE disk, and what exits
# cost: no more than twice what tools/bench aims at. By the emulator's log and in instructions, the same on a busy machine.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

mkdir -p "$logs"
check "trips to the control domain, and exits" "$ROOT/tools/bench" --quick --timeout 4000 --within 2 trips exits
finish
