#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Faults of the hypervisor itself: images in which a hypercall has been overwritten by something that faults. Each stops the
# machine with the fault's name, the registers, and a backtrace in which the hypercall is named.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

build_tests
# panics NAME FUNCTION BYTES PATTERN: an image with these bytes, in printf's notation, at the start of the function.
panics() {
	local image=$TESTS/panic-$1.elf log=$logs/$1/host.log
	cp "$KEEL_BUILD/keel.elf" "$image"
	rm -f "$log"
	overwrite "$image" "$2" "$3"
	"$ROOT/tools/run" --no-build --keel noclear --hypervisor "$image" --lz4 --command "keel dmesg" \
		--expect 'The machine has stopped' --patience 120 --logs "$logs/$1" >"$logs/$1.log" 2>&1
	check "$1: it is named" grep -aE "Keel panic: $4" "$log"
	check "$1: the registers" grep -aE '^rip [0-9a-f]{16} rsp [0-9a-f]{16} rfl' "$log"
	check "$1: the place" grep -aE "^  [0-9a-f]{16} $2\+" "$log"
}

mkdir -p "$logs"
# log_read is what the hypercall that keel dmesg makes comes to.
panics undefined log_read '\x0f\x0b' 'invalid opcode \(vector 6'
check "undefined: who called it" grep -aE '^  [0-9a-f]{16} hypercall\+' "$logs/undefined/host.log"
# mov byte [rip - 7], 0: the code is not writable.
panics readonly log_read '\xc6\x05\xf9\xff\xff\xff\x00' 'page fault \(vector 14, error 3\)'
# push rax; jmp to it: runs into the guard page, and the fault has a stack of its own.
panics boot-overflow cpuid_init '\x50\xeb\xfd' 'double fault \(vector 8'
panics overflow log_read '\x50\xeb\xfd' 'double fault \(vector 8'
finish
