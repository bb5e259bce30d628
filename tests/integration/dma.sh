#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A device of the control domain reaches neither Keel nor a guest: IOMMUs of either vendor's, by QEMU's device edu.
# DMA_ROUNDS: how many guests come and go while it reads; if it is set, a VT-d of the other width has its turn, too.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
peek=$(build_module "$ROOT/tests/integration/peek") || exit 1
hostile=$(build_module "$ROOT/tests/integration/hostile") || exit 1
files=(--file "$peek:/keel-test/peek.ko" --file "$hostile:/keel-test/hostile.ko")
for file in blob dma secret.bin hello.bin; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done

# machine LABEL REGISTERS QEMU-DEVICE [SILENT]: a host with such an IOMMU, the address of whose registers is given. SILENT: it
# tells of no access that it refused.
machine() {
	{
		printf 'REGISTERS=%s SILENT=%s ROUNDS=%s\n' "$2" "${4:-}" "${DMA_ROUNDS:-3}"
		cat "$ROOT/tests/integration/peek-guest.sh" "$ROOT/tests/integration/dma-guest.sh"
	} >"$TESTS/$name-$1"
	boot "$1" $((240 + ${DMA_ROUNDS:-3} * 6)) "$TESTS/$name-$1" --smp 2 --memory 1G --machine q35 --append iomem=relaxed \
		--qemu "-device $3" --qemu "-device edu,dma_mask=0xffffffffff" "${files[@]}"
	judge "$1"
}

machine vtd-48 fed90000 intel-iommu,aw-bits=48
[ -z "${DMA_ROUNDS:-}" ] || machine vtd-39 fed90000 intel-iommu,aw-bits=39
machine amdvi fed80000 amd-iommu silent
finish
