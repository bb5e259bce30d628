#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# guests.sh [FILE...]: builds those of the files that are guest images of ours (build/guests/NAME), as far as they are
# missing or out of date; other files are left alone. Without arguments: all of them. A disk that exists is kept, for its
# guest has written to it; remove it to have it made anew.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

guests=$BUILD/guests
work=$guests/work
images=(
	tiny.iso tiny-lz4.iso media.iso button.iso noacpi.iso rng.iso network.iso virtio-blk.iso i386.iso memtest.iso
	grub.iso ipxe.iso debian.img
)

# Programs are where they were the last time: QEMU keeps the code that it has translated by its address.
linux_words="console=ttyS0,115200 quiet no_timer_check norandmaps"

# The start of every grub.cfg; the rest comes on standard input.
grub_config() {
	cat <<-'CONFIG'
		serial --unit=0 --speed=115200
		terminal_input serial
		terminal_output serial
		set timeout=0
	CONFIG
	cat
}

# pack_bios_iso NAME: GUESTS/NAME.iso, which GRUB boots by BIOS, from the folder WORK/NAME-iso.
pack_bios_iso() {
	logged "$BUILD/logs/$1-iso.log" grub-mkrescue -d /usr/lib/grub/i386-pc -o "$guests/$1.iso.new" "$work/$1-iso"
	mv "$guests/$1.iso.new" "$guests/$1.iso"
}

# start_iso NAME [FILE...]: an empty WORK/NAME-iso, with the files in /boot.
start_iso() {
	local root=$work/$1-iso
	shift
	rm -rf "$root"
	mkdir -p "$root/boot/grub"
	[ $# -eq 0 ] || cp "$@" "$root/boot/"
}

# pack_linux_iso NAME WORDS KERNEL BUSYBOX INIT [FILE...]: a kernel with an initrd that says it is up and gives a shell, or
# whatever its init does. Modules are in /lib/modules, where "order" names them as they were given; other files are where
# they are here.
pack_linux_iso() {
	local root=$work/$1-root iso=$work/$1-iso file
	rm -rf "$root"
	mkdir -p "$root"/{bin,dev,proc,sys,root,lib/modules}
	cp "$4" "$root/bin/busybox"
	cp "$5" "$root/init"
	for file in "${@:6}"; do
		case $file in
		*.ko)	cp "$file" "$root/lib/modules/"
			printf '%s\n' "${file##*/}" >>"$root/lib/modules/order" ;;
		*)	install -D "$file" "$root$file" ;;
		esac
	done
	start_iso "$1"
	cp "$3" "$iso/boot/vmlinuz"
	pack_cpio "$root" "$iso/boot/initrd"
	gzip -9 -n "$iso/boot/initrd"
	grub_config >"$iso/boot/grub/grub.cfg" <<-CONFIG
		${more_config:-}
		menuentry Linux {
			linux /boot/vmlinuz $2
			initrd /boot/initrd.gz
		}
	CONFIG
	pack_bios_iso "$1"
}

tiny_inputs() {
	printf '%s\n' "$("$ROOT/tools/lib/kernel.sh")/vmlinuz" /bin/busybox "$ROOT/tools/image/guest-init"
}

make_tiny() {
	pack_linux_iso tiny "$linux_words" "$@"
}

# The same with what drives the CD-ROM drive, and a kernel that starts sooner.
media_inputs() {
	local kernel
	kernel=$("$ROOT/tools/lib/kernel.sh")
	printf '%s\n' "$("$ROOT/tools/lib/lz4-kernel.sh")" /bin/busybox "$ROOT/tools/image/guest-init"
	/sbin/modprobe -d "$kernel/modules" -S "$(cat "$kernel/version")" --show-depends -a ata_piix sr_mod |
		sed -nE 's/^insmod (.*\.ko)( .*)?$/\1/p' | awk '!seen[$0]++'
}

make_media() {
	pack_linux_iso media "$linux_words" "$@"
}

# The same with what tells of the power button, which turns it off.
button_inputs() {
	local kernel module
	kernel=$("$ROOT/tools/lib/kernel.sh")
	printf '%s\n' "$kernel/vmlinuz" /bin/busybox "$ROOT/tests/integration/button-init"
	for module in button evdev; do
		find "$kernel/modules/lib/modules" -name "$module.ko"
	done
}

make_button() {
	pack_linux_iso button "$linux_words" "$@"
}

# The same on a machine that it takes for one from before ACPI.
noacpi_inputs() {
	tiny_inputs
}

make_noacpi() {
	pack_linux_iso noacpi "$linux_words acpi=off" "$@"
}

# The same for Bochs, which stores AVX state in the wrong place by XSAVEC.
tiny-lz4_inputs() {
	printf '%s\n' "$("$ROOT/tools/lib/lz4-kernel.sh")" /bin/busybox "$ROOT/tools/image/guest-init"
}

make_tiny-lz4() {
	pack_linux_iso tiny-lz4 "$linux_words mitigations=off cryptomgr.notests clearcpuid=xsavec" "$@"
}

# with_libraries PROGRAM...: these, and what they are linked with.
with_libraries() {
	printf '%s\n' "$@"
	ldd "$@" | sed -nE 's/^\t(.* => )?(\/[^ ]+) \(.*/\2/p' | sort -u
}

