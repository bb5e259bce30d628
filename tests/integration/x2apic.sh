#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The control domain with its interrupts remapped and its local APICs in x2APIC mode, as on newer servers, by the QEMU of
# Debian 13: every processor is under the hypervisor, when it starts and when it comes back, and a guest runs. Then with the IOMMU
# the hypervisor's, and the boot processor in x2APIC mode before the hypervisor starts, as some firmware leaves it.
set -uo pipefail
KEEL_RUN_OPTIONS="--emulator-suite trixie --machine q35 --qemu -device --qemu intel-iommu,intremap=on,eim=on"
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
peek=$(build_module "$ROOT/tests/integration/peek") || exit 1
script=$TESTS/x2apic-script
{
	printf 'CPUS=2 CYCLES=2\n'
	cat "$ROOT/tests/integration/peek-guest.sh"
	grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
	cat <<-'TEXT'
		check "the local APICs are in x2APIC mode" sh -c 'dmesg | grep "x2apic enabled\|x2apic: enabled"'
		check "interrupts are remapped" sh -c 'dmesg | grep "Enabled IRQ remapping in x2apic mode"'
		peek "after processors came back"
		cd /keel-test
		check "guest hello" ./blob --timeout 25 --expect "hello: ok" hello.bin
		check "guest smp with 4 vCPUs" ./blob --vcpus 4 --timeout 25 --expect "smp: ok" smp.bin
		check "guest apic" ./blob --timeout 25 --expect "apic: ok" apic.bin
		check "the driver goes and comes" sh -c 'rmmod keel && insmod /lib/modules/keel.ko && [ -c /dev/keel ]'
		peek "at the end"
		echo "tests: end"
	TEXT
} >"$script"

# le32 NUMBER: its bytes, in printf's notation.
le32() {
	printf '\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24 & 255))
}

# An image that switches x2APIC on before all else: mov esi, eax; mov ecx, 1bh; rdmsr; or ah, 4; wrmsr; mov eax, esi; jmp
# boot_entry.
early_x2apic() {
	local image=$1 start entry code
	cp "$KEEL_BUILD/keel.elf" "$image"
	start=$(address_of "$image" message_long_mode) entry=$(address_of "$image" boot_entry)
	code='\x89\xc6\xb9\x1b\x00\x00\x00\x0f\x32\x80\xcc\x04\x0f\x30\x89\xf0\xe9'
	overwrite "$image" message_long_mode "$code$(le32 $((entry - start - 21)))"
	# The header's entry point.
	# shellcheck disable=SC2059
	printf "$(le32 "$start")" | dd of="$image" bs=1 seek=24 conv=notrunc status=none
}

# One on which that cannot be undone as well, as far as the hypervisor can tell: mov byte [locked_x2apic], 1; ret.
locked_x2apic() {
	local image=$1 start flag
	early_x2apic "$image"
	start=$(address_of "$image" control_policy_init) flag=$(address_of "$image" locked_x2apic)
	overwrite "$image" control_policy_init "\\xc6\\x05$(le32 $((flag - start - 7)))\\x01\\xc3"
}

# handed_over LABEL IMAGE CHECK...: lines of a script.
handed_over() {
	local label=$1 image=$2
	shift 2
	{
		printf 'CPUS=2 CYCLES=2\n'
		grep -v 'tests: end' "$ROOT/tests/integration/control-guest.sh"
		printf '%s\n' 'cd /keel-test' "$@" \
			'check "devices are held back" sh -c "keel info | grep \"DMA protection yes\""' \
			'check "guest smp with 4 vCPUs" ./blob --vcpus 4 --timeout 25 --expect "smp: ok" smp.bin' \
			'check "guest apic" ./blob --timeout 25 --expect "apic: ok" apic.bin' \
			'echo "tests: end"'
	} >"$script-$label"
	boot "$label" 200 "$script-$label" --hypervisor "$image" --smp 2 --memory 1G "${files[@]}"
	judge "$label"
}

files=(--file "$peek:/keel-test/peek.ko")
for file in blob perf hello.bin smp.bin apic.bin; do
	files+=(--file "$TESTS/$file:/keel-test/$file")
done
boot x2apic 200 "$script" --keel "noclear noiommu" --smp 2 --memory 1G "${files[@]}"
judge x2apic
early_x2apic "$TESTS/x2apic-early.elf"
handed_over early "$TESTS/x2apic-early.elf" \
	'check "Linux found x2APIC mode and left it" sh -c "dmesg | grep \"x2apic: enabled by BIOS\" &&
		dmesg | grep \"IRQ remapping doesn.t support X2APIC\""'
locked_x2apic "$TESTS/x2apic-locked.elf"
handed_over locked "$TESTS/x2apic-locked.elf" \
	'check "Linux stays in x2APIC mode" sh -c "dmesg | grep \"x2apic: enabled by BIOS\" &&
		! dmesg | grep -i \"x2apic disabled\""' \
	'check "with physical destinations" sh -c "dmesg | grep -i \"x2apic.*phys\|physical x2apic\""'
finish
