#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# flat-kernel.sh: makes a bzImage of the stock kernel that need not be unpacked, which in an interpreter like Bochs is more
# than half of a boot's time, and prints its path.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

stock=$("$ROOT/tools/lib/kernel.sh")/vmlinuz
flat=$BUILD/image/vmlinuz-flat
maker=$ROOT/tools/lib/flat-kernel.py
stub=$ROOT/tools/image/flat-kernel.asm
key=$(inputs_key "$maker" "$stub" "$stock")
if ! is_current "$flat" "$key"; then
	say "Unpacking the kernel"
	mkdir -p "$BUILD/image"
	logged "$BUILD/logs/flat-kernel.log" "$maker" "$stock" "$stub" "$flat"
	mark_current "$flat" "$key"
fi
printf '%s\n' "$flat"
