# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# Runs in the control domain: its devices behind an IOMMU that it does not know of. Wants MODULES, and SUM, of the disks'
# contents.

cd /keel-test || exit 1

check() {
	what=$1
	shift
	if "$@" >/tmp/check.log 2>&1; then
		echo "ok - $what"
	else
		echo "not ok - $what: $(tail -n 3 /tmp/check.log | tr '\n\r' '| ')"
	fi
}

for module in $MODULES; do
	insmod "$module" 2>/dev/null
done
sleep 3
mdev -s 2>/dev/null

reads() {
	dd if="$1" bs=1M count=24 iflag=direct 2>/dev/null | sha256sum | grep "$SUM"
}

writes() {
	dd if=/dev/zero bs=1M count=16 2>/dev/null | tr '\0' 'Z' |
		dd of="$1" bs=1M seek=8 oflag=direct iflag=fullblock 2>/dev/null &&
		[ "$(dd if="$1" bs=1M skip=8 iflag=direct 2>/dev/null | tr -d Z | wc -c)" = 0 ]
}

virtio=
for disk in /sys/block/vd*; do
	[ "$(cat "$disk/serial" 2>/dev/null)" != virtio ] || virtio=/dev/${disk##*/}
done
check "there is DMA protection" sh -c 'keel info | grep -E "^DMA protection +yes"'
for disk in /dev/sda /dev/nvme0n1 "$virtio"; do
	check "$disk: is read" reads "$disk"
	check "$disk: is written" writes "$disk"
done
ip link set eth0 up
check "e1000e: a lease from the network" udhcpc -i eth0 -n -q -t 5 -s /bin/true
check "nothing was refused" sh -c '! keel dmesg | grep "was refused"'
check "no oops" sh -c '! dmesg | grep -E "BUG:|Oops|\[#[0-9]+\]|WARNING:|rcu.*stall|soft lockup|DMAR|timed out"'
echo "tests: end"
