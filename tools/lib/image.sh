#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# image.sh: builds the driver for the stock kernel, the control domain's initrd and the bootable host image
# (BUILD/image/host.iso) from what the build made. Every part is rebuilt only when its inputs changed.
# image.sh KEEL_ELF: the same with another hypervisor; prints the image's path, BUILD/image/host-NAME.iso.
# image.sh --suite SUITE [KEEL_ELF]: the same with the kernel of another suite of Debian, in BUILD/image/SUITE.
# --lz4, behind that: the kernel packed anew by LZ4, and the initrd, in host-lz4.iso or host-NAME-lz4.iso.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

# Kernel modules of the control domain, by name; what they depend on comes along.
modules=(virtio_pci virtio_blk ext4 tun bridge)
# For a machine whose disks are ATA ones, in an archive that is added there.
ata_modules=(ata_piix sd_mod)

suite=
if [ "${1:-}" = --suite ]; then
	suite=$2
	shift 2
fi
packing=
if [ "${1:-}" = --lz4 ]; then
	packing=-lz4
	shift
fi
kernel=$("$ROOT/tools/lib/kernel.sh" ${suite:+"$suite"})
vmlinuz=$kernel/vmlinuz
[ -z "$packing" ] || vmlinuz=$("$ROOT/tools/lib/lz4-kernel.sh" ${suite:+"$suite"})
version=$(cat "$kernel/version")
image=$BUILD/image${suite:+/$suite}
driver=$BUILD/linux${suite:+-$suite}
hypervisor=$BUILD/keel.elf
iso=$image/host$packing.iso tree=$image/iso$packing
if [ $# -gt 0 ]; then
	hypervisor=$1
	tree=$image/host-$(basename "$1" .elf)$packing
	iso=$tree.iso
fi
mkdir -p "$image"
# One at a time: tests run side by side.
hold "$image/lock" "the host image"

# The kernel's build system writes beside the sources, so it gets a copy of them.
build_driver() {
	"$ROOT/tools/lib/driver-source.sh" "$driver"
	logged "$BUILD/logs/driver${suite:+-$suite}.log" \
		"$ROOT/tools/lib/kernel-make.sh" "${suite:-amd64}" "$driver"
}

# add_modules FOLDER NAME...: the modules' files, and their names in the file "order", each after those that it needs.
add_modules() {
	local folder=$1 file
	shift
	mkdir -p "$folder"
	while read -r file; do
		case $file in
		*.xz)	xz -dc "$file" >"$folder/$(basename "$file" .xz)" ;;
		*)	cp "$file" "$folder/" ;;
		esac
		basename "$file" .xz >>"$folder/order"
	done < <(/sbin/modprobe -d "$kernel/modules" -S "$version" --show-depends -a "$@" |
		sed -nE 's/^insmod (.*\.ko(\.[a-z]+)?)( .*)?$/\1/p' | awk '!seen[$0]++')
}

pack_system() {
	local root=$image/system file
	rm -rf "$root"
	mkdir -p "$root"/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,run,tmp,var/tmp,root,etc,keel,lib/modules,usr/share/seabios}
	cp /bin/busybox "$root/bin/busybox"
	for file in $(/bin/busybox --list); do
		[ "$file" = busybox ] || ln -s /bin/busybox "$root/bin/$file"
	done
	add_modules "$root/lib/modules" "${modules[@]}"
	printf 'root:x:0:0:root:/root:/bin/sh\nkeel:x:990:990::/nonexistent:/bin/false\n' >"$root/etc/passwd"
	printf 'root:x:0:\ntty:x:5:\nkeel:x:990:\n' >"$root/etc/group"
	cp /usr/share/seabios/bios-256k.bin "$root/usr/share/seabios/"
	pack_cpio "$root" "$image/system.cpio"
}

pack_ata() {
	local root=$image/ata
	rm -rf "$root"
	add_modules "$root/lib/modules/ata" "${ata_modules[@]}"
	pack_cpio "$root" "$image/ata.cpio"
}

# copy_program FILE ROOT: into /usr/bin, with the shared libraries that it needs.
copy_program() {
	local library
	cp "$1" "$2/usr/bin/"
	while read -r library; do
		mkdir -p "$2$(dirname "$library")"
		cp -L "$library" "$2$library"
	done < <(ldd "$1" 2>/dev/null | grep -o '/[^ ]*')
}

pack_keel() {
	local root=$image/keel file
	rm -rf "$root"
	mkdir -p "$root"/{usr/bin,lib/modules,lib64}
	install -m 755 "$ROOT/tools/image/init" "$root/init"
	for file in "${programs[@]}"; do
		copy_program "$file" "$root"
	done
	[ ! -e "$driver/keel.ko" ] || strip --strip-debug -o "$root/lib/modules/keel.ko" "$driver/keel.ko"
	pack_cpio "$root" "$image/keel.cpio"
}

pack_iso() {
	local root=$tree
	rm -rf "$root"
	mkdir -p "$root/boot/grub"
	cp "$ROOT/tools/image/grub.cfg" "$root/boot/grub/grub.cfg"
	cp "$vmlinuz" "$root/boot/vmlinuz"
	# GRUB takes longer to read a byte than Linux to unpack it.
	if [ -n "$packing" ]; then
		cat "$image/system.cpio" "$image/keel.cpio" | lz4 -q -l -9 - -
	else
		cat "$image/system.cpio" "$image/keel.cpio"
	fi >"$root/boot/initrd"
	cp "$hypervisor" "$root/boot/keel.elf"
	rm -f "$iso"
	logged "$BUILD/logs/grub-mkrescue.log" grub-mkrescue -o "$iso" "$root" -- -volid KEEL
}

# make_current TARGET MAKER INPUT...: runs MAKER unless TARGET was made from the same inputs.
make_current() {
	local target=$1 maker=$2 key
	shift 2
	key=$(inputs_key "$0" "$@")
	is_current "$target" "$key" && return 0
	say "Making ${target#"$BUILD/"}"
	"$maker"
	mark_current "$target" "$key"
}

programs=()
for file in "$BUILD/tools/keel/keel" "$BUILD/devmodel/host/keel-dm" "$BUILD/devmodel/host/keel-seed"; do
	[ ! -e "$file" ] || programs+=("$file")
done
make_current "$driver/keel.ko" build_driver "$kernel/vmlinuz" "$ROOT"/linux/* "$ROOT"/include/keel/*.h
make_current "$image/system.cpio" pack_system "$kernel/vmlinuz" /bin/busybox /usr/share/seabios/bios-256k.bin
make_current "$image/ata.cpio" pack_ata "$kernel/vmlinuz"
make_current "$image/keel.cpio" pack_keel "$ROOT/tools/image/init" "$driver/keel.ko" "${programs[@]}"
make_current "$iso" pack_iso "$ROOT/tools/image/grub.cfg" "$vmlinuz" "$hypervisor" \
	"$image/system.cpio" "$image/keel.cpio"
[ $# -eq 0 ] && [ -z "$packing" ] || printf '%s\n' "$iso"
