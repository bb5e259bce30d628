# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain of a host that was booted by UEFI. Wants MIB, its memory, NODES, how many NUMA nodes that is in,
# and CLEAR, whether that was cleared (clear).

check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(tail -n 3 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

# Less the kernel itself, its table of pages (1/64), the hypervisor's reserve (1/512) and a fixed part of each.
memory_is_there() {
	total=$(($(awk '/MemTotal/ { print $2 }' /proc/meminfo) / 1024))
	echo "$total of $MIB"
	[ "$total" -gt $((MIB * 24 / 25 - 180)) ] && [ "$total" -le "$MIB" ]
}

nodes() {
	[ "$(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' | wc -l)" -eq "$NODES" ]
}

check "$MIB MiB: the kernel was booted by UEFI" [ -d /sys/firmware/efi ]
check "$MIB MiB: it read the firmware's table of memory attributes" sh -c 'dmesg | grep "efi:.*MEMATTR=" &&
	! dmesg | grep -i "efi.*memattr.*\(fail\|unexpected\|invalid\|corrupt\)"'
check "$MIB MiB: it has its memory" memory_is_there
check "$MIB MiB: in $NODES nodes" nodes
check "$MIB MiB: the driver is there" [ -c /dev/keel ]
check "$MIB MiB: a guest runs" /keel-test/blob --expect "hello: ok" /keel-test/hello.bin
[ "$CLEAR" != clear ] || check "$MIB MiB: memory was cleared, but for the firmware's" \
	sh -c 'keel dmesg | grep "clearing .* MiB of memory took .* [1-9][0-9]* MiB are the firmware.s"'
check "$MIB MiB: no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup"'
keel dmesg | grep -i clear
echo "tests: end"
