#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# checkelf.sh ELF: fails unless the hypervisor's image is what GRUB can load and what its own page tables assume: fixed
# addresses in one 2 MiB page, no SSE or x87, nothing writable and executable but the start-up part.
set -eu
elf=$1
export LC_ALL=C

# arch/x86/image.h and keel.ld: loaded at 2 MiB, below 4 MiB.
load_start=$((0x200000))
load_end=$((0x400000))
multiboot2_magic=e85250d6
multiboot2_reach=32768

fail() {
	echo "$elf: $1" >&2
	exit 1
}

if objdump -d --no-show-raw-insn "$elf" | grep -E '%([xyz]?mm[0-9]|st\b|k[0-7]\b)' >&2; then
	fail "uses SSE, MMX or x87 registers"
fi
[ -z "$(nm --undefined-only "$elf")" ] || fail "undefined symbols"
if readelf -rW "$elf" | grep -q 'Relocation section'; then
	fail "has relocations"
fi
readelf -hW "$elf" | grep -q 'Type: *EXEC' || fail "not linked to fixed addresses"
if readelf -SW "$elf" | grep -E ' WAX ' | grep -qv ' \.boot '; then
	fail "a section is writable and executable"
fi
readelf -lW "$elf" | awk '$1 == "LOAD" { print $4, $6 }' | while read -r start bytes; do
	if [ $((start)) -lt "$load_start" ] || [ $((start + bytes)) -gt "$load_end" ]; then
		fail "a segment lies outside of its 2 MiB: $start, $bytes bytes"
	fi
done
od -An -v -t x4 -w8 -N $multiboot2_reach "$elf" | grep -q "^ $multiboot2_magic" || fail "no multiboot2 header"
