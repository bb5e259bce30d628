#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Mappings that change after the start: a hypervisor whose cell has a card with memory behind its BARs, and a guest that moves
# them while its other processors write there. One boot, whose processors run at the same time: taking turns, each finds an
# interrupt that was due when its turn comes, and is out of the guest before it can write to an address of before.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
{ printf 'ROUNDS=%s\n' "${ROUNDS:-60}"; cat "$ROOT/tests/integration/apertures-guest.sh"; } >"$TESTS/$name-rounds"
boot apertures 300 "$TESTS/$name-rounds" --smp 2 --memory 1G \
	--accel tcg,thread=multi --hypervisor "$TESTS/keel-aperture.elf" \
	--file "$TESTS/apertures:/keel-test/apertures" --file "$TESTS/aperture.bin:/keel-test/aperture.bin"
judge apertures
finish