# One with the drivers of virtio's entropy device, which it tries, and with what shows and changes PCI functions. A disk may
# have more words for the kernel.
rng_inputs() {
	local kernel module
	kernel=$("$ROOT/tools/lib/kernel.sh")
	printf '%s\n' "$("$ROOT/tools/lib/lz4-kernel.sh")" /bin/busybox "$ROOT/tests/integration/rng-init"
	for module in virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio-rng; do
		find "$kernel/modules/lib/modules" -name "$module.ko"
	done
	with_libraries /usr/bin/lspci /usr/bin/setpci
}

make_rng() {
	# shellcheck disable=SC2016
	more_config='if [ -f "(hd0)/words.cfg" ]; then source "(hd0)/words.cfg"; fi' \
		pack_linux_iso rng "$linux_words \$words" "$@"
}

# One with the drivers of virtio's network card.
network_inputs() {
	local kernel
	kernel=$("$ROOT/tools/lib/kernel.sh")
	printf '%s\n' "$("$ROOT/tools/lib/lz4-kernel.sh")" /bin/busybox "$ROOT/tests/integration/network-init"
	/sbin/modprobe -d "$kernel/modules" -S "$(cat "$kernel/version")" --show-depends -a virtio_pci virtio_net |
		sed -nE 's/^insmod (.*\.ko)( .*)?$/\1/p' | awk '!seen[$0]++'
}

make_network() {
	pack_linux_iso network "$linux_words" "$@"
}

# One with the driver of virtio's block devices, which it tries.
virtio-blk_inputs() {
	local kernel module
	kernel=$("$ROOT/tools/lib/kernel.sh")
	printf '%s\n' "$("$ROOT/tools/lib/lz4-kernel.sh")" /bin/busybox "$ROOT/tests/integration/virtio-blk-init"
	for module in virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio_blk; do
		find "$kernel/modules/lib/modules" -name "$module.ko"
	done
	with_libraries /usr/sbin/blkdiscard
}

make_virtio-blk() {
	pack_linux_iso virtio-blk "$linux_words" "$@"
}

i386_inputs() {
	local kernel
	kernel=$("$ROOT/tools/lib/kernel.sh" i386)
	printf '%s\n' "$kernel/vmlinuz" "$kernel/busybox" "$ROOT/tools/image/guest-init"
}

make_i386() {
	pack_linux_iso i386 "$linux_words" "$@"
}

memtest_inputs() {
	printf '%s\n' /boot/memtest86+x64.bin
}

make_memtest() {
	start_iso memtest "$1"
	grub_config >"$work/memtest-iso/boot/grub/grub.cfg" <<-CONFIG
		menuentry memtest86+ {
			linux /boot/${1##*/} console=ttyS0,115200
		}
	CONFIG
	pack_bios_iso memtest
}

grub_inputs() {
	printf '%s\n' /usr/lib/grub/i386-pc/kernel.img
}

make_grub() {
	start_iso grub
	grub_config >"$work/grub-iso/boot/grub/grub.cfg" <<-'CONFIG'
		set timeout=-1
		menuentry "What this machine has" {
			lsmmap
			lspci
			if cpuid -l; then echo "This processor has long mode."; fi
			echo "GRUB-DONE"
			read
		}
		menuentry "Restart" {
			reboot
		}
		menuentry "Power off" {
			halt
		}
	CONFIG
	pack_bios_iso grub
}

ipxe_inputs() {
	printf '%s\n' /usr/lib/ipxe/ipxe.lkrn
}

# iPXE writes by the BIOS's video services, which SeaBIOS sends to the serial port of a machine without display.
make_ipxe() {
	start_iso ipxe "$1"
	grub_config >"$work/ipxe-iso/boot/grub/grub.cfg" <<-'CONFIG'
		menuentry iPXE {
			linux16 /boot/ipxe.lkrn
		}
	CONFIG
	pack_bios_iso ipxe
}

debian_inputs() {
	printf '%s\n' "$ROOT/tools/lib/debian-disk.sh"
}

make_debian() {
	"$1" "$guests/debian.img" "$work/debian"
}

# One that takes long keeps nobody waiting who wants another one.
build_image_alone() {
	hold "$guests/$1.lock" "the guest image $1"
	build_image "$1"
}

# Each image NAME.* has NAME_inputs, which prints the files it is made of, and make_NAME, which gets them as arguments.
build_image() {
	local name=${1%.*} key inputs
	case $1 in
	*.img)	[ ! -e "$guests/$1" ] || return 0 ;;
	esac
	mapfile -t inputs < <("${name}_inputs")
	key=$(inputs_key "$0" "${inputs[@]}")
	is_current "$guests/$1" "$key" && return 0
	say "Making the guest image $1"
	mkdir -p "$work" "$BUILD/logs"
	"make_$name" "${inputs[@]}"
	mark_current "$guests/$1" "$key"
}

mkdir -p "$guests"
[ $# -gt 0 ] || set -- "${images[@]/#/$ROOT/build/guests/}"
for target in "$@"; do
	for image in "${images[@]}"; do
		case $target in
		"$ROOT/build/guests/$image"|"$guests/$image")	(build_image_alone "$image") ;;
		esac
	done
done
