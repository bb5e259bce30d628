#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# lz4-kernel.sh [SUITE]: packs the stock kernel anew, by LZ4, and prints the path: unpacking XZ is more than half of a boot's time
# in an interpreter like Bochs.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

stock=$("$ROOT/tools/lib/kernel.sh" ${1:+"$1"})/vmlinuz
packed=$BUILD/image${1:+/$1}/vmlinuz-lz4
maker=$ROOT/tools/lib/lz4-kernel.py
unpacker=$ROOT/tools/image/lz4-kernel.asm
mkdir -p "$(dirname "$packed")"
hold "$packed.lock" "the kernel that is packed by LZ4"
key=$(inputs_key "$maker" "$unpacker" "$stock")
if ! is_current "$packed" "$key"; then
	say "Packing the kernel by LZ4"
	logged "$BUILD/logs/lz4-kernel.log" "$maker" "$stock" "$unpacker" "$packed"
	mark_current "$packed" "$key"
fi
printf '%s\n' "$packed"
