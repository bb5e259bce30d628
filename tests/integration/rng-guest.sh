# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh disable=SC2154
# A guest that tries its PCI functions by itself, booted with several sets of words for its kernel. The words are on a disk
# that its GRUB reads: a tar archive, which GRUB takes for a file system.

# prints GUEST: what it has found.
prints() {
	keel console --log "$1" | tr -d '\r'
}

# rng_boot NAME WORDS CHECKS
rng_boot() {
	mkdir -p "/tmp/$1"
	printf 'words="%s"\n' "$2" >"/tmp/$1/words.cfg"
	tar -cf "/tmp/$1.img" -C "/tmp/$1" words.cfg
	sed "s|\"rng\": true|&, \"disks\": [{ \"file\": \"/tmp/$1.img\", \"mode\": \"snapshot\" }]|
		s|\"name\": \"rng\"|\"name\": \"$1\"|
		s|\"\.\./|\"${manifest%/guests/*}/|" "$manifest" >"/tmp/$1.json"
	check "$1: created" keel create "/tmp/$1.json"
	check "$1: comes to its end" shows "$1" '^RNG-END' 1 250
	prints "$1" | grep -aE '^(not )?ok - ' | sed "s/ok - /&$1: /"
	check "$1: all of it was tried" [ "$(prints "$1" | grep -ac '^ok - ')" -ge "$3" ]
}

# SeaBIOS tells where it puts a register. Those that the guest has found are there.
as_told() {
	prints "$1" | sed -nE 's/^BAR (io|mem) 0{8}([0-9a-f]{8}) 0{8}[0-9a-f]{8} ([0-9a-f:.]+) ([0-5])$/\3 \4 \2/p' |
		sort >/tmp/found
	tr -d '\r' <"/run/keel/$1/firmware.log" |
		sed -nE 's/^PCI: map device bdf=([0-9a-f:.]+) +bar ([0-5]), addr ([0-9a-f]+), .*/\1 \2 \3/p' | sort >/tmp/told
	cat /tmp/found /tmp/told
	[ -s /tmp/told ] && ! grep -vxFf /tmp/found /tmp/told
}

# The kernel has taken the device's registers from where the firmware has put them.
moved() {
	now=$(prints "$1" | sed -n 's/^PLACED //p')
	before=$(tr -d '\r' <"/run/keel/$1/firmware.log" |
		sed -nE 's/^PCI: map device bdf=00:04.0 +bar 4, addr ([0-9a-f]+), .*/\1/p')
	echo "$before $now"
	[ -n "$now" ] && [ -n "$before" ] && [ $((0x$now & ~0xf)) -ne $((0x$before)) ]
}

rng_boot rng '' 60
check "rng: registers are where SeaBIOS says that it has put them" as_told rng
check "rng: ends" keel destroy rng
rng_boot nomsi pci=nomsi 19
check "nomsi: ends" keel destroy nomsi
rng_boot realloc pci=realloc,resource_alignment=20@00:04.0 15
check "realloc: the kernel has moved registers" moved realloc
check "realloc: ends" keel destroy realloc
echo "tests: end"
