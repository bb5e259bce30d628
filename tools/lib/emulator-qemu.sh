# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2034
# emulator-qemu.sh: QEMU for tools/run, from whose options it builds the command line "qemu". To be sourced. The files of the
# run and its parameters come to the control domain by virtio drives, what GRUB is to boot by SMBIOS strings. The CD-ROM is no
# ATA one, of which firmware takes each word by an instruction of its own.

qemu=()
leave="Ctrl-a x"

kvm_check() {
	[ -w /dev/kvm ] || die "--accel kvm: this user cannot write /dev/kvm. Switch virtualisation on in the firmware setup" \
		"and load kvm_amd or kvm_intel, or leave --accel out"
	cat /sys/module/kvm_{amd,intel}/parameters/nested 2>/dev/null | grep -q '[1Y]' ||
		die "--accel kvm: KVM here has no nested virtualisation." \
			"Load kvm_amd or kvm_intel with nested=1, or leave --accel out"
}

emulator_check() {
	[ -z "$cpu" ] || die "--cpu: only Bochs has processor models to choose from: add --emulator bochs"
	[ "$accel" != kvm ] || kvm_check
	memory=${memory:-2G}
}

# emulator_add_drive FILE TARGET MODE: a drive of the host; the control domain finds it at TARGET by its serial number.
emulator_add_drive() {
	local path=$1 target=$2 mode=$3 serial=f$((drives++)) options=
	[ "$mode" = rw ] && [ -w "$path" ] || options=,readonly=on
	qemu+=(-drive "if=none,id=$serial,format=raw,cache=writeback,file=${path//,/,,}$options"
		-device "virtio-blk-pci,drive=$serial,serial=$serial")
	printf '%s %s\n' "$serial" "$target" >>"$work/files/keel/drives"
}

emulator_prepare() {
	# QEMU keeps the code that it has translated by its address: a program that runs at other addresses each time is
	# translated each time, and clearing a page of which there is much of that takes long.
	local cmdline="console=ttyS0 quiet no_timer_check mitigations=off norandmaps cryptomgr.notests${append:+ $append}"
	local image=$BUILD/image${suite:+/$suite}/host.iso ovmf=$system/usr/share/OVMF size=
	# REP MOVSB goes byte by byte here, and Linux 6.1 overruns short copies where FSRM comes without ERMS.
	local model=max,+svm,-erms,-fsrm
	[ -z "$hypervisor$lz4" ] ||
		image=$("$ROOT/tools/lib/image.sh" ${suite:+--suite "$suite"} ${lz4:+--lz4} ${hypervisor:+"$hypervisor"})
	# Its size is rounded up so that the kernel's search for partition tables does not run past the end.
	truncate -s %65536 "$work/run.cpio"
	[ "$reboot" = yes ] || qemu+=(-no-reboot)
	qemu+=(-machine "$machine" -smp "$smp" -m "$memory" -display none -net none
		-device virtio-scsi-pci -drive "if=none,id=boot,format=raw,media=cdrom,readonly=on,file=${image//,/,,}"
		-device "scsi-cd,drive=boot,bootindex=0"
		-drive "if=none,id=run,format=raw,file=${work//,/,,}/run.cpio,readonly=on"
		-device "virtio-blk-pci,drive=run,serial=keel-run"
		-smbios "type=1,product=keel-run,version=$entry,sku=${options//,/,,},family=${cmdline//,/,,}")
	case $accel in
	kvm)	qemu+=(-accel kvm -cpu host) ;;
	# With several CPUs the emulator's SVM is only reliable when one thread emulates them all.
	tcg)	qemu+=(-accel "tcg,thread=single" -cpu "$model") ;;
	*)	qemu+=(-accel "$accel" -cpu "$model") ;;
	esac
	if [ "$firmware" = uefi ]; then
		[ -e "$ovmf/OVMF_CODE.fd" ] || size=_4M
		cp "$ovmf/OVMF_VARS$size.fd" "$work/vars.fd"
		qemu+=(-drive "if=pflash,format=raw,readonly=on,file=$ovmf/OVMF_CODE$size.fd"
			-drive "if=pflash,format=raw,file=$work/vars.fd")
	fi
	qemu+=("${qemu_options[@]}")
}

# Should this script be killed, the emulator ends too.
qemu_run() {
	exec setpriv --pdeathsig TERM -- "${runner[@]}" qemu-system-x86_64 "${qemu[@]}"
}

# Unattended: the serial ports go to the logs. The monitor's socket is in a folder whose path is short: of a longer one than 107
# bytes there is no socket.
emulator_start() {
	qemu+=(-serial "file:$logs/host.log" -serial "file:$logs/guest.log" -monitor "unix:$work/monitor,server=on,wait=off")
	ln -sfn "$work/monitor" "$logs/monitor"
	qemu_run </dev/null 2>"$logs/emulator.log" &
	pid=$!
}

# The first serial port is the control domain's console, the second one the guest's.
emulator_interact() {
	local joined=$logs/guest.log other=$logs/host.log stdio file
	if [ "$mode" != guest ]; then
		joined=$logs/host.log other=$logs/guest.log
	fi
	stdio="stdio,id=terminal,mux=on,signal=off,logfile=${joined//,/,,}" file="file,id=other,path=${other//,/,,}"
	qemu+=(-chardev "$stdio" -chardev "$file" -mon chardev=terminal)
	if [ "$mode" = guest ]; then
		qemu+=(-serial chardev:other -serial chardev:terminal)
	else
		qemu+=(-serial chardev:terminal -serial chardev:other)
	fi
	# A background job of a script would read from /dev/null.
	qemu_run <&0 2> >(tee "$logs/emulator.log" >&2) &
	pid=$!
	attend "$joined"
}

# Status 0 is an end that the machine or its user wanted.
emulator_failed() {
	[ "$1" -ne 0 ]
}

emulator_complaint() {
	cat "$logs/emulator.log"
}
