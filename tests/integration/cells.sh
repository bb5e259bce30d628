#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Hostile cells: a hypervisor with another cell inside, and a VM for each thing that this cell does wrong. One boot.
# timeout: 240
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
# The same host image with the other hypervisor.
host=$TESTS/host
mkdir -p "$host/image/iso"
cp -a "$KEEL_BUILD/image/iso/." "$host/image/iso/"
cp "$TESTS/keel-hostile.elf" "$host/image/iso/boot/keel.elf"
cp "$TESTS/keel-hostile.elf" "$host/keel.elf"
grub-mkrescue -o "$host/image/host.iso" "$host/image/iso" -- -volid KEEL >"$KEEL_BUILD/logs/cells-image.log" 2>&1 ||
	die "no host image, see $KEEL_BUILD/logs/cells-image.log"
KEEL_BUILD=$host boot cells 180 "$ROOT/tests/integration/cells-guest.sh" --smp 2 --memory 1G \
	--file "$TESTS/cells:/keel-test/cells"
judge cells
finish
