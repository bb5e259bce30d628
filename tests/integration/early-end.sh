#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A control domain that ends before it has a console: the hypervisor says so, and where.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
tree=$TESTS/early
ends=(halt triple refused)
rm -rf "$tree"
mkdir -p "$tree/boot/grub"
cp "$KEEL_BUILD/keel.elf" "$tree/boot/"
{
	printf '%s\n' 'set timeout=0' 'insmod smbios' 'smbios --type 1 --get-string 6 --set default'
	for end in "${ends[@]}"; do
		nasm -f bin "-DEND_${end^^}" -o "$tree/boot/$end" "$ROOT/tests/integration/early/kernel.asm" ||
			die "$end is not assembled"
		printf 'menuentry %s --id %s {\nmultiboot2 /boot/keel.elf keel noclear\nmodule2 /boot/%s quiet\n}\n' \
			"$end" "$end" "$end"
	done
} >"$tree/boot/grub/grub.cfg"
grub-mkrescue -d /usr/lib/grub/i386-pc -o "$TESTS/early.iso" "$tree" >"$logs/grub.log" 2>&1 || die "no image, see $logs/grub.log"

# early END PATTERN: the last line is waited for, so that the others are there.
early() {
	machine_shows "$1" 'plain Linux entry' -cpu max,+svm -cdrom "$TESTS/early.iso" -smbios "type=1,version=$1" &&
		grep -aEq "$2" "$logs/$1.log"
}

check "a halt with interrupts off is told" early halt 'Keel: the control domain halted for good at RIP [0-9a-f]+ before it was up'
check "and what to do" grep -aq 'earlyprintk=.*plain Linux entry' "$logs/halt.log"
check "a triple fault is told" \
	early triple 'Keel: the control domain shut down by a triple fault at RIP [0-9a-f]+ before it was up'
check "and no access that was refused" sh -c '! grep -aq refused "$1"' sh "$logs/triple.log"
check "an access that was refused is told" early refused 'at RIP [0-9a-f]+ it was refused memory that is not its own, at 200000\.'
finish
