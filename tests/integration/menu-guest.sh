# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# GRUB and memtest86+ by hand, and what keel create refuses.

guest_of() {
	printf '{ "version": 1, "name": "%s", "memory": "64M", "vcpus": 1,
		"boot": ["cdrom"], "cdrom": { "file": "/keel-test/%s.iso" } }\n' "$1" "$1" >"/tmp/$1.json"
}

# refused WORDS MANIFEST: with a message that says why; nothing is left behind.
refused() {
	printf '%s\n' "$2" >/tmp/refused.json
	! keel create /tmp/refused.json >/tmp/refused.log 2>&1 && grep -Ei "$1" /tmp/refused.log &&
		[ ! -e /run/keel/refused/control ]
}

guest_of grub
check "grub: created" keel create /tmp/grub.json
check "grub: its menu" shows grub 'Press enter to boot the selected OS' 1 60
printf c >/run/keel/grub/console
check "grub: its command line" shows grub 'grub>' 1 30
send grub 'set answer=42; echo the answer is ${answer}'
check "grub: carries commands out" shows grub 'the answer is 42' 1 30
check "grub: reset by its owner" keel reboot --force --timeout $((30 * KEEL_PATIENCE)) grub
check "grub: its menu again" shows grub 'Press enter to boot the selected OS' 2 60
check "grub: ends" keel destroy grub

guest_of memtest
check "memtest: created" keel create /tmp/memtest.json
check "memtest: is at its third test or beyond" shows memtest '#[3-9] +\[[A-Z]' 1 90
check "memtest: finds no error" sh -c '! keel console --log memtest | grep -aE "Errors: +[1-9]"'
check "memtest: ends" keel destroy memtest

# A disk of one sector, whose firmware reads a geometry; two sockets of a core of two threads.
mkdir -p /var/log
printf '{ "version": 1, "name": "boot-disk", "memory": "16M", "topology": { "sockets": 2, "threads": 2 }, "disks": [%s] }\n' \
	'{ "file": "/keel-test/boot-disk.img", "mode": "snapshot" }' >/tmp/boot-disk.json
check "boot-disk: created" keel create /tmp/boot-disk.json
check "boot-disk: boots" shows boot-disk 'disk: booted' 1 60
printf t >/run/keel/boot-disk/console
check "boot-disk: a triple fault resets it" shows boot-disk 'disk: booted' 2 60
check "boot-disk: the reason is told" grep -q 'restarted: triple fault' /var/log/keel/boot-disk.log
check "boot-disk: has four vCPUs" sh -c 'keel info boot-disk | grep -E "vcpus +4"'
printf p >/run/keel/boot-disk/console
check "boot-disk: switches itself off" gone boot-disk 30

truncate -s 1M /tmp/disk.img
truncate -s 1000 /tmp/odd.img
disk='{ "version": 1, "name": "owner", "memory": "16M", "vcpus": 1, "disks": [{ "file": "/tmp/disk.img", "mode": "rw" }] }'
printf '%s\n' "$disk" >/tmp/owner.json
check "create: a guest with a disk" keel create /tmp/owner.json
check "create: a disk in use is refused by its user's name" refused owner \
	'{ "version": 1, "name": "refused", "memory": "16M", "vcpus": 1, "disks": [{ "file": "/tmp/disk.img", "mode": "rw" }] }'
check "create: an image of a bad size is refused" refused '512|sector|size' \
	'{ "version": 1, "name": "refused", "memory": "16M", "vcpus": 1, "disks": [{ "file": "/tmp/odd.img", "mode": "rw" }] }'
check "create: too much memory is refused" refused memory '{ "version": 1, "name": "refused", "memory": "900G", "vcpus": 1 }'
check "create: DMA protection that is not there is told" refused 'no DMA protection.*VT-d' \
	'{ "version": 1, "name": "refused", "memory": "16M", "vcpus": 1, "require_dma_protection": true }'
check "check-host: it is told as well, and guests can run" \
	sh -c 'keel check-host >/tmp/host && grep "note *DMA protection: none" /tmp/host'
check "create: an unknown key is refused with its place" refused 'refused.json:1:[0-9]+' '{ "version": 1, "nmae": "refused" }'
check "check: a good manifest" keel check /tmp/owner.json
check "check: all errors of a bad one" \
	sh -c 'keel check /tmp/refused.json 2>&1 | grep -c "^/tmp/refused.json:1:" | grep -x "[2-9]"'
check "create: its owner ends" keel destroy owner
unloads_at_once() {
	for round in 1 2 3 4 5 6 7 8; do
		keel create /tmp/owner.json && keel destroy owner && rmmod keel && insmod /lib/modules/keel.ko || return 1
	done
}
check "destroy: the driver is free at once" unloads_at_once
rmmod keel
check "create: a missing driver is named" refused '/dev/keel' '{ "version": 1, "name": "refused", "memory": "16M", "vcpus": 1 }'
check "driver: comes back" insmod /lib/modules/keel.ko
check "create: nothing is left" sh -c 'keel info | grep "guest memory *0 pages"'
check "dmesg: the hypervisor's log" sh -c 'keel dmesg | grep "microhypervisor"'
echo "tests: end"
