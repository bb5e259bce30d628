#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The same image by UEFI: the control domain comes up, knows its firmware and has a frame buffer.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
packing=()
script=$TESTS/uefi-script
{
	sed '/^echo "tests: end"$/d' "$ROOT/tests/integration/control-guest.sh"
	cat <<'TEXT'
check "the kernel knows that it was booted by UEFI" [ -d /sys/firmware/efi ]
check "ACPI's tables were found" grep -q ACPI /proc/interrupts /proc/iomem
check "there is a frame buffer" [ -c /dev/fb0 ]

# The firmware makes this variable if it can clear memory at a reset, and sets it to 0 at each start. This one does not know of
# it.
mount_variables() {
	insmod /keel-test/efivarfs.ko && mount -t efivarfs none /sys/firmware/efi/efivars
}
variable=/sys/firmware/efi/efivars/MemoryOverwriteRequestControl-e20939be-32d4-41be-a150-897f85d49829
drivers_word() {
	dmesg | grep 'keel: the firmware' | tail -n 1 | grep "$1"
}
check "the firmware's variables are there" mount_variables
check "nothing is asked of a firmware that does not clear memory" drivers_word "does not offer"
check "the driver makes no variable" [ ! -e "$variable" ]
echo "tests: end"
TEXT
} >"$TESTS/uefi-body"
{ printf 'CPUS=2 CYCLES=\n'; cat "$TESTS/uefi-body"; } >"$script"
modules=$("$ROOT/tools/lib/kernel.sh")/modules
boot uefi 240 "$script" --uefi --smp 2 --file "$(find "$modules" -name efivarfs.ko):/keel-test/efivarfs.ko"
judge uefi
finish
