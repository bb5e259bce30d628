#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Hostile cells: a hypervisor with another cell inside, and a VM for each thing that this cell does wrong. One boot.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
boot cells 300 "$ROOT/tests/integration/cells-guest.sh" --smp 2 --memory 1G --hypervisor "$TESTS/keel-hostile.elf" \
	--file "$TESTS/cells:/keel-test/cells"
judge cells
finish
