#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# debian-disk.sh [--mib SIZE] [--add PACKAGE]... [--customize SCRIPT] DISK FOLDER: makes a raw disk with Debian 12: one ext4
# partition, the stock kernel, systemd, GRUB in the boot record, a login on the serial port; root's password is "keel". No loop
# device is needed. FOLDER is for work. More packages can be added, and SCRIPT is called with the tree's path when it is done.
set -euo pipefail
# shellcheck source=tools/lib/common.sh
. "$(dirname "$0")/common.sh"

disk_mib=2048 customize='' added=()
while [[ ${1:-} = --* ]]; do
	case $1 in
	--mib)		disk_mib=$2 ;;
	--add)		added+=("$2") ;;
	--customize)	customize=$2 ;;
	*)		die "debian-disk.sh: unknown option $1" ;;
	esac
	shift 2
done
disk=$1 work=$2
first_sector=2048	# the partition; the sectors before it hold GRUB's core image
sector=512

packages=(
	systemd-sysv udev dbus login passwd kmod iproute2 iputils-ping procps less
	linux-image-amd64 initramfs-tools grub-pc-bin e2fsprogs "${added[@]}"
)

# What the initrd needs to reach its disk; the default would be every driver there is, which takes long to pack and to load. The
# packages would pack it when the kernel is set up, and again for what they bring themselves: it is packed once, when all are
# there. Nor is each file of a tree that may be thrown away brought to the disk before the next one is unpacked.
begin_commands() {
	cat <<-'COMMANDS'
		set -e
		echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/keel"
		chroot "$1" dpkg-divert --quiet --local --rename --add /usr/sbin/update-initramfs
		ln -s /bin/true "$1/usr/sbin/update-initramfs"
		mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
		echo MODULES=list >"$1/etc/initramfs-tools/conf.d/keel"
		echo COMPRESS=gzip >>"$1/etc/initramfs-tools/conf.d/keel"
		printf '%s\n' ata_piix ata_generic sd_mod ext4 virtio_pci virtio_blk ahci \
			>"$1/usr/share/initramfs-tools/modules.d/keel"
	COMMANDS
}

setup_commands() {
	cat <<-'COMMANDS'
		set -e
		rm "$1/etc/dpkg/dpkg.cfg.d/keel" "$1/usr/sbin/update-initramfs"
		chroot "$1" dpkg-divert --quiet --local --rename --remove /usr/sbin/update-initramfs
		for kernel in "$1"/boot/vmlinuz-*; do
			echo "Packing the initrd of ${kernel##*/}" >&2
			chroot "$1" update-initramfs -c -k "${kernel##*/vmlinuz-}"
		done
		[ -s "$1/initrd.img" ] || { echo "no initrd where the boot menu looks for it" >&2; exit 1; }
		echo keel-debian >"$1/etc/hostname"
		echo "LABEL=keel-root / ext4 errors=remount-ro 0 1" >"$1/etc/fstab"
		# On a machine that others use, the serial port's login must not be given up for being late.
		mkdir -p "$1/etc/systemd/system.conf.d"
		printf '[Manager]\nDefaultDeviceTimeoutSec=1h\nDefaultTimeoutStartSec=1h\n' \
			>"$1/etc/systemd/system.conf.d/keel.conf"
		echo root:keel | chroot "$1" chpasswd
		mkdir -p "$1/boot/grub"
		cp -r "$1/usr/lib/grub/i386-pc" "$1/boot/grub/"
		# What the packages have made just now is not made anew at the first start.
		touch "$1/etc/.updated" "$1/var/.updated"
		cat >"$1/boot/grub/grub.cfg" <<-'CONFIG'
			serial --unit=0 --speed=115200
			terminal_input serial
			terminal_output serial
			set timeout=0
			menuentry "Debian" {
				linux /vmlinuz root=LABEL=keel-root ro console=ttyS0,115200 quiet no_timer_check norandmaps
				initrd /initrd.img
			}
		CONFIG
	COMMANDS
}

make_tree() {
	local sources=()
	mapfile -t sources < <(find /etc/apt/sources.list /etc/apt/sources.list.d -type f \
		\( -name '*.list' -o -name '*.sources' \) -size +0 2>/dev/null)
	begin_commands >"$work/begin"
	setup_commands >"$work/setup"
	[ -z "$customize" ] || printf '%q "$1"\n' "$customize" >>"$work/setup"
	# The tools of the initrd would take the tests' ROOT for its root file system.
	logged "$BUILD/logs/mmdebstrap.log" env -u ROOT mmdebstrap --variant=minbase --include="${packages[*]}" \
		--aptopt='Apt::Install-Recommends "false"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook="sh $(printf %q "$work/begin") \"\$1\"" \
		--customize-hook="sh $(printf %q "$work/setup") \"\$1\"" \
		bookworm "$work/tree" "${sources[@]}"
}

# boot.img loads sector 1, whose blocklist, as grub-mkimage leaves it, names the sectors from 2 on.
install_grub() {
	local modules=/usr/lib/grub/i386-pc
	grub-mkimage -O i386-pc -d "$modules" -o "$work/core.img" -p '(hd0,msdos1)/boot/grub' \
		biosdisk part_msdos ext2 normal linux serial search
	[ "$(stat -c %s "$work/core.img")" -le $(((first_sector - 1) * sector)) ] || die "GRUB's core image is too big"
	dd if="$modules/boot.img" of="$1" bs=440 count=1 conv=notrunc status=none
	dd if="$work/core.img" of="$1" bs=$sector seek=1 conv=notrunc status=none
}

rm -rf "$work"
mkdir -p "$work"
say "Making Debian's tree, which takes some minutes"
make_tree
say "Writing ${disk##*/}"
rm -f "$disk.new"
truncate -s "${disk_mib}M" "$disk.new"
printf 'label: dos\nstart=%s, type=83, bootable\n' $first_sector |
	logged "$BUILD/logs/sfdisk.log" sfdisk --no-reread "$disk.new"
logged "$BUILD/logs/mke2fs.log" mke2fs -q -F -t ext4 -L keel-root -d "$work/tree" \
	-E offset=$((first_sector * sector)) "$disk.new" "$((disk_mib - 1))M"
install_grub "$disk.new"
mv "$disk.new" "$disk"
rm -rf "$work"
