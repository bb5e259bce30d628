#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Unmodified operating systems to their prompts, the small ones; Debian has a test of its own.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests

# guest NAME REGEX [tools/run option...]
guest() {
	local guest=$1 regex=$2
	shift 2
	check "$guest" "$ROOT/tools/run" --no-build --keel noclear "$ROOT/guests/$guest.json" --expect "$regex" --patience 300 \
		--logs "$logs/$guest" "${packing[@]}" "$@" "${run_options[@]}"
}

guest tiny 'GUEST-UP [0-9.]+'
guest i386 'GUEST-UP [0-9.]+'
guest ipxe 'iPXE initialising devices'
"$ROOT/tools/lib/guests.sh" "$KEEL_BUILD/guests/grub.iso" "$KEEL_BUILD/guests/memtest.iso"
printf '%s\n' "$(cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/menu-guest.sh")" >"$TESTS/guests-menu"
boot menu 500 "$TESTS/guests-menu" --file "$KEEL_BUILD/guests/grub.iso:/keel-test/grub.iso" \
	--file "$KEEL_BUILD/guests/memtest.iso:/keel-test/memtest.iso" --file "$TESTS/boot-disk.bin:/keel-test/boot-disk.img"
judge menu
sed "s|[^\"]*/tiny.iso|$KEEL_BUILD/guests/media.iso|" "$ROOT/guests/tiny.json" >"$TESTS/tiny.json"
{
	printf 'manifest=%q\n' "$TESTS/tiny.json"
	cat "$ROOT/tests/integration/console.sh" "$ROOT/tests/integration/pair-guest.sh"
} >"$TESTS/guests-pair"
boot pair 500 "$TESTS/guests-pair" "$TESTS/tiny.json" --smp 2 --file "$TESTS/spin.bin:/keel-test/spin.bin" \
	--file "$ROOT/tests/integration/media-guest.sh:/keel-test/media"
judge pair
finish
