#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A server's life with the packages: a Debian on a disk of its own installs them, starts with Keel and a guest by itself, is
# upgraded, starts without Keel, once more with it, and is rid of it again.
set -uo pipefail
# shellcheck source=tests/integration/common.sh
. "$(dirname "$0")/common.sh"

mkdir -p "$logs" "$TESTS"
work=$TESTS/package
disk=$work/server.img
files=$work/files
seconds=2400
# What the packages depend on is there: the machine has no network.
needs=(dkms linux-headers-amd64 gcc make grub-pc grub-common seabios libjansson4 liburing2 libseccomp2 debconf passwd)

# The same packages as if of a later version; but for the driver, whose building takes ten minutes here.
make_upgrade() {
	local deb tree
	mkdir -p "$files/upgrade"
	for deb in "$KEEL_BUILD"/packages/keel{,-hypervisor,-tools}_*.deb; do
		tree=$work/deb
		rm -rf "$tree"
		dpkg-deb -R "$deb" "$tree"
		sed -i 's/^Version: .*/&+later/; s/\(keel-[ht][a-z]*\) (= \([^)]*\))/\1 (= \2+later)/g' "$tree/DEBIAN/control"
		dpkg-deb --root-owner-group -b "$tree" "$files/upgrade" >>"$logs/upgrade.log"
	done
}

# A service plays the administrator, a part of the script at each start.
customize() {
	cat <<-SCRIPT
		#!/bin/sh
		set -e
		cp -r '$files' "\$1/root/keel"
		cp '$ROOT/tests/integration/package-guest.sh' "\$1/root/keel/script"
		cat >"\$1/etc/systemd/system/administrator.service" <<-UNIT
			[Unit]
			After=multi-user.target
			[Service]
			Type=oneshot
			Environment=KEEL_PATIENCE=$guest_patience
			ExecStart=/bin/bash /root/keel/script
			StandardOutput=tty
			StandardError=tty
			TTYPath=/dev/ttyS0
			TimeoutStartSec=infinity
			[Install]
			WantedBy=default.target
		UNIT
		mkdir -p "\$1/etc/systemd/system/default.target.wants"
		ln -s ../administrator.service "\$1/etc/systemd/system/default.target.wants/administrator.service"
		cat >"\$1/etc/default/grub" <<-CONFIG
			GRUB_DEFAULT=0
			GRUB_TIMEOUT=0
			GRUB_DISTRIBUTOR=Debian
			GRUB_CMDLINE_LINUX="console=ttyS0,115200 no_timer_check mitigations=off"
			GRUB_CMDLINE_LINUX_DEFAULT=quiet
			GRUB_TERMINAL="serial"
			GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
		CONFIG
	SCRIPT
}

make_disk() {
	local options=() package
	for package in "${needs[@]}"; do
		options+=(--add "$package")
	done
	customize >"$work/customize"
	chmod +x "$work/customize"
	"$ROOT/tools/lib/debian-disk.sh" --mib 4096 "${options[@]}" --customize "$work/customize" "$disk" "$work/tree" \
		>"$logs/disk.log" 2>&1
}

# live: the machine, until the script has come to its end.
live() {
	local pid log=$logs/server/host.log
	mkdir -p "$logs/server"
	: >"$log"
	qemu-system-x86_64 -machine pc -accel tcg,thread=single -cpu max,+svm,-erms,-fsrm -smp 1 -m 2G -display none -net none \
		-drive "if=virtio,format=raw,cache=unsafe,file=${disk//,/,,}" -serial "file:$log" -monitor none \
		</dev/null >"$logs/server/run.log" 2>&1 &
	pid=$!
	start_patience "$pid"
	until out_of_patience "$seconds" || ! kill -0 "$pid" 2>/dev/null || grep -aq 'tests: end' "$log"; do
		sleep 1
		spend_patience
	done
	kill "$pid" 2>/dev/null
	wait "$pid" 2>/dev/null
	grep -aq 'tests: end' "$log"
}

lintian_is_content() {
	! lintian --no-cfg --allow-root --fail-on error "$KEEL_BUILD"/packages/*.deb | grep '^E:'
}

rm -rf "$work"
mkdir -p "$files/first"
check "packages" "$ROOT/tools/package"
"$ROOT/tools/lib/packages.sh" lintian
check "lintian finds no error" lintian_is_content
cp "$KEEL_BUILD"/packages/*.deb "$files/first/"
check "a later version of them" make_upgrade
"$ROOT/tools/lib/guests.sh" "$ROOT/build/guests/button.iso"
cp "$KEEL_BUILD/guests/button.iso" "$files/"
check "a server's disk" make_disk
live
judge server
rm -rf "$work"
finish
