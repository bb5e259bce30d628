#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The same image by UEFI: the control domain comes up, knows its firmware and has a frame buffer.
# timeout: 150
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
script=$TESTS/uefi-script
{
	sed '/^echo "tests: end"$/d' "$ROOT/tests/integration/control-guest.sh"
	cat <<'TEXT'
check "the kernel knows that it was booted by UEFI" [ -d /sys/firmware/efi ]
check "ACPI's tables were found" grep -q ACPI /proc/interrupts /proc/iomem
check "there is a frame buffer" sh -c 'dmesg | grep -qiE "efifb|simple-framebuffer|simplefb|Console: colour (dummy|frame)"'
echo "tests: end"
TEXT
} >"$TESTS/uefi-body"
{ printf 'CPUS=2 CYCLES=\n'; cat "$TESTS/uefi-body"; } >"$script"
boot uefi 120 "$script" --uefi --smp 2
judge uefi
finish
