#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What happens to a server in its life, and takes nothing out of Keel's hands: sleep, kexec, a crash dump, a processor that is
# plugged in. Each is a boot of its own, of which the second kernel of kexec and the crash kernel are the second half.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
module=$(build_module "$ROOT/tests/integration/peek") || exit 1
kernel=${EVENTS_KERNEL:-$("$ROOT/tools/lib/lz4-kernel.sh")}
cat "$KEEL_BUILD/image/system.cpio" "$KEEL_BUILD/image/keel.cpio" >"$TESTS/$name-initrd"
tools=(--file "$module:/keel-test/peek.ko")
for file in blob kexec port seek secret.bin hello.bin; do
	tools+=(--file "$TESTS/$file:/keel-test/$file")
done
button=$(find "$("$ROOT/tools/lib/kernel.sh")/modules" -path '*/acpi/button.ko')
kernels=(--file "$kernel:/keel-test/vmlinuz" --file "$TESTS/$name-initrd:/keel-test/initrd")

# event NAME SECONDS [tools/run option...]
event() {
	local event=$1 seconds=$2 script=$TESTS/$name-$1
	shift 2
	{
		printf 'EVENT=%s PM1_CONTROL=%s BOCHS=%s\n' "$event" "${EVENTS_PM1:-0x604}" "${EVENTS_BOCHS:-}"
		cat "$ROOT/tests/integration/peek-guest.sh" "$ROOT/tests/integration/events-guest.sh"
	} >"$script"
	boot "$event" "$seconds" "$script" "${tools[@]}" "$@"
}

# The events to be tried, all of them by default: EVENTS="kexec kdump"; EVENTS_KERNEL: the second kernel, EVENTS_PM1: the port of
# PM1a control; EVENTS_BOCHS=yes: by Bochs, where nobody presses the power button and small files are in the initrd.
wanted() {
	[[ " ${EVENTS:-sleep kexec kdump plug} " = *" $1 "* ]]
}

try_event() {
	if wanted "$1"; then
		event "$@"
		judge "$1"
	fi
}

# What is waited for in them must not be of before.
rm -f "$logs"/*/host.log
[ -n "${EVENTS_BOCHS:-}" ] || ! wanted sleep || monitor sleep 'test: press the button' 6 system_powerdown &
try_event sleep 300 --smp 1 --memory 1G --file "$button:/keel-test/button.ko"
try_event kexec 300 --smp 2 "${kernels[@]}"
try_event kdump 300 --smp 2 --memory 1G "${kernels[@]}" --append crashkernel=256M
! wanted plug || monitor plug 'test: plug it in' 0 'device_add max-x86_64-cpu,id=plugged,socket-id=1,core-id=0,thread-id=0' &
try_event plug 300 --smp 1 --memory 1G --qemu "-smp 1,sockets=2,maxcpus=2"
finish
