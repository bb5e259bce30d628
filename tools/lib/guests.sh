#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# guests.sh FILE...: builds those of the files that are images of ours (build/guests/NAME), as far as they are missing or
# out of date. Other files are left alone. Without arguments: builds all.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

guests=$BUILD/guests
work=$guests/work

all=(tiny.iso)

# pack_bios_iso FOLDER ISO: an ISO that GRUB boots by BIOS; the folder holds boot/grub/grub.cfg and what it names.
pack_bios_iso() {
	rm -f "$2"
	logged "$BUILD/logs/guest-iso.log" grub-mkrescue -d /usr/lib/grub/i386-pc -o "$2.new" "$1"
	mv "$2.new" "$2"
}

# tiny_init TEXT: the init of a guest that tells it is up and then gives a shell on its serial port.
pack_tiny_initrd() {
	local root=$work/$1-root
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,sys,root}
	cp "$2" "$root/bin/busybox"
	cp "$ROOT/tools/image/guest-init" "$root/init"
	pack_cpio "$root" "$work/$1.cpio"
	gzip -9 -n -f "$work/$1.cpio"
}

grub_config() {
	cat <<-'CONFIG'
		serial --unit=0 --speed=115200
		terminal_input serial
		terminal_output serial
		set timeout=0
	CONFIG
	cat
}

tiny_inputs() {
	printf '%s\n' "$("$ROOT/tools/lib/kernel.sh")/vmlinuz" /bin/busybox "$ROOT/tools/image/guest-init"
}

# pack_linux_iso NAME KERNEL BUSYBOX: a kernel with the small initrd.
pack_linux_iso() {
	local root=$work/$1-iso
	rm -rf "$root"
	mkdir -p "$root/boot/grub"
	pack_tiny_initrd "$1" "$3"
	cp "$2" "$root/boot/vmlinuz"
	cp "$work/$1.cpio.gz" "$root/boot/initrd"
	grub_config >"$root/boot/grub/grub.cfg" <<-'CONFIG'
		menuentry Linux {
			linux /boot/vmlinuz console=ttyS0,115200 quiet no_timer_check
			initrd /boot/initrd
		}
	CONFIG
	pack_bios_iso "$root" "$guests/$1.iso"
}

make_tiny() {
	pack_linux_iso tiny "$1" "$2"
}

# Each image NAME.* has NAME_inputs, which prints the files it is made of, and make_NAME, which gets them as arguments.
build_guest() {
	local name=${1%.*} key inputs
	mapfile -t inputs < <("${name}_inputs")
	key=$(inputs_key "$0" "${inputs[@]}")
	is_current "$guests/$1" "$key" && return 0
	say "Making the guest image $1"
	mkdir -p "$work"
	"make_$name" "${inputs[@]}"
	mark_current "$guests/$1" "$key"
}

[ $# -gt 0 ] || set -- "${all[@]/#/$ROOT/build/guests/}"
for target in "$@"; do
	for file in "${all[@]}"; do
		[ "$target" != "$ROOT/build/guests/$file" ] || build_guest "$file"
	done
done
